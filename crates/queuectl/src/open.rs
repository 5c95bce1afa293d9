//! Which driver a store's address means. The only file that names drivers.

use std::path::Path;
use std::sync::Arc;

use queuectl_core::store::{Store, StoreResult};
use queuectl_sqlite::{OpenOptions, SqliteStore};

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
