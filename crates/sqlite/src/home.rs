//! Whether the files at the database's path still are the ones that are open: the database, its log, and the log's index.
//! What is written to a file that was deleted is gone with the last process that has it open, and who comes anew makes
//! another one and shares nothing with those before him. SQLite does not say so.

use std::io;
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};

use crate::file::with_suffix;
use crate::file::{Identity, identity, sole_identity};

/// The files that a store has open.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
    identity: Identity,
    /// The log and its index.
    log: Vec<(PathBuf, Identity)>,
}

impl Home {
    /// The file that is there now.
    pub fn of(path: &Path) -> StoreResult<Home> {
        Ok(Home { path: path.to_owned(), identity: sole_identity(path)?, log: Vec::new() })
    }

    /// With the log that is there now, unless it is known. To be called while a connection has it open: until that is closed
    /// nobody may delete it.
    pub fn with_log(mut self) -> StoreResult<Home> {
        if !self.log.is_empty() {
            return Ok(self);
        }
        for path in ["-wal", "-shm"].map(|suffix| with_suffix(&self.path, suffix)) {
            match identity(&path) {
                Ok(found) => self.log.push((path, found)),
                // In a place that cannot be written there is none.
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Refuses if another file is there, or none.
    pub fn check(&self) -> StoreResult<()> {
        is_still(&self.path, self.identity)?;
        self.log.iter().try_for_each(|(path, known)| is_still(path, *known))
    }
}

fn is_still(path: &Path, known: Identity) -> StoreResult<()> {
    match identity(path) {
        Ok(found) if found == known => Ok(()),
        Ok(_) => Err(lost(path, "was replaced by another file")),
        Err(error) if is_missing(&error) => Err(lost(path, "was deleted or renamed")),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &StoreError) -> bool {
    let StoreError::Unavailable { source: Some(source), .. } = error else { return false };
    source.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn lost(path: &Path, how: &str) -> StoreError {
    StoreError::Closed {
        what: format!(
            "{} {how} while it was in use, so this process uses it no more; what it wrote before went to the old file",
            path.display()
        ),
    }
}
