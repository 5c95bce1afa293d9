//! Workers as a client sees them: who lives is told by their locks, not by their rows.

use std::time::Duration;

use queuectl_core::queue::QueueName;
use queuectl_core::store::{StopMode, StoreResult, Topic, WorkerRow};
use queuectl_exec::frozen::{is_frozen, kill_frozen};
use queuectl_exec::rundir;

use super::Client;

/// How often a stop looks whether workers are gone, even if nobody rang: a SIGKILLed one rings no one.
const GONE_POLL: Duration = Duration::from_millis(200);

/// What a stop came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopWait {
    /// These were asked and are gone.
    Gone(Vec<WorkerRow>),
    /// The time was up; these still run.
    TimedOut(Vec<WorkerRow>),
}

impl Client {
    /// The workers that are alive, oldest first.
    pub async fn live_workers(&self) -> StoreResult<Vec<WorkerRow>> {
        let run_dir = self.place().run_dir;
        // Where no worker has left a lock, the store need not be asked who might hold one.
        let locks = rundir::list(&run_dir).unwrap_or_default();
        if locks.iter().all(|lock| lock.kind != rundir::Kind::Worker) {
            return Ok(Vec::new());
        }
        let mut rows = self.store.workers().await?;
        rows.retain(|row| rundir::is_alive(&run_dir, rundir::Kind::Worker, &row.id).unwrap_or(false));
        Ok(rows)
    }

    /// True if a live worker takes jobs of this queue.
    pub async fn is_served(&self, queue: &QueueName) -> StoreResult<bool> {
        let workers = self.live_workers().await?;
        Ok(workers.iter().any(|worker| {
            !worker.only_job
                && worker.stop.is_none()
                && (worker.queues.is_empty() || worker.queues.contains(queue))
        }))
    }

    /// Asks every live worker to stop and returns them. The worker of a `run` belongs to that one job and goes with it.
    pub async fn request_stop(&self, mode: StopMode) -> StoreResult<Vec<WorkerRow>> {
        let mut workers = self.live_workers().await?;
        workers.retain(|worker| !worker.only_job);
        let ids: Vec<String> = workers.iter().map(|worker| worker.id.clone()).collect();
        if !ids.is_empty() {
            self.store.request_stop(&ids, mode).await?;
        }
        Ok(workers)
    }

    /// Of these, the ones that are frozen (SIGSTOP): they cannot hear that they are to stop.
    pub fn frozen(&self, workers: &[WorkerRow]) -> Vec<WorkerRow> {
        let run_dir = self.place().run_dir;
        let frozen = |row: &&WorkerRow| is_frozen(&run_dir, rundir::Kind::Worker, &row.id, row.pid);
        workers.iter().filter(frozen).cloned().collect()
    }

    /// Kills those of these workers that are frozen. What they ran is then without a worker; see
    /// [`Client::stop_orphans`].
    pub fn end_frozen(&self, workers: &[WorkerRow]) -> Vec<WorkerRow> {
        let run_dir = self.place().run_dir;
        let kill = |row: &&WorkerRow| kill_frozen(&run_dir, rundir::Kind::Worker, &row.id, row.pid);
        workers.iter().filter(kill).cloned().collect()
    }

    /// Waits until these workers are gone, however they went.
    pub async fn await_gone(&self, asked: Vec<WorkerRow>, up_to: Option<Duration>) -> StoreResult<StopWait> {
        let mut listener = self.store.listen(Topic::Outcome).await?;
        let started = queuectl_exec::now_boot_ms();
        loop {
            let live = self.live_workers().await?;
            let remaining: Vec<WorkerRow> =
                live.into_iter().filter(|row| asked.iter().any(|one| one.id == row.id)).collect();
            if remaining.is_empty() {
                return Ok(StopWait::Gone(asked));
            }
            let waited = Duration::from_millis(queuectl_exec::now_boot_ms() - started);
            match up_to.map(|up_to| up_to.saturating_sub(waited)) {
                Some(left) if left.is_zero() => return Ok(StopWait::TimedOut(remaining)),
                Some(left) => listener.wait(left.min(GONE_POLL)).await,
                None => listener.wait(GONE_POLL).await,
            };
        }
    }
}
