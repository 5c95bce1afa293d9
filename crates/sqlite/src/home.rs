//! Whether the file at the database's path still is the one that is open. What is written to a file that was deleted is
//! gone with the last process that has it open, and SQLite does not say so.

use std::io;
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};

use crate::file::identity;

/// The file that a store has open.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
    identity: (i64, i64),
}

impl Home {
    /// The file that is there now.
    pub fn of(path: &Path) -> StoreResult<Home> {
        Ok(Home { path: path.to_owned(), identity: identity(path)? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses if another file is there, or none.
    pub fn check(&self) -> StoreResult<()> {
        match identity(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => Err(self.lost("was replaced by another file")),
            Err(StoreError::Unavailable { source: Some(source), .. })
                if source
                    .downcast_ref::<io::Error>()
                    .is_some_and(|e| e.kind() == io::ErrorKind::NotFound) =>
            {
                Err(self.lost("was deleted or renamed"))
            }
            Err(error) => Err(error),
        }
    }

    fn lost(&self, how: &str) -> StoreError {
        StoreError::Closed {
            what: format!(
                "{} {how} while it was in use, so this process uses it no more; what it wrote before went to the old file",
                self.path.display()
            ),
        }
    }
}
