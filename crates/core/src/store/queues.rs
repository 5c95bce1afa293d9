//! Queues: named lanes that can be paused.

use async_trait::async_trait;

use super::StoreResult;
use crate::queue::QueueName;

/// A queue that has had a job or was paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    pub name: QueueName,
    pub paused: bool,
}

#[async_trait]
pub trait Queues {
    /// All queues, by name.
    async fn queues(&self) -> StoreResult<Vec<QueueRow>>;

    /// Pauses or resumes a queue, making its row if it has none; tells whether that changed anything. Rings.
    async fn set_paused(&self, queue: &QueueName, paused: bool) -> StoreResult<bool>;
}
