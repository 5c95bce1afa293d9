//! Keeping a database: backups, restoring them, and looking at its health. Blocking; call it off the runtime.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::Connection;

use crate::batches::IS_THERE;
use crate::copy::{close, copy, copy_if, prepare};
use crate::digest;
use crate::failure::Failure;
use crate::file::{exists, make_file};
use crate::open::{beside, connect};
use crate::schema;
use crate::suspect::mark_of;

/// The database in a backup's directory; its outputs lie beside it, as they do everywhere.
const NAME: &str = "queue.db";

/// Damaged jobs that an examination names.
const NAMED_MAX: usize = 10;

/// How far a backup or its restoring has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Of the database.
    Pages { done: u64, total: u64 },
    /// Output files.
    Outputs { done: u64, total: u64 },
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    pub jobs: u64,
    /// Of the database, in bytes.
    pub bytes: u64,
    pub outputs: u64,
    /// Output files that the database names and that were not there.
    pub missing: Vec<String>,
}

/// Copies a database that may be in use, and the outputs that it names, into a directory that must be new or empty.
/// It has its name only once it is whole and on disk.
///
/// What is copied belongs to nobody: whoever opens it for writing gives its claims back and makes it a store of its own.
pub fn backup(from: &Path, to: &Path, watch: &mut dyn FnMut(Progress)) -> StoreResult<BackupReport> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Unavailable {
            what: format!("{} is not empty; name a new directory for each backup", to.display()),
            source: None,
        });
    }
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    if fs::metadata(&to).is_ok_and(|found| !found.is_dir()) {
        return Err(refused(format!("{} is there and is no directory; name a new one", to.display())));
    }
    let to = real(&to);
    if ["out", "run"].iter().any(|what| to.starts_with(beside(&real(from), what))) {
        let what = "lies inside of the store that it is to be a copy of; name a directory elsewhere";
        return Err(refused(format!("{} {what}", to.display())));
    }
    let above = to.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().mode(0o700).recursive(true).create(above).map_err(failed("create", above))?;
    // Nobody else's, and gone again unless it gets its name. Only the death of this process leaves it behind.
    let partial = tempfile::Builder::new()
        .prefix(".queuectl-backup-")
        .tempdir_in(above)
        .map_err(failed("make a directory in", above))?;
    let report = make(from, partial.path(), watch).map_err(|error| or_full(error, above))?;
    fs::rename(partial.path(), &to).map_err(failed("create", &to))?;
    // It has gone to its place.
    let _ = partial.keep();
    sync_dir(above)?;
    Ok(report)
}

/// A path by no link, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let above = path.parent().and_then(|above| fs::canonicalize(above).ok());
    fs::canonicalize(path).ok().or(above.map(|above| above.join(name))).unwrap_or_else(|| path.to_owned())
}

fn make(from: &Path, dir: &Path, watch: &mut dyn FnMut(Progress)) -> StoreResult<BackupReport> {
    let database = dir.join(NAME);
    make_file(&database)?;
    copy(from, &database, &mut |done, total| watch(Progress::Pages { done, total }))
        .map_err(|failure| failure.0)?;
    let (jobs, files) = blank(&database).map_err(|failure| failure.0)?;
    let (out_from, out_to) = (beside(from, "out"), beside(&database, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    let (mut outputs, mut missing) = (0, Vec::new());
    let total = files.len() as u64;
    for (at, name) in files.into_iter().enumerate() {
        if copy_file(&out_from.join(&name), &out_to.join(&name))? {
            outputs += 1;
        } else {
            missing.push(name);
        }
        watch(Progress::Outputs { done: at as u64 + 1, total });
    }
    let file = File::open(&database).map_err(failed("open", &database))?;
    file.sync_all().map_err(failed("sync", &database))?;
    sync_dir(&out_to)?;
    sync_dir(dir)?;
    let bytes = file.metadata().map_err(failed("look at", &database))?.len();
    Ok(BackupReport { jobs, bytes, outputs, missing })
}

/// Makes a copy nobody's. Returns how many jobs it has and which output files it names.
fn blank(database: &Path) -> Result<(u64, Vec<String>), Failure> {
    let connection = connect(database)?;
    connection.execute_batch(
        "UPDATE meta SET incarnation = 0, device = 0, inode = 0, born = 0; DELETE FROM worker",
    )?;
    // What is staged in a batch that was never opened is no job yet.
    let counted = format!("SELECT count(*) FROM job WHERE {IS_THERE}");
    let jobs: i64 = connection.query_row(&counted, [], |row| row.get(0))?;
    let files = named_outputs(&connection)?;
    close(connection)?;
    Ok((jobs as u64, files))
}

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

/// What SQLite finds wrong, if anything.
pub fn damage(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
    let found: rusqlite::Result<Vec<String>> = statement.query_map([], |row| row.get(0))?.collect();
    match found.map_err(Failure::from) {
        Ok(found) => Ok(found.into_iter().filter(|line| line != "ok").collect()),
        // The check itself can meet what it looks for.
        Err(Failure(StoreError::Damaged { what })) => Ok(vec![what]),
        Err(failure) => Err(failure),
    }
}

fn kept_outputs(connection: &Connection) -> Result<Vec<KeptOutput>, Failure> {
    let mut statement = connection.prepare(
        "SELECT CAST(id AS TEXT), file, coalesce(file_len, 0), sha256
         FROM output JOIN job ON job.seq = output.job WHERE file IS NOT NULL ORDER BY job.seq, number",
    )?;
    let kept = statement.query_map([], |row| {
        let len = row.get::<_, i64>(2)?.max(0) as u64;
        Ok(KeptOutput { job: row.get(0)?, file: row.get(1)?, len, sha256: row.get(3)? })
    })?;
    Ok(kept.collect::<Result<_, _>>()?)
}

/// The output files that a database names.
pub fn named_outputs(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("SELECT file FROM output WHERE file IS NOT NULL")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
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

/// Removes a database that nobody has open, but not its outputs.
pub fn remove_database(database: &Path) {
    for suffix in ["", "-journal", "-shm", "-wal"] {
        let _ = fs::remove_file(with_suffix(database, suffix));
    }
}

/// Removes a copy that is not needed.
fn discard(aside: &Path) {
    remove_database(aside);
    let _ = remove_tree(&beside(aside, "out"));
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    pub schema: i64,
    /// What SQLite finds wrong.
    pub damage: Vec<String>,
    /// When and how the disk failed, and nobody has checked the database since.
    pub suspect: Option<String>,
    /// Queues and states of which the kept count differs from the rows: the count, and what there is.
    pub miscounted: Vec<(String, i64, i64)>,
    /// Jobs that would not be run, for what is stored of their commands is not what was enqueued: some, and how many.
    pub altered: (Vec<String>, u64),
    /// Output files that are named.
    pub outputs: Vec<KeptOutput>,
    /// The latest change of any job, in milliseconds of the epoch.
    pub last_change: Option<i64>,
}

/// An output file as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOutput {
    pub job: String,
    pub file: String,
    pub len: u64,
    pub sha256: Vec<u8>,
}

/// Looks through the whole database. Changes nothing.
pub fn examine(path: &Path) -> StoreResult<Examination> {
    let connection = connect(path)?;
    let look = || -> Result<Examination, Failure> {
        connection.execute_batch("BEGIN")?;
        let schema = connection.query_row("SELECT version FROM meta", [], |row| row.get(0))?;
        let suspect = fs::read_to_string(mark_of(path)).ok().map(|text| text.trim().to_owned());
        let damage = damage(&connection)?;
        if !damage.is_empty() {
            // What is damaged may not even be readable.
            return Ok(Examination { schema, damage, suspect, ..Examination::default() });
        }
        let mut statement = connection.prepare(
            "SELECT queue || ' ' || state, sum(kept), sum(there) FROM (
               SELECT queue, state, n AS kept, 0 AS there FROM counts
               UNION ALL SELECT queue, state, 0, count(*) FROM job
                         WHERE due_at < 1152921504606846976 GROUP BY queue, state)
             GROUP BY queue, state HAVING sum(kept) != sum(there)",
        )?;
        let miscounted = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let altered = digest::altered(&connection, NAMED_MAX)?;
        let outputs = kept_outputs(&connection)?;
        let last_change = connection.query_row("SELECT max(updated_at) FROM job", [], |row| row.get(0))?;
        Ok(Examination { schema, damage, suspect, miscounted, altered, outputs, last_change })
    };
    let examined = look();
    let _ = connection.execute_batch("ROLLBACK");
    examined.map_err(|failure| failure.0)
}

/// The schema of a database, and the one that this program makes. `None` where there is no database.
pub fn schema_versions(path: &Path) -> StoreResult<Option<(i64, i64)>> {
    if !exists(path)? {
        return Ok(None);
    }
    let connection = connect(path)?;
    let version = || -> Result<i64, Failure> {
        if !schema::is_there(&connection)? {
            return Ok(schema::VERSION);
        }
        schema::version(&connection)
    };
    version().map(|version| Some((version, schema::VERSION))).map_err(|failure| failure.0)
}

/// Where the locks of a database's processes lie.
pub fn run_dir(database: &Path) -> PathBuf {
    beside(database, "run")
}

/// Links a file that never changes, or copies it where that is not possible. False if it is not there.
pub fn copy_file(from: &Path, to: &Path) -> StoreResult<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(_) => {}
    }
    copy_whole(from, to)?;
    Ok(true)
}

fn copy_whole(from: &Path, to: &Path) -> StoreResult<()> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed("create", to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed("write", to))
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> StoreResult<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

pub fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let what = format!("cannot {doing} {}", path.display());
    move |error| StoreError::unavailable(what.clone(), error)
}

/// The path with this behind it.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn refused(what: String) -> StoreError {
    StoreError::Unavailable { what, source: None }
}

/// What went wrong on a disk that is full now went wrong for that, whatever became of it on the way. `place`: on that
/// disk, or to be.
fn or_full(error: StoreError, place: &Path) -> StoreError {
    const FULL_BYTES: u64 = 256 * 1024;
    let there = place.ancestors().find_map(|part| Some((part, rustix::fs::statvfs(part).ok()?)));
    match there {
        Some((part, found)) if found.f_bavail.saturating_mul(found.f_frsize) < FULL_BYTES => {
            refused(format!(
                "the disk that holds {} is full; free some space there, or name a place on another disk",
                part.display()
            ))
        }
        _ => error,
    }
}
