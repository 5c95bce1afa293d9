//! Putting a backup in the place of a store.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};

use super::backup::blank;
use super::examine::{damage, examine, named_outputs};
use super::files::{copy_file, copy_whole, failed, or_full, refused, remove_database, remove_tree, sync_dir};
use super::{NAME, Progress};
use crate::copy::{copy, copy_if, prepare};
use crate::failure::Failure;
use crate::file::{exists, make_file, with_suffix};
use crate::open::{beside, connect};
use crate::schema;
use crate::suspect::mark_of;

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// What was there before, under its new name.
    pub aside: Option<PathBuf>,
    /// Output files that the backup names and does not hold.
    pub missing: Vec<String>,
}

/// Puts a backup where a store is to be. What is there already is kept aside.
///
/// The database is put in place by one transaction of the file that is there: whoever has it open (`in_use`) sees the old
/// store or the new one, and the claims of the old one no longer count. Refused while an owner of claims `lives`: the
/// restored store would have the job run again beside the run that no longer counts.
pub fn restore(
    from: &Path,
    to: &Path,
    in_use: bool,
    lives: &dyn Fn(&str) -> bool,
    watch: &mut dyn FnMut(Progress),
) -> StoreResult<RestoreReport> {
    let source = from.join(NAME);
    if !source.is_file() {
        return Err(refused(format!("{} is no backup: there is no {NAME} in it", from.display())));
    }
    let outputs = check_backup(&source).map_err(|failure| failure.0)?;
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    let to = fs::canonicalize(&to).unwrap_or(to);
    if fs::canonicalize(&source).is_ok_and(|source| source == to) {
        return Err(refused(format!("{} is the backup itself; --db names where it is to go", to.display())));
    }
    let above = to.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().mode(0o700).recursive(true).create(above).map_err(failed("create", above))?;
    let before = Before::keep(&to, in_use)?;
    let prepared = with_suffix(&to, ".restoring");
    remove_database(&prepared);
    let idle = || refuse_running(&to, lives);
    let result = put_in_place(&source, &prepared, &to, &outputs, &idle, watch);
    remove_database(&prepared);
    match result {
        Ok(missing) => {
            before.remove_outputs(&to, &outputs, in_use);
            // All of it was just written anew.
            remove_tree(&mark_of(&to)).map_err(failed("remove the mark of", &to))?;
            sync_dir(above)?;
            Ok(RestoreReport { aside: before.aside, missing })
        }
        Err(error) => {
            let error = or_full(error, &to);
            before.bring_back(&to, &outputs);
            Err(error)
        }
    }
}

/// The outputs first: until a database names them they are only files.
fn put_in_place(
    source: &Path,
    prepared: &Path,
    to: &Path,
    outputs: &[String],
    idle: &dyn Fn() -> Result<(), Failure>,
    watch: &mut dyn FnMut(Progress),
) -> StoreResult<Vec<String>> {
    idle().map_err(|failure| failure.0)?;
    let mut pages = |done, total| watch(Progress::Pages { done, total });
    prepare(source, prepared, to, &mut pages).map_err(|failure| failure.0)?;
    let (out_from, out_to) = (beside(source, "out"), beside(to, "out"));
    let mut missing = Vec::new();
    if !outputs.is_empty() {
        DirBuilder::new().mode(0o700).recursive(true).create(&out_to).map_err(failed("create", &out_to))?;
    }
    for (at, name) in outputs.iter().enumerate() {
        let (one, there) = (out_from.join(name), out_to.join(name));
        if one.exists() {
            remove_tree(&there).map_err(failed("replace", &there))?;
            // Never a link: a backup is not to change with the store that it was restored to.
            copy_whole(&one, &there)?;
        } else {
            missing.push(name.clone());
        }
        watch(Progress::Outputs { done: at as u64 + 1, total: outputs.len() as u64 });
    }
    if out_to.is_dir() {
        sync_dir(&out_to)?;
    }
    copy_if(prepared, to, idle, &mut |_, _| ()).map_err(|failure| failure.0)?;
    Ok(missing)
}

fn refuse_running(store: &Path, lives: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
    if !exists(store).map_err(Failure)? {
        return Ok(());
    }
    let connection = connect(store)?;
    if !schema::is_there(&connection)? {
        return Ok(());
    }
    let mut running =
        connection.prepare("SELECT id, owner FROM job WHERE state = 'processing' AND owner IS NOT NULL")?;
    let running = running.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let running: Vec<(String, String)> = running.collect::<Result<_, _>>()?;
    match running.iter().find(|(_, owner)| lives(owner)) {
        None => Ok(()),
        Some((job, _)) => {
            let what =
                format!("jobs are running on {} ({job} is one); nothing was restored", store.display());
            Err(Failure(StoreError::InUse { what }))
        }
    }
}

/// What was in the place of a restored database.
struct Before {
    aside: Option<PathBuf>,
    /// It could not be read, so the file itself was renamed.
    renamed: bool,
    /// Output files that it named.
    outputs: Vec<String>,
}

impl Before {
    /// Copies what is there to another name; renames what cannot be read, if nobody uses it.
    fn keep(to: &Path, in_use: bool) -> StoreResult<Before> {
        if !exists(to)? {
            return Ok(Before { aside: None, renamed: false, outputs: Vec::new() });
        }
        match examine(to) {
            Ok(seen) if seen.damage.is_empty() => {
                let outputs: Vec<String> = seen.outputs.into_iter().map(|kept| kept.file).collect();
                let aside = free_name(to);
                let kept = keep_aside(to, &aside, &outputs);
                if let Err(error) = kept {
                    let error = or_full(error, to);
                    discard(&aside);
                    return Err(error);
                }
                Ok(Before { aside: Some(aside), renamed: false, outputs })
            }
            _ if in_use => Err(refused(format!(
                "{} cannot be read, so it cannot be kept aside while workers have it open; stop them first",
                to.display()
            ))),
            _ => Ok(Before { aside: Some(put_aside(to)?), renamed: true, outputs: Vec::new() }),
        }
    }

    /// Nothing was restored: all is as it was.
    fn bring_back(self, to: &Path, copied: &[String]) {
        match self.aside {
            None => {
                remove_database(to);
                let out_dir = beside(to, "out");
                for name in copied {
                    let _ = fs::remove_file(out_dir.join(name));
                }
                // Only if nothing else is in it.
                let _ = fs::remove_dir(out_dir);
            }
            Some(aside) if self.renamed => {
                remove_database(to);
                for (from, to) in parts(&aside).iter().zip(parts(to)) {
                    let _ = fs::rename(from, to);
                }
            }
            // It is where it was; its copy is not needed.
            Some(aside) => discard(&aside),
        }
    }

    /// The old store's outputs are kept aside, and nothing here names them. A keeper that lives may still need them.
    fn remove_outputs(&self, to: &Path, named: &[String], in_use: bool) {
        if in_use {
            return;
        }
        let named: HashSet<&String> = named.iter().collect();
        for name in self.outputs.iter().filter(|name| !named.contains(name)) {
            let _ = fs::remove_file(beside(to, "out").join(name));
        }
    }
}

fn keep_aside(to: &Path, aside: &Path, outputs: &[String]) -> StoreResult<()> {
    make_file(aside)?;
    copy(to, aside, &mut |_, _| ()).map_err(|failure| failure.0)?;
    blank(aside).map_err(|failure| failure.0)?;
    let (out_from, out_to) = (beside(to, "out"), beside(aside, "out"));
    if outputs.is_empty() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    for name in outputs {
        copy_file(&out_from.join(name), &out_to.join(name))?;
    }
    sync_dir(&out_to)
}

/// A backup is whole, or nothing is touched. Returns the output files that it names.
fn check_backup(source: &Path) -> Result<Vec<String>, Failure> {
    let connection = connect(source)?;
    schema::check_reader(&connection)?;
    match damage(&connection)?.first() {
        None => {
            let names = named_outputs(&connection)?;
            let stays = |name: &String| !name.contains('/') && name != "..";
            match names.iter().find(|name| !stays(name)) {
                None => Ok(names),
                Some(name) => Err(Failure(StoreError::Damaged {
                    what: format!("the backup names `{name}`, which is no output file; nothing was restored"),
                })),
            }
        }
        Some(first) => Err(Failure(StoreError::Damaged {
            what: format!("the backup is damaged ({first}); nothing was restored"),
        })),
    }
}

/// Renames a database that nobody has open, and what lies beside it; returns its new name.
fn put_aside(to: &Path) -> StoreResult<PathBuf> {
    let aside = free_name(to);
    // The log goes last: a database without its log is an older one, a log without its database is nothing yet.
    for (from, to) in parts(to).iter().zip(parts(&aside)) {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("rename", from)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn free_name(to: &Path) -> PathBuf {
    (1..u32::MAX)
        .map(|n| with_suffix(to, &format!(".before-restore-{n}")))
        .find(|path| !path.exists() && !beside(path, "out").exists())
        .expect("some number is free")
}

/// A database, what SQLite keeps beside it, and its outputs.
fn parts(database: &Path) -> [PathBuf; 5] {
    ["", ".out", "-journal", "-shm", "-wal"].map(|suffix| with_suffix(database, suffix))
}

/// Removes a copy that is not needed.
fn discard(aside: &Path) {
    remove_database(aside);
    let _ = remove_tree(&beside(aside, "out"));
}
