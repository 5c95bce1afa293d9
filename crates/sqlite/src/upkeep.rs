//! Keeping the write-ahead log short.

use std::fs;
use std::io;

use async_trait::async_trait;
use queuectl_core::store::{StoreError, StoreResult, Upkeep};

use crate::file::with_suffix;
use crate::open::SqliteStore;

#[async_trait]
impl Upkeep for SqliteStore {
    async fn log_bytes(&self) -> StoreResult<u64> {
        let log = with_suffix(self.home.path(), "-wal");
        match fs::metadata(&log) {
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::unavailable(format!("cannot look at {}", log.display()), error)),
        }
    }

    async fn trim_log(&self) -> StoreResult<()> {
        self.trim().await
    }
}
