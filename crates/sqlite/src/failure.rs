//! From what SQLite reports to what the port says.

use std::io;

use queuectl_core::store::StoreError;
use rusqlite::{ErrorCode, ffi};

/// An error inside an operation; converts from both worlds, so that `?` works on either.
#[derive(Debug)]
pub struct Failure(pub StoreError);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        let error = or_full(error);
        let what = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => {
                return Failure(StoreError::Damaged { what: error.to_string() });
            }
            Some(ErrorCode::NotADatabase) => {
                "the file is not a queuectl database, or its beginning is damaged; name another with --db, or save what is whole \
                 with `queuectl doctor --salvage NEW`"
                    .to_owned()
            }
            Some(ErrorCode::DiskFull) => {
                "the disk is full; nothing was changed, free some space and try again".to_owned()
            }
            Some(ErrorCode::ReadOnly) => {
                "the database cannot be written here: it is read-only for this user, or lies on a file system that is mounted \
                 read-only; check its owner, its mode and the mount"
                    .to_owned()
            }
            Some(ErrorCode::CannotOpen) => {
                "the database cannot be opened; check that its directory exists and is yours".to_owned()
            }
            Some(ErrorCode::PermissionDenied) => "no permission to use the database".to_owned(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process has kept the database for too long; try again, and see what holds it"
                    .to_owned()
            }
            Some(ErrorCode::SystemIoFailure) => "the disk reported an error".to_owned(),
            _ => "the database refused an operation".to_owned(),
        };
        Failure(StoreError::unavailable(what, error))
    }
}

/// An error that means that there is no room for what was to be written, as SQLite says it of a full disk. It takes a quota
/// that is used up for a broken disk, and does not say why the log's index cannot grow. To be asked before another call.
pub fn or_full(error: rusqlite::Error) -> rusqlite::Error {
    let full = match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_IOERR_WRITE) => io::Error::last_os_error().raw_os_error() == Some(libc::EDQUOT),
        Some(ffi::SQLITE_IOERR_SHMSIZE) => true,
        _ => false,
    };
    if full { rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None) } else { error }
}

/// The port says that this text is one of a few, and it is none of them.
pub fn damaged(what: impl Into<String>) -> Failure {
    Failure(StoreError::Damaged { what: what.into() })
}
