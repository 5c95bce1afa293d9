//! Keeping a database: backups, restoring them, and looking at its health. Blocking; call it off the runtime.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::{Connection, OpenFlags};

use crate::failure::Failure;
use crate::open::{beside, connect};
use crate::schema;

/// The database in a backup's directory; its outputs lie beside it, as they do everywhere.
const NAME: &str = "queue.db";

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
/// It has its name only once it is whole and on disk. `step` hears of each output.
///
/// What is copied belongs to nobody: whoever opens it for writing gives its claims back and makes it a store of its own.
pub fn backup(from: &Path, to: &Path, step: &mut dyn FnMut()) -> StoreResult<BackupReport> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Unavailable {
            what: format!("{} is not empty; name a new directory for each backup", to.display()),
            source: None,
        });
    }
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    let partial = with_suffix(&to, ".partial");
    // One that was broken off before.
    remove_tree(&partial).map_err(failed("remove", &partial))?;
    let made = make(from, &partial, step);
    let report = match made {
        Ok(report) => report,
        Err(error) => {
            // The disk may be full; whatever can be removed is.
            let _ = remove_tree(&partial);
            return Err(error);
        }
    };
    fs::rename(&partial, &to).map_err(failed("create", &to))?;
    sync_dir(to.parent().unwrap_or(Path::new("/")))?;
    Ok(report)
}

fn make(from: &Path, dir: &Path, step: &mut dyn FnMut()) -> StoreResult<BackupReport> {
    DirBuilder::new().mode(0o700).recursive(true).create(dir).map_err(failed("create", dir))?;
    let database = dir.join(NAME);
    let source = connect(from)?;
    let copy = || -> Result<(), Failure> {
        // One read transaction, however long it takes: no writer is held up, and none restarts it.
        source.execute("VACUUM INTO ?", [database.to_string_lossy()])?;
        Ok(())
    };
    copy().map_err(|failure| failure.0)?;
    let (jobs, files) = blank(&database).map_err(|failure| failure.0)?;
    let (out_from, out_to) = (beside(from, "out"), beside(&database, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    let (mut outputs, mut missing) = (0, Vec::new());
    for name in files {
        if copy_file(&out_from.join(&name), &out_to.join(&name))? {
            outputs += 1;
        } else {
            missing.push(name);
        }
        step();
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
    let connection = Connection::open_with_flags(
        database,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;
         UPDATE meta SET incarnation = 0, device = 0, inode = 0; DELETE FROM worker;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    let jobs: i64 = connection.query_row("SELECT count(*) FROM job", [], |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT file FROM output WHERE file IS NOT NULL")?;
    let files = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok((jobs as u64, files))
}

/// Puts a backup where a store is to be. What is there already is kept aside, under the name that is returned.
pub fn restore(from: &Path, to: &Path, step: &mut dyn FnMut()) -> StoreResult<Option<PathBuf>> {
    let source = from.join(NAME);
    if !source.is_file() {
        return Err(StoreError::Unavailable {
            what: format!("{} is no backup: there is no {NAME} in it", from.display()),
            source: None,
        });
    }
    check_backup(&source).map_err(|failure| failure.0)?;
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    let above = to.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().mode(0o700).recursive(true).create(above).map_err(failed("create", above))?;
    let partial = with_suffix(&to, ".restoring");
    let partial_out = beside(&partial, "out");
    for path in [&partial, &partial_out] {
        remove_tree(path).map_err(failed("remove", path))?;
    }
    let copied = copy_backup(&source, &partial, step);
    if let Err(error) = copied {
        let _ = (remove_tree(&partial), remove_tree(&partial_out));
        return Err(error);
    }
    let aside = if to.exists() { Some(put_aside(&to)?) } else { None };
    fs::rename(&partial_out, beside(&to, "out")).map_err(failed("create", &beside(&to, "out")))?;
    fs::rename(&partial, &to).map_err(failed("create", &to))?;
    sync_dir(above)?;
    Ok(aside)
}

fn copy_backup(source: &Path, partial: &Path, step: &mut dyn FnMut()) -> StoreResult<()> {
    let (out_from, out_to) = (beside(source, "out"), beside(partial, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    copy_whole(source, partial)?;
    if out_from.is_dir() {
        for entry in fs::read_dir(&out_from).map_err(failed("read", &out_from))? {
            let entry = entry.map_err(failed("read", &out_from))?;
            // Never a link: a backup is not to change with the store that it was restored to.
            copy_whole(&entry.path(), &out_to.join(entry.file_name()))?;
            step();
        }
    }
    sync_dir(&out_to)
}

fn check_backup(source: &Path) -> Result<(), Failure> {
    let connection = Connection::open_with_flags(
        source,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    schema::check_reader(&connection)?;
    let damage = damage(&connection)?;
    match damage.first() {
        None => Ok(()),
        Some(first) => Err(Failure(StoreError::Damaged {
            what: format!("the backup is damaged ({first}); nothing was restored"),
        })),
    }
}

/// What SQLite finds wrong, if anything.
fn damage(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Renames a database, its log and its outputs; returns its new name.
fn put_aside(to: &Path) -> StoreResult<PathBuf> {
    let aside = (1..u32::MAX)
        .map(|n| with_suffix(to, &format!(".before-restore-{n}")))
        .find(|path| !path.exists())
        .expect("some number is free");
    for (from, to) in [
        (with_suffix(to, "-wal"), with_suffix(&aside, "-wal")),
        (with_suffix(to, "-shm"), with_suffix(&aside, "-shm")),
        (beside(to, "out"), beside(&aside, "out")),
        (to.to_owned(), aside.clone()),
    ] {
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("rename", &from)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    pub schema: i64,
    /// What SQLite finds wrong.
    pub damage: Vec<String>,
    /// Queues and states of which the kept count differs from the rows: the count, and what there is.
    pub miscounted: Vec<(String, i64, i64)>,
    /// Output files that are named.
    pub outputs: Vec<String>,
    /// The latest change of any job, in milliseconds of the epoch.
    pub last_change: Option<i64>,
}

/// Looks through the whole database. Changes nothing.
pub fn examine(path: &Path) -> StoreResult<Examination> {
    let connection = connect(path)?;
    let look = || -> Result<Examination, Failure> {
        connection.execute_batch("BEGIN")?;
        let schema = connection.query_row("SELECT version FROM meta", [], |row| row.get(0))?;
        let damage = damage(&connection)?;
        let mut statement = connection.prepare(
            "SELECT queue || ' ' || state, sum(kept), sum(there) FROM (
               SELECT queue, state, n AS kept, 0 AS there FROM counts
               UNION ALL SELECT queue, state, 0, count(*) FROM job GROUP BY queue, state)
             GROUP BY queue, state HAVING sum(kept) != sum(there)",
        )?;
        let miscounted = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut statement = connection.prepare("SELECT file FROM output WHERE file IS NOT NULL")?;
        let outputs = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let last_change = connection.query_row("SELECT max(updated_at) FROM job", [], |row| row.get(0))?;
        Ok(Examination { schema, damage, miscounted, outputs, last_change })
    };
    let examined = look();
    let _ = connection.execute_batch("ROLLBACK");
    examined.map_err(|failure| failure.0)
}

/// The schema of a database, and the one that this program makes. `None` where there is no database.
pub fn schema_versions(path: &Path) -> StoreResult<Option<(i64, i64)>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(path)?;
    let version = || -> Result<i64, Failure> {
        if !schema::is_there(&connection)? {
            return Ok(schema::VERSION);
        }
        Ok(connection.query_row("SELECT version FROM meta", [], |row| row.get(0))?)
    };
    version().map(|version| Some((version, schema::VERSION))).map_err(|failure| failure.0)
}

/// Links a file that never changes, or copies it where that is not possible. False if it is not there.
fn copy_file(from: &Path, to: &Path) -> StoreResult<bool> {
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

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let what = format!("cannot {doing} {}", path.display());
    move |error| StoreError::unavailable(what.clone(), error)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
