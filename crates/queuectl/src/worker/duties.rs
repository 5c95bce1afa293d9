//! Duties: what a worker does in the background. Recovery twice a second, retention once a minute.

use std::sync::Arc;
use std::time::Duration;

use queuectl_core::limits::RECOVERY_INTERVAL;
use queuectl_core::query::Filter;
use queuectl_core::state::Shown;
use queuectl_core::store::StoreResult;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::recovery::Recovery;
use crate::client::Client;

/// Every so many passes of recovery the store's rows are looked through as well.
const STORE_PASSES: u64 = 10;
/// Every so many passes old jobs are deleted.
const RETENTION_PASSES: u64 = 120;
/// Between two steps of long work: everybody else has his turn.
const STEP_REST: Duration = Duration::from_millis(50);

/// The running duties.
pub struct Duties {
    task: JoinHandle<()>,
    stop: Arc<Notify>,
    nudge: Nudge,
    recovery: Recovery,
}

/// Asks for a pass of recovery at once.
#[derive(Clone)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Starts the duties of one worker.
pub fn spawn(client: Client) -> Duties {
    let (stop, nudge) = (Arc::new(Notify::new()), Nudge(Arc::new(Notify::new())));
    let recovery = Recovery::new(client.clone());
    let task = tokio::spawn(attend(client, recovery.clone(), stop.clone(), nudge.clone()));
    Duties { task, stop, nudge, recovery }
}

impl Duties {
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    pub fn recovery(&self) -> Recovery {
        self.recovery.clone()
    }

    /// Lets the pass that runs come to its end.
    pub async fn stop(self) {
        self.stop.notify_one();
        let _ = self.task.await;
    }
}

async fn attend(client: Client, recovery: Recovery, stop: Arc<Notify>, nudge: Nudge) {
    // Long work goes a step a pass, so that neither recovery nor a stop waits for it.
    let (mut more_old, mut more_dead) = (false, false);
    for pass in 0_u64.. {
        recovery.recover_dead().await;
        if pass.is_multiple_of(STORE_PASSES)
            && let Err(error) = recovery.recover_rows().await
        {
            warn!(%error, "cannot look for lost claims");
        }
        if pass.is_multiple_of(STORE_PASSES) || more_dead {
            more_dead = client.remove_dead_batch_step().await.unwrap_or_else(|error| {
                warn!(%error, "cannot remove what a dead loader left");
                false
            });
        }
        if pass.is_multiple_of(RETENTION_PASSES) || more_old {
            more_old = retain_step(&client).await.unwrap_or_else(|error| {
                warn!(%error, "cannot delete old jobs");
                false
            });
        }
        let rest = if more_old || more_dead { STEP_REST } else { RECOVERY_INTERVAL };
        tokio::select! {
            () = stop.notified() => return,
            () = nudge.0.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Deletes one step of what has been kept for as long as its queue's settings say; true if there may be more.
async fn retain_step(client: &Client) -> StoreResult<bool> {
    let settings = client.settings().await?;
    let now = client.now().await?;
    for queue in client.queues().await? {
        let kept = settings.for_queue(&queue.name);
        let bounds: [(Shown, Option<Duration>); 2] =
            [(Shown::Completed, kept.retain_completed), (Shown::Dead, kept.retain_dead)];
        for (shown, bound) in bounds {
            let Some(bound) = bound else { continue };
            let filter = Filter {
                shown: Some(shown),
                queue: Some(queue.name.clone()),
                ended_before: Some(now.before(bound)),
                ..Filter::default()
            };
            let deleted = client.clear_step(filter).await?;
            if deleted > 0 {
                info!(queue = %queue.name, state = %shown, deleted, "deleted old jobs");
                return Ok(true);
            }
        }
    }
    Ok(false)
}
