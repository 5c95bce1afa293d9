//! From what SQLite reports to what the port says.

use queuectl_core::store::StoreError;
use rusqlite::ErrorCode;

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

/// The port says that this text is one of a few, and it is none of them.
pub fn damaged(what: impl Into<String>) -> Failure {
    Failure(StoreError::Damaged { what: what.into() })
}
