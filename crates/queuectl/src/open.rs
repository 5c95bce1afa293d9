//! Which driver a store's address means, and how its stores are kept. The only file that names drivers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use queuectl_core::store::{Store, StoreError, StoreResult};
pub use queuectl_sqlite::keep::{BackupReport, Examination};
use queuectl_sqlite::{OpenOptions, SqliteStore, keep};

/// What an opened store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Created where there is none, and migrated if it is older.
    Write,
    /// `None` where there is none; nothing is created.
    Read,
}

/// Opens the store of a database file.
pub async fn open(path: &Path, access: Access) -> StoreResult<Option<Arc<dyn Store>>> {
    let options = OpenOptions {
        path: path.to_owned(),
        access: match access {
            Access::Write => queuectl_sqlite::Access::CreateOrMigrate,
            Access::Read => queuectl_sqlite::Access::ReadOnlyIfExists,
        },
    };
    Ok(SqliteStore::open(options).await?.map(|store| Arc::new(store) as Arc<dyn Store>))
}

/// Copies a store that may be in use, with its outputs, into a directory that must be new or empty; `step` hears of each
/// output. The copy has its name only once it is whole and on disk, and belongs to nobody.
pub async fn backup(
    path: &Path,
    to: &Path,
    mut step: impl FnMut() + Send + 'static,
) -> StoreResult<BackupReport> {
    let (path, to) = (path.to_owned(), to.to_owned());
    blocking(move || keep::backup(&path, &to, &mut step)).await
}

/// Puts a backup in the place of a store; what was there is kept aside, under the path that is returned. The caller has
/// made sure that nobody works there.
pub async fn restore(
    from: &Path,
    to: &Path,
    mut step: impl FnMut() + Send + 'static,
) -> StoreResult<Option<PathBuf>> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || keep::restore(&from, &to, &mut step)).await
}

/// Looks through a whole store. Changes nothing.
pub async fn examine(path: &Path) -> StoreResult<Examination> {
    let path = path.to_owned();
    blocking(move || keep::examine(&path)).await
}

/// The schema of a store, and the one that this program makes; `None` where there is no store.
pub async fn schema_versions(path: &Path) -> StoreResult<Option<(i64, i64)>> {
    let path = path.to_owned();
    blocking(move || keep::schema_versions(&path)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|e| StoreError::unavailable("work on the store broke off", e))?
}
