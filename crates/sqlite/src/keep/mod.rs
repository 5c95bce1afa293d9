//! Keeping a database: backups, restoring them, and looking at its health. Blocking; call it off the runtime.

mod backup;
mod examine;
mod files;
mod restore;

use std::path::{Path, PathBuf};

pub use backup::{BackupReport, backup};
pub use examine::{Examination, KeptOutput, examine, schema_versions};
pub(crate) use examine::{damage, named_outputs};
pub(crate) use files::{copy_file, failed, remove_database};
pub use restore::{RestoreReport, restore};

use crate::open::beside;

/// The database in a backup's directory; its outputs lie beside it, as they do everywhere.
const NAME: &str = "queue.db";

/// How far a backup or its restoring has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Of the database.
    Pages { done: u64, total: u64 },
    /// Output files.
    Outputs { done: u64, total: u64 },
}

/// Where the locks of a database's processes lie.
pub fn run_dir(database: &Path) -> PathBuf {
    beside(database, "run")
}
