//! What is done with whole files, and how it fails.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use queuectl_core::store::{StoreError, StoreResult};

use crate::file::with_suffix;

/// Removes a database that nobody has open, but not its outputs.
pub fn remove_database(database: &Path) {
    for suffix in ["", "-journal", "-shm", "-wal"] {
        let _ = fs::remove_file(with_suffix(database, suffix));
    }
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

pub fn copy_whole(from: &Path, to: &Path) -> StoreResult<()> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed("create", to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed("write", to))
}

pub fn remove_tree(path: &Path) -> io::Result<()> {
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

pub fn sync_dir(path: &Path) -> StoreResult<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// An error of the file system, in words.
pub fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let what = format!("cannot {doing} {}", path.display());
    move |error| StoreError::unavailable(what.clone(), error)
}

pub fn refused(what: String) -> StoreError {
    StoreError::Unavailable { what, source: None }
}

/// What went wrong on a disk that is full now went wrong for that, whatever became of it on the way. `place`: on that
/// disk, or to be.
pub fn or_full(error: StoreError, place: &Path) -> StoreError {
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
