//! Duties: what a worker does in the background. Adoption and recovery twice a second, or less while there is nobody
//! else, retention about once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queuectl_core::limits::{RECOVERY_INTERVAL, RECOVERY_INTERVAL_ALONE};
use queuectl_core::query::Filter;
use queuectl_core::state::Shown;
use queuectl_core::store::{StopMode, StoreResult};
use queuectl_exec::Alarm;
use queuectl_exec::protocol::OnCrash;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::foster::{Answer, Fosters, Household};
use super::log_watch::LogWatch;
use super::recovery::Recovery;
use crate::client::Client;

/// Every so many passes of recovery the store's rows are looked through as well.
pub const STORE_PASSES: u64 = 25;
/// Every so many passes the log of the database is looked at.
const LOG_PASSES: u64 = 4;
/// Every so many passes old jobs are deleted.
const RETENTION_PASSES: u64 = 75;
/// How long a start waits for the answers of keepers without a worker.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Between two steps of long work: everybody else has his turn.
const STEP_REST: Duration = Duration::from_millis(50);

/// The running duties.
pub struct Duties {
    task: JoinHandle<()>,
    stop: Arc<Notify>,
    nudge: Nudge,
    beat: Beat,
    recovery: Recovery,
    household: Household,
}

/// Asks for a pass of recovery at once.
#[derive(Clone)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Each pass of the duties, so that who wants to look around now and then does it in the same wake-up.
#[derive(Clone, Default)]
pub struct Beat {
    struck: Arc<Notify>,
    rest_ms: Arc<AtomicU64>,
}

impl Beat {
    /// The next one, or one that nobody has waited for; tells how many milliseconds after it the one behind it comes.
    /// Safe to drop and call again.
    pub async fn next(&self) -> u64 {
        self.struck.notified().await;
        self.rest_ms.load(Ordering::Relaxed)
    }

    fn strike(&self, rest: Duration) {
        self.rest_ms.store(rest.as_millis() as u64, Ordering::Relaxed);
        self.struck.notify_one();
    }
}

/// Starts the duties of one worker. `adopts`: it takes over keepers without a worker; those that are there now and answer,
/// before this returns.
pub async fn spawn(client: Client, adopts: bool, on_crash: OnCrash) -> Duties {
    let (stop, nudge) = (Arc::new(Notify::new()), Nudge(Arc::new(Notify::new())));
    let beat = Beat::default();
    let (recovery, household) = (Recovery::new(client.clone()), Household::new(on_crash));
    let mut fosters = Fosters::new(&client, &household);
    if adopts {
        await_answers(fosters.look()).await;
    }
    let attendant = Attendant {
        client,
        recovery: recovery.clone(),
        adopts,
        fosters,
        stop: stop.clone(),
        nudge: nudge.clone(),
        beat: beat.clone(),
    };
    Duties { task: tokio::spawn(attendant.attend()), stop, nudge, beat, recovery, household }
}

/// What is adopted takes slots, so the first job waits for those that answer as fast as a keeper does.
async fn await_answers(answers: Vec<Answer>) {
    let all = async {
        for answer in answers {
            let _ = answer.await;
        }
    };
    let _ = tokio::time::timeout(ANSWER_MAX, all).await;
}

impl Duties {
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    pub fn beat(&self) -> Beat {
        self.beat.clone()
    }

    pub fn recovery(&self) -> Recovery {
        self.recovery.clone()
    }

    pub fn household(&self) -> Household {
        self.household.clone()
    }

    /// Lets the pass that runs come to its end. What is still adopted is left to the next worker.
    pub async fn stop(self) {
        self.household.stop(StopMode::HandOver);
        self.stop.notify_one();
        let _ = self.task.await;
    }
}

/// The time between two passes.
struct Rest {
    /// `None` if there is none to be had; then the runtime's timer does.
    alarm: Option<AsyncFd<Alarm>>,
}

impl Rest {
    #[expect(
        deprecated,
        reason = "what is to replace it is unsafe, for descriptors that may change; an alarm's does not"
    )]
    fn new() -> Rest {
        Rest { alarm: Alarm::new().and_then(AsyncFd::new).ok() }
    }

    /// Safe to drop and call again.
    async fn over(&self, span: Duration) {
        if let Some(alarm) = &self.alarm
            && alarm.get_ref().set(span).is_ok()
        {
            while let Ok(mut ready) = alarm.readable().await {
                match alarm.get_ref().take() {
                    Ok(true) => return,
                    Ok(false) => ready.clear_ready(),
                    Err(_) => break,
                }
            }
        }
        tokio::time::sleep(span).await;
    }
}

/// Who attends to the duties.
struct Attendant {
    client: Client,
    recovery: Recovery,
    adopts: bool,
    fosters: Fosters,
    stop: Arc<Notify>,
    nudge: Nudge,
    beat: Beat,
}

impl Attendant {
    async fn attend(mut self) {
        // Long work goes a step a pass, so that neither recovery nor a stop waits for it.
        let (mut more_old, mut more_dead) = (false, false);
        let mut log_watch = LogWatch::default();
        let (between, mut interval) = (Rest::new(), RECOVERY_INTERVAL);
        for pass in 0_u64.. {
            self.beat.strike(interval);
            // At the first pass its own keeper is not there yet, so that the one that it sees is another's.
            let alone = self.look_after_the_dead(pass).await && pass > 0;
            interval = if alone { RECOVERY_INTERVAL_ALONE } else { RECOVERY_INTERVAL };
            let client = &self.client;
            if pass.is_multiple_of(LOG_PASSES) {
                log_watch.look(client).await;
            }
            if pass.is_multiple_of(STORE_PASSES) || more_dead {
                more_dead = client.remove_dead_batch_step().await.unwrap_or_else(|error| {
                    warn!(%error, "cannot remove what a dead loader left");
                    false
                });
            }
            if pass.is_multiple_of(RETENTION_PASSES) || more_old {
                more_old = retain_step(client).await.unwrap_or_else(|error| {
                    warn!(%error, "cannot delete old jobs");
                    false
                });
            }
            let rest = if more_old || more_dead { STEP_REST } else { interval };
            tokio::select! {
                () = self.stop.notified() => break,
                () = self.nudge.0.notified() => {}
                () = between.over(rest) => {}
            }
        }
        self.fosters.rest().await;
    }

    /// True if there is no keeper but this worker's own.
    async fn look_after_the_dead(&mut self, pass: u64) -> bool {
        if self.adopts {
            self.fosters.look();
        }
        let alone = self.recovery.take_over().await.len() <= 1;
        if pass.is_multiple_of(STORE_PASSES)
            && let Err(error) = self.recovery.recover_rows().await
        {
            warn!(%error, "cannot look for lost claims");
        }
        alone
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
