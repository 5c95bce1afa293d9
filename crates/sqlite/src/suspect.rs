//! A failed sync. The kernel tells of one once and may drop what it could not write, so a later sync that succeeds proves
//! nothing. Whoever meets one leaves a mark beside the database and writes no more; whoever next opens it for writing
//! has everything written out again, and looks through all of it, before he trusts it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use queuectl_core::store::StoreError;
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, ErrorCode, ffi};
use tracing::{error, warn};

use crate::failure::{Failure, or_full};
use crate::file::sync_directory_of;
use crate::keep::damage;
use crate::open::beside;

/// Where the mark of a database lies.
pub fn mark_of(database: &Path) -> PathBuf {
    beside(database, "suspect")
}

/// True if something that was to be durable may not be.
pub fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(
            ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_TRUNCATE
        )
    )
}

/// Leaves the mark, and says what to answer from now on.
pub fn mark(database: &Path, failed: &rusqlite::Error, now: Timestamp) -> StoreError {
    let mark = mark_of(database);
    error!(database = %database.display(), error = %failed, "the disk failed to keep what was written");
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mark).and_then(|mut file| {
            writeln!(file, "{now} {failed}")?;
            // It has to outlive this process only; the disk may refuse this sync as it did the last.
            let _ = file.sync_all();
            let _ = sync_directory_of(&mark);
            Ok(())
        });
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            error!(%error, mark = %mark.display(), "the mark of it could not be left either");
        }
        _ => {}
    }
    StoreError::Closed { what: words(database, &failed.to_string()) }
}

/// Leaves the mark if an error of opening was a failed sync.
pub fn mark_if_failed_sync(database: &Path, error: StoreError, now: Timestamp) -> StoreError {
    let StoreError::Unavailable { source: Some(source), .. } = &error else { return error };
    match source.downcast_ref::<rusqlite::Error>() {
        Some(failed) if is_failed_sync(failed) => mark(database, failed, now),
        _ => error,
    }
}

fn words(database: &Path, failed: &str) -> String {
    format!(
        "the disk failed to keep what was written to {} ({failed}), so this process writes no more: the change may be \
         there or not; the next queuectl that writes checks the database first",
        database.display()
    )
}

/// Has the disk know that the log is empty. What it holds of the old one may lack the last changes, and would be read over
/// a database that has them. A commit writes the log's new beginning, and syncs it.
fn begin_log_anew(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version)
}

/// Before anything else is written: checks a database that bears the mark, and takes the mark off.
pub fn clear(connection: &Connection, database: &Path) -> Result<(), Failure> {
    let mark = mark_of(database);
    let when = match fs::read(&mark) {
        Ok(text) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(StoreError::unavailable(format!("cannot read {}", mark.display()), error).into());
        }
    };
    let refused = |why: String| {
        Failure(StoreError::Damaged {
            what: format!(
                "{} is suspect since the disk failed ({when}), and {why}; nothing is written to it. Keep the file, look \
                 at the disk, and see `queuectl doctor`; then `queuectl restore` a backup, or `queuectl doctor \
                 --salvage NEW`",
                database.display()
            ),
        })
    };
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(|error| {
            match or_full(error) {
                full if full.sqlite_error_code() == Some(ErrorCode::DiskFull) => full.into(),
                error => refused(format!("its log cannot be written into it: {error}")),
            }
        })?;
    if busy != 0 {
        return Err(Failure(StoreError::Unavailable {
            what: format!(
                "{} is suspect since the disk failed ({when}), and cannot be checked while another process reads it; \
                 end that one, and try again",
                database.display()
            ),
            source: None,
        }));
    }
    if let Some(first) = damage(connection)?.first() {
        return Err(refused(format!("it is damaged: {first}")));
    }
    begin_log_anew(connection).map_err(|error| refused(format!("its log cannot be begun anew: {error}")))?;
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::unavailable(format!("cannot remove {}", mark.display()), error).into());
        }
        _ => sync_directory_of(&mark)?,
    }
    warn!(database = %database.display(), since = when, "the disk had failed; the database was checked and is sound");
    Ok(())
}
