//! There is no log in memory.

use async_trait::async_trait;
use queuectl_core::store::{StoreResult, Upkeep};

use super::MemoryStore;

#[async_trait]
impl Upkeep for MemoryStore {
    async fn log_bytes(&self) -> StoreResult<u64> {
        Ok(0)
    }

    async fn trim_log(&self) -> StoreResult<()> {
        Ok(())
    }
}
