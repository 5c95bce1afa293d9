//! Adoption: a keeper whose worker is gone is taken over with all that it runs, until its last attempt has ended.
//!
//! What it runs counts against the slots of the worker that adopts it. Its outcomes are settled here, beside that
//! worker's own exchange, because the claims belong to another owner; nothing new is ever claimed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queuectl_core::id::JobId;
use queuectl_core::limits::{RUNNING_POLL_MAX, STOPPING_STORE_PATIENCE};
use queuectl_core::store::{Claim, Listener, Settle, Settled, StopMode, StoreError, Topic};
use queuectl_exec::now_boot_ms;
use queuectl_exec::protocol::{Event, ExitRecord, Request, StopReason};
use queuectl_exec::rundir;
use queuectl_points::point;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::link::{Adopted, Link, adopt};
use super::recovery::sync_off_thread;
use super::settling::Facts;
use super::turn::{CLAIM_LOST, OUTCOME_REFUSED, draw};
use super::ward::Ward;
use crate::client::Client;
use crate::error::Error;

/// After the store failed, how long until the outcomes are offered again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What all adopted keepers of one process share with it.
#[derive(Clone)]
pub struct Household {
    /// Adopted attempts that run or are still to be settled.
    unfinished: watch::Sender<usize>,
    /// How they are to stop: not at all, when they have ended, now, or left to the next worker.
    stop: watch::Sender<Option<StopMode>>,
    /// Outcomes recorded.
    settled: Arc<AtomicU64>,
}

impl Default for Household {
    fn default() -> Household {
        Household {
            unfinished: watch::Sender::new(0),
            stop: watch::Sender::new(None),
            settled: Arc::default(),
        }
    }
}

impl Household {
    /// How many adopted attempts run or are still to be settled, and every change of it.
    pub fn unfinished(&self) -> watch::Receiver<usize> {
        self.unfinished.subscribe()
    }

    /// How many outcomes of adopted attempts were recorded.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Tells all that are adopted, now or later. A weaker mode never replaces a stronger one.
    pub fn stop(&self, mode: StopMode) {
        self.stop.send_if_modified(|stop| {
            let stronger = *stop < Some(mode);
            if stronger {
                *stop = Some(mode);
            }
            stronger
        });
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }
}

/// Adopts every keeper of the run directory that has no worker; returns those that are ours now.
pub async fn adopt_orphans(client: &Client, household: &Household) -> Vec<Foster> {
    let run_dir = client.place().run_dir;
    let orphans = match rundir::orphans(&run_dir) {
        Ok(orphans) => orphans,
        Err(error) => {
            warn!(%error, "cannot look for keepers without a worker");
            return Vec::new();
        }
    };
    let mut fosters = Vec::new();
    for id in orphans {
        match adopt(&run_dir, &id).await {
            Ok(Some(adopted)) => match Foster::new(client, adopted, household).await {
                Ok(foster) => fosters.push(foster),
                Err(error) => warn!(keeper.id = %id, %error, "cannot take over a keeper; trying again"),
            },
            Ok(None) => {}
            Err(error) => warn!(keeper.id = %id, %error, "cannot speak with a keeper that has no worker"),
        }
    }
    fosters
}

/// While they do not stop, adopted keepers are looked for by one who is not stopping himself.
pub async fn adopt_more(client: &Client, household: &Household) -> Vec<Foster> {
    if household.is_stopping() { Vec::new() } else { adopt_orphans(client, household).await }
}

/// One adopted keeper.
pub struct Foster {
    client: Client,
    link: Link,
    ward: Ward,
    listener: Box<dyn Listener>,
    unfinished: watch::Sender<usize>,
    settled: Arc<AtomicU64>,
    stop: watch::Receiver<Option<StopMode>>,
    /// Counted into the household.
    counted: usize,
    /// Since when the store takes nothing.
    failing_since: Option<u64>,
}

/// What a foster goes on with.
enum Next {
    Work,
    /// Nothing of this keeper is left.
    Over,
    /// The rest is somebody else's.
    Leave,
    /// The keeper is gone; whoever takes its lock does the rest.
    Lost,
}

impl Foster {
    async fn new(client: &Client, adopted: Adopted, household: &Household) -> Result<Foster, Error> {
        let Adopted { link, told } = adopted;
        point!("adopt.begun");
        let listener = client.store.listen(Topic::Work).await?;
        let settings = client.settings().await?;
        let held = client.store.claims_of(&link.owner).await?;
        let found = Ward::find(&link.owner, settings, held, told, now_boot_ms());
        let mut foster = Foster {
            client: client.clone(),
            link,
            ward: found.ward,
            listener,
            unfinished: household.unfinished.clone(),
            settled: household.settled.clone(),
            stop: household.stop.subscribe(),
            counted: 0,
            failing_since: None,
        };
        // Also heard if it was said before this one listened.
        foster.stop.mark_changed();
        for (claim, record) in found.ended {
            foster.end(&claim, Box::new(record)).await?;
        }
        point!("adopt.found");
        foster.send(found.orders);
        foster.count();
        info!(keeper.id = %foster.link.owner, running = foster.ward.running(), "adopted what a worker left running");
        Ok(foster)
    }

    /// Tells the household how many attempts of this keeper are unfinished. A store that stays away is not waited for.
    fn count(&mut self) {
        let settles = !self.has_lost_patience(now_boot_ms());
        let now = if settles { self.ward.unfinished() } else { self.ward.running() };
        let before = std::mem::replace(&mut self.counted, now);
        if before != now {
            self.unfinished.send_modify(|unfinished| *unfinished = *unfinished + now - before);
        }
    }

    /// The store has failed for longer than whoever is to stop waits for it.
    fn has_lost_patience(&self, now: u64) -> bool {
        self.failing_since.is_some_and(|since| now - since >= STOPPING_STORE_PATIENCE.as_millis() as u64)
    }

    /// Looks after the keeper until its last attempt is settled, or until it is left to somebody else.
    pub async fn run(mut self) {
        let next = loop {
            match self.step().await {
                Next::Work => self.count(),
                other => break other,
            }
        };
        self.unfinished.send_modify(|unfinished| *unfinished -= self.counted);
        match next {
            Next::Leave => self.link.hand_over().await,
            Next::Work | Next::Over | Next::Lost => self.link.leave().await,
        }
    }

    async fn step(&mut self) -> Next {
        if self.ward.is_unsettled()
            && let Err(next) = self.settle().await
        {
            return next;
        }
        if self.ward.is_over() {
            return Next::Over;
        }
        let rest = if self.ward.is_unsettled() { STORE_PAUSE } else { RUNNING_POLL_MAX };
        tokio::select! {
            biased;
            Ok(()) = self.stop.changed() => {
                let mode = *self.stop.borrow_and_update();
                match mode {
                    Some(StopMode::HandOver) => return Next::Leave,
                    Some(StopMode::Now) => self.send(self.ward.stop_all(StopReason::WorkerStopping)),
                    Some(StopMode::Drain) | None => {}
                }
            }
            event = self.link.next() => match event {
                None => {
                    warn!(keeper.id = %self.link.owner, "an adopted keeper died");
                    return Next::Lost;
                }
                Some(Event::Exited(record)) => {
                    if let Some(claim) = self.ward.take(record.claim)
                        && let Err(error) = self.end(&claim, record).await
                    {
                        // Its record is in the spool.
                        warn!(%error, "cannot settle an adopted attempt");
                        return Next::Leave;
                    }
                }
                Some(_) => {}
            },
            _ = self.listener.wait(rest) => {
                // Somebody may ask for a cancellation.
                if let Err(next) = self.settle().await {
                    return next;
                }
            }
        }
        Next::Work
    }

    fn send(&self, orders: Vec<Request>) {
        for order in orders {
            self.link.send(order);
        }
    }

    /// An attempt has ended.
    async fn end(&mut self, claim: &Claim, record: Box<ExitRecord>) -> Result<(), Error> {
        let (record, stderr_tail) = sync_off_thread(record, &self.client.place().out_dir).await?;
        let now = now_boot_ms();
        self.ward.end(claim, &Facts { record: &record, stderr_tail: &stderr_tail, now, random: draw() });
        Ok(())
    }

    /// Offers what has ended, and hears who is to be cancelled.
    async fn settle(&mut self) -> Result<(), Next> {
        let now = now_boot_ms();
        let (request, offered) = self.ward.offer(now);
        match self.client.store.exchange(request).await {
            Ok(reply) => {
                self.failing_since = None;
                point!("adopt.settled");
                let answer = self.ward.hear(offered, reply);
                for (job, attempt, settle, result) in &answer.settled {
                    self.tell(job, *attempt, settle, result);
                }
                self.send(answer.orders);
                Ok(())
            }
            Err(error) => {
                self.ward.keep(offered);
                self.fail(&error, now)
            }
        }
    }

    fn tell(&self, job: &JobId, attempt: u32, settle: &Settle, result: &Settled) {
        match result {
            Settled::Done => {
                self.settled.fetch_add(1, Ordering::Relaxed);
                let to = settle.patch.shown().as_str();
                info!(job.id = %job, attempt, state = to, "{}", settle.attempt.outcome.describe());
            }
            Settled::Lost => warn!(job.id = %job, attempt, "{CLAIM_LOST}"),
            Settled::Refused(why) => error!(job.id = %job, attempt, why, "{OUTCOME_REFUSED}"),
        }
    }

    /// The store failed. Whoever is to stop does not wait for it for ever: all is in the keeper's spool.
    fn fail(&mut self, error: &StoreError, now: u64) -> Result<(), Next> {
        if self.failing_since.is_none() {
            error!(%error, "the store cannot be used; what adopted jobs came to is offered again");
        }
        self.failing_since.get_or_insert(now);
        let stopping = self.stop.borrow().is_some() && self.has_lost_patience(now);
        if stopping || error.shuts_out() { Err(Next::Leave) } else { Ok(()) }
    }
}
