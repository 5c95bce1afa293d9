//! A copy of a damaged database on which SQLite can work: of whole pages, with a sound header, its log written into it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::{Connection, OpenFlags};

use super::leaves::PAGE;
use crate::failure::Failure;
use crate::file::with_suffix;
use crate::keep::failed;

/// Copies a damaged database with its log. `fresh`: a new database, which has the header that every one of ours has.
pub fn copy_damaged(from: &Path, copied: &Path, fresh: &Path) -> StoreResult<()> {
    copy_readable(from, copied)?;
    let log = with_suffix(from, "-wal");
    if log.exists() {
        copy_readable(&log, &with_suffix(copied, "-wal"))?;
    }
    mend_header(copied, fresh)?;
    take_log_in(copied)
}

/// Copies a file; what the disk does not give is zeros.
fn copy_readable(from: &Path, to: &Path) -> StoreResult<()> {
    let source = File::open(from).map_err(failed("open", from))?;
    let length = source.metadata().map_err(failed("look at", from))?.len();
    let create = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let target = create.map_err(failed("create", to))?;
    let mut page = [0; PAGE];
    let mut at = 0;
    while at < length {
        let part = &mut page[..(length - at).min(PAGE as u64) as usize];
        if source.read_exact_at(part, at).is_err() {
            part.fill(0);
        }
        target.write_all_at(part, at).map_err(failed("write", to))?;
        at += PAGE as u64;
    }
    Ok(())
}

/// Gives a database the first bytes that every one of ours has, as a fresh one has them, and whole pages. Only how many
/// those are is its own; which of them are free is left open, for nothing is written to it.
fn mend_header(database: &Path, fresh: &Path) -> StoreResult<()> {
    let mut header = [0; 100];
    let read = File::open(fresh).and_then(|file| file.read_exact_at(&mut header, 0));
    read.map_err(failed("read", fresh))?;
    let file = fs::OpenOptions::new().write(true).open(database).map_err(failed("open", database))?;
    let length = file.metadata().map_err(failed("look at", database))?.len();
    let pages = length.div_ceil(PAGE as u64);
    header[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    header[32..40].fill(0);
    let mended = file.set_len(pages * PAGE as u64).and_then(|()| file.write_all_at(&header, 0));
    mended.map_err(failed("write", database))
}

/// A connection that is set as little as can be: what every other one of ours is given needs a sound list of tables.
pub fn connect_damaged(copied: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copied, flags)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}

/// Has SQLite write the log into the copy, as it does when the last one closes it: for that it needs no list of tables.
fn take_log_in(copied: &Path) -> StoreResult<()> {
    let connection = connect_damaged(copied).map_err(|failure| failure.0)?;
    // The log is opened with the first look, whatever that finds.
    let _ = connection.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()));
    let _ = connection.close();
    if fs::metadata(with_suffix(copied, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::Damaged {
            what: "its log cannot be read, and without it the jobs' states are old ones; nothing was saved"
                .to_owned(),
        });
    }
    Ok(())
}
