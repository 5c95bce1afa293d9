//! Batches: kept apart from the jobs until they are opened.

use async_trait::async_trait;
use queuectl_core::job::NewJob;
use queuectl_core::store::{BatchId, Batches, Inserted, Loading, StoreResult};

use super::MemoryStore;

#[async_trait]
impl Batches for MemoryStore {
    async fn begin_batch(&self, loader: &str) -> StoreResult<BatchId> {
        Ok(self.verb(|state, _, _| {
            state.batches_begun += 1;
            let batch = BatchId(state.batches_begun);
            state.batches.insert(batch, (loader.to_owned(), Vec::new()));
            batch
        }))
    }

    async fn stage(&self, batch: BatchId, jobs: Vec<NewJob>) -> StoreResult<Inserted> {
        Ok(self.verb(|state, now, _| {
            let mut seen = std::collections::BTreeSet::new();
            for job in &jobs {
                if state.is_taken(&job.id) || !seen.insert(job.id.clone()) {
                    return Inserted::Duplicate(job.id.clone());
                }
            }
            let (_, staged) = state.batches.get_mut(&batch).expect("a batch that is loaded");
            staged.extend(jobs.into_iter().map(|job| (now, job)));
            Inserted::All
        }))
    }

    async fn open_batch(&self, batch: BatchId) -> StoreResult<bool> {
        Ok(self.verb(|state, _, rings| {
            let Some((_, jobs)) = state.batches.remove(&batch) else { return false };
            for (then, job) in jobs {
                state.insert(&job, then);
            }
            rings.work = true;
            true
        }))
    }

    async fn promote_batches(&self, _limit: usize) -> StoreResult<usize> {
        // They are ready as soon as they are there.
        Ok(0)
    }

    async fn drop_batch(&self, batch: BatchId, limit: usize) -> StoreResult<usize> {
        Ok(self.verb(|state, _, _| {
            let Some((_, jobs)) = state.batches.get_mut(&batch) else { return 0 };
            let dropped = jobs.len().min(limit);
            jobs.truncate(jobs.len() - dropped);
            if dropped < limit {
                state.batches.remove(&batch);
            }
            dropped
        }))
    }

    async fn loading(&self) -> StoreResult<Vec<Loading>> {
        Ok(self.verb(|state, _, _| {
            let loading = |(batch, (loader, _)): (&BatchId, &(String, _))| Loading {
                batch: *batch,
                loader: loader.clone(),
            };
            state.batches.iter().map(loading).collect()
        }))
    }
}
