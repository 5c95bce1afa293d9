//! Queues.

use async_trait::async_trait;
use queuectl_core::queue::QueueName;
use queuectl_core::store::{QueueRow, Queues, StoreResult};

use super::MemoryStore;

#[async_trait]
impl Queues for MemoryStore {
    async fn queues(&self) -> StoreResult<Vec<QueueRow>> {
        Ok(self.verb(|state, _, _| {
            let row = |(name, paused): (&QueueName, &bool)| QueueRow { name: name.clone(), paused: *paused };
            state.queues.iter().map(row).collect()
        }))
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> StoreResult<bool> {
        Ok(self.verb(|state, _, rings| {
            rings.work = true;
            let row = state.queues.entry(queue.clone()).or_insert(false);
            std::mem::replace(row, paused) != paused
        }))
    }
}
