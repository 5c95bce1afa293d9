//! Workers: rows for people and for `worker stop`. Who is alive is told by locks, never by these rows.

use async_trait::async_trait;

use super::{StopMode, StoreResult};
use crate::queue::QueueName;
use crate::time::Timestamp;

/// A registered worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    pub id: String,
    pub pid: u32,
    pub host: String,
    pub slots: u32,
    /// Empty: every queue.
    pub queues: Vec<QueueName>,
    /// It runs for one job only (`run`).
    pub only_job: bool,
    pub started_at: Timestamp,
    pub stop: Option<StopMode>,
    pub version: String,
}

#[async_trait]
pub trait Workers {
    /// Adds a worker; `started_at` is the store's now. Rings [`super::Topic::Outcome`].
    async fn register(&self, worker: WorkerRow) -> StoreResult<()>;

    /// Removes a worker's row. Its claims are not touched. Rings [`super::Topic::Outcome`].
    async fn retire(&self, worker: &str) -> StoreResult<()>;

    /// All registered workers, oldest first.
    async fn workers(&self) -> StoreResult<Vec<WorkerRow>>;

    /// Asks these workers to stop; a weaker mode never replaces a stronger one. Rings [`super::Topic::Work`].
    async fn request_stop(&self, workers: &[String], mode: StopMode) -> StoreResult<()>;
}
