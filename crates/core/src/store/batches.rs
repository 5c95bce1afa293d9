//! Batches: more jobs than fit one transaction, put in step by step, and there all at once or not at all.
//!
//! Until its batch is opened a job is in no list, no count and no claim; only its id is taken.

use async_trait::async_trait;

use super::{Inserted, StoreResult};
use crate::job::NewJob;

/// Names a batch within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub i64);

/// A batch that somebody still loads, or that died with its loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loading {
    pub batch: BatchId,
    /// Names its lock in the run directory.
    pub loader: String,
}

#[async_trait]
pub trait Batches {
    /// Begins an empty batch.
    async fn begin_batch(&self, loader: &str) -> StoreResult<BatchId>;

    /// Puts jobs into a batch that is not open, all of these or none. Rings nobody.
    async fn stage(&self, batch: BatchId, jobs: Vec<NewJob>) -> StoreResult<Inserted>;

    /// Opens a batch: from now on its jobs are there. One small write, however many they are; rings
    /// [`super::Topic::Work`]. False if there is no such batch that is loaded.
    async fn open_batch(&self, batch: BatchId) -> StoreResult<bool>;

    /// Makes up to `limit` jobs of opened batches ready to be claimed, as exchanges do besides; returns how many. Once
    /// it returns 0 there is nothing left to do.
    async fn promote_batches(&self, limit: usize) -> StoreResult<usize>;

    /// Removes up to `limit` jobs of a batch that was never opened, and the batch with the last of them; returns how
    /// many were removed.
    async fn drop_batch(&self, batch: BatchId, limit: usize) -> StoreResult<usize>;

    /// The batches that were begun and are neither opened nor removed.
    async fn loading(&self) -> StoreResult<Vec<Loading>>;
}
