//! Workers' rows.

use async_trait::async_trait;
use queuectl_core::store::{StopMode, StoreResult, WorkerRow, Workers};

use super::MemoryStore;

#[async_trait]
impl Workers for MemoryStore {
    async fn register(&self, worker: WorkerRow) -> StoreResult<()> {
        self.verb(|state, now, rings| {
            rings.outcome = true;
            let there = state.workers.iter().any(|known| known.id == worker.id);
            assert!(!there, "worker {} is registered already", worker.id);
            state.workers.push(WorkerRow { started_at: now, ..worker });
            state.workers.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        });
        Ok(())
    }

    async fn retire(&self, worker: &str) -> StoreResult<()> {
        self.verb(|state, _, rings| {
            rings.outcome = true;
            state.workers.retain(|known| known.id != worker);
        });
        Ok(())
    }

    async fn workers(&self) -> StoreResult<Vec<WorkerRow>> {
        Ok(self.verb(|state, _, _| state.workers.clone()))
    }

    async fn request_stop(&self, workers: &[String], mode: StopMode) -> StoreResult<()> {
        self.verb(|state, _, rings| {
            rings.work = true;
            for worker in state.workers.iter_mut().filter(|worker| workers.contains(&worker.id)) {
                worker.stop = worker.stop.max(Some(mode));
            }
        });
        Ok(())
    }
}
