//! What has run lately.

use async_trait::async_trait;
use queuectl_core::queue::QueueName;
use queuectl_core::state::State as JobState;
use queuectl_core::store::{Ran, Stats, StoreResult, Visitor};
use queuectl_core::time::Timestamp;

use super::MemoryStore;

#[async_trait]
impl Stats for MemoryStore {
    async fn ran_since(
        &self,
        since: Timestamp,
        queue: Option<&QueueName>,
        visit: Visitor<'_>,
    ) -> StoreResult<()> {
        let all = self.verb(|state, _, _| {
            let mut all = Vec::new();
            for entry in
                state.jobs.values().filter(|entry| queue.is_none_or(|queue| entry.job.spec.queue == *queue))
            {
                let job = &entry.job;
                let open = job.state == JobState::Processing || job.retrying && !job.ready;
                if !open && job.completed_at.is_none_or(|at| at < since) {
                    continue;
                }
                for attempt in entry.attempts.iter().filter(|attempt| attempt.ended_at >= since) {
                    all.push(Ran {
                        queue: job.spec.queue.clone(),
                        number: attempt.number,
                        due_at: job.run_at.unwrap_or(job.created_at).max(job.created_at),
                        started_at: attempt.started_at,
                        ended_at: attempt.ended_at,
                        outcome: attempt.outcome.clone(),
                        ended: Some(job.state)
                            .filter(|state| state.is_terminal() && attempt.number == job.runs),
                    });
                }
            }
            all
        });
        all.into_iter().for_each(visit);
        Ok(())
    }
}
