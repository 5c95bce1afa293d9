//! What a database needs beside the queue's own work.

use async_trait::async_trait;

use super::StoreResult;

#[async_trait]
pub trait Upkeep {
    /// How much has been written that is not in its final place yet, in bytes. Whoever keeps an old state of the store
    /// open makes it grow.
    async fn log_bytes(&self) -> StoreResult<u64>;

    /// Empties the log if nobody needs it; waits for nobody. Nothing that was written is lost.
    async fn trim_log(&self) -> StoreResult<()>;
}
