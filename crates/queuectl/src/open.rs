//! Which driver a store's address means, and how its stores are kept. The only file that names drivers.

use std::path::Path;
use std::sync::Arc;

use queuectl_core::store::{Store, StoreError, StoreResult};
use queuectl_exec::rundir::{self, Kind};
pub use queuectl_sqlite::Network;
pub use queuectl_sqlite::keep::{BackupReport, Examination, Progress, RestoreReport};
pub use queuectl_sqlite::salvage::SalvageReport;
use queuectl_sqlite::{OpenOptions, SqliteStore, keep};

/// What an opened store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Created where there is none; an older schema stays as it is.
    Write,
    /// The same, for a command that does one thing and ends: no thread is started, and every call blocks its caller.
    WriteHere,
    /// Created where there is none, and migrated if it is older. See [`crate::Client::open_newest`].
    Migrate,
    /// `None` where there is none; nothing is created.
    Read,
}

/// Opens the store of a database file.
pub async fn open(path: &Path, access: Access, network: Network) -> StoreResult<Option<Arc<dyn Store>>> {
    let access = match access {
        Access::Write => queuectl_sqlite::Access::Create,
        Access::WriteHere => queuectl_sqlite::Access::CreateHere,
        Access::Migrate => queuectl_sqlite::Access::CreateOrMigrate,
        Access::Read => queuectl_sqlite::Access::ReadOnlyIfExists,
    };
    let options = OpenOptions { network, ..OpenOptions::new(path, access) };
    Ok(SqliteStore::open(options).await?.map(|store| Arc::new(store) as Arc<dyn Store>))
}

/// Copies a store that may be in use, with its outputs, into a directory that must be new or empty. The copy has its name only once it is whole and on disk, and belongs to nobody.
pub async fn backup(
    path: &Path,
    to: &Path,
    mut watch: impl FnMut(Progress) + Send + 'static,
) -> StoreResult<BackupReport> {
    let (path, to) = (path.to_owned(), to.to_owned());
    blocking(move || keep::backup(&path, &to, &mut watch)).await
}

/// Puts a backup in the place of a store; what was there is kept aside. Workers that live there go on with what was
/// restored. Refused while they run jobs, which would then run twice at once.
pub async fn restore(
    from: &Path,
    to: &Path,
    mut watch: impl FnMut(Progress) + Send + 'static,
) -> StoreResult<RestoreReport> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || {
        let in_use = !living(&to)?.is_empty();
        let run_dir = keep::run_dir(&std::fs::canonicalize(&to).unwrap_or_else(|_| to.clone()));
        let lives = |owner: &str| rundir::is_alive(&run_dir, Kind::Keeper, owner).unwrap_or(true);
        keep::restore(&from, &to, in_use, &lives, &mut watch)
    })
    .await
}

/// Workers and keepers of a database file that are alive, in words.
pub fn living(path: &Path) -> StoreResult<Vec<String>> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let run_dir = keep::run_dir(&path);
    let failed = |error| StoreError::unavailable(format!("cannot look through {}", run_dir.display()), error);
    let mut living = Vec::new();
    for entry in rundir::list(&run_dir).map_err(failed)? {
        let word = match entry.kind {
            Kind::Worker => "worker",
            Kind::Keeper => "keeper",
            Kind::Loader => continue,
        };
        if rundir::is_alive(&run_dir, entry.kind, &entry.id).map_err(failed)? {
            living.push(format!("{word} {}", entry.id));
        }
    }
    Ok(living)
}

/// Saves what is whole of a damaged store that nobody has open into a new file. The old one is not touched.
pub async fn salvage(from: &Path, to: &Path) -> StoreResult<SalvageReport> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || queuectl_sqlite::salvage::salvage(&from, &to)).await
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

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|e| StoreError::unavailable("work on the store broke off", e))?
}
