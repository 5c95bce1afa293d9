//! Adoption: a keeper whose worker is gone is taken over with all that it runs, until its last attempt has ended.
//!
//! What it runs counts against the slots of the worker that adopts it. Its outcomes are settled here, beside that
//! worker's own exchange, because the claims belong to another owner; nothing new is ever claimed for it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queuectl_core::id::JobId;
use queuectl_core::limits::{KEEPER_HELLO_MAX, RUNNING_POLL_MAX, STOPPING_STORE_PATIENCE};
use queuectl_core::store::{Claim, Listener, Settle, Settled, StopMode, StoreError, Topic};
use queuectl_exec::now_boot_ms;
use queuectl_exec::protocol::{Event, ExitRecord, OnCrash, Request, StopReason};
use queuectl_exec::rundir;
use queuectl_points::point;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
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
    /// What becomes of them if this process dies.
    on_crash: OnCrash,
}

impl Default for Household {
    /// Of somebody who is no worker: whatever becomes of him, they run on.
    fn default() -> Household {
        Household::new(OnCrash::Adopt)
    }
}

impl Household {
    pub fn new(on_crash: OnCrash) -> Household {
        Household {
            unfinished: watch::Sender::new(0),
            stop: watch::Sender::new(None),
            settled: Arc::default(),
            on_crash,
        }
    }

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

/// The keepers that one process asks for adoption and looks after, each in a task of its own: one that does not answer
/// holds up nobody. Dropped, they are left to the next who adopts.
pub struct Fosters {
    client: Client,
    household: Household,
    tasks: JoinSet<()>,
    /// By keeper: asked, or ours.
    known: HashMap<String, AbortHandle>,
    /// False once those that have not answered are waited for no longer.
    asking: watch::Sender<bool>,
}

/// Resolves once a keeper that was asked is ours, or is not to be.
pub type Answer = oneshot::Receiver<Infallible>;

impl Fosters {
    pub fn new(client: &Client, household: &Household) -> Fosters {
        Fosters {
            client: client.clone(),
            household: household.clone(),
            tasks: JoinSet::new(),
            known: HashMap::new(),
            asking: watch::Sender::new(true),
        }
    }

    /// Asks every keeper of the run directory that says that it has no worker. One who is stopping asks nobody.
    pub fn look(&mut self) -> Vec<Answer> {
        if self.household.is_stopping() {
            return Vec::new();
        }
        match rundir::orphans(&self.client.place().run_dir) {
            Ok(orphans) => orphans.into_iter().filter_map(|id| self.ask(id)).collect(),
            Err(error) => {
                warn!(%error, "cannot look for keepers without a worker");
                Vec::new()
            }
        }
    }

    /// Asks this keeper, unless it was asked already.
    pub fn ask(&mut self, id: String) -> Option<Answer> {
        while self.tasks.try_join_next().is_some() {}
        self.known.retain(|_, task| !task.is_finished());
        if self.known.contains_key(&id) {
            return None;
        }
        let (asked, answer) = oneshot::channel();
        let (client, household) = (self.client.clone(), self.household.clone());
        let task = look_after(client, household, id.clone(), self.asking.subscribe(), asked);
        self.known.insert(id, self.tasks.spawn(task));
        Some(answer)
    }

    /// Waits until those that are ours need nobody any more; the others are given up.
    pub async fn rest(mut self) {
        self.asking.send_replace(false);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// From the question until its last attempt is settled.
async fn look_after(
    client: Client,
    household: Household,
    id: String,
    mut asking: watch::Receiver<bool>,
    asked: oneshot::Sender<Infallible>,
) {
    let adopted = tokio::select! {
        biased;
        adopted = Foster::adopt(&client, &household, &id) => adopted,
        _ = asking.wait_for(|asking| !asking) => return,
    };
    drop(asked);
    match adopted {
        Ok(Some(foster)) => foster.run().await,
        Ok(None) => {}
        Err(error) => warn!(keeper.id = %id, %error, "cannot take over a keeper; trying again"),
    }
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
    async fn adopt(client: &Client, household: &Household, id: &str) -> Result<Option<Foster>, Error> {
        let run_dir = client.place().run_dir;
        let mut adopted = pin!(adopt(&run_dir, id, household.on_crash));
        let adopted = if let Ok(adopted) = tokio::time::timeout(KEEPER_HELLO_MAX, &mut adopted).await {
            adopted
        } else {
            warn!(keeper.id = %id, "a keeper without a worker does not answer; it is taken over once it does");
            adopted.await
        };
        let adopted = adopted.map_err(|source| Error::Keeper {
            what: "cannot be spoken to".to_owned(),
            source: Some(source),
        })?;
        match adopted {
            Some(adopted) => Foster::new(client, adopted, household).await.map(Some),
            None => Ok(None),
        }
    }

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
                    Some(StopMode::Now) => {
                        let stops = self.ward.stop_all(StopReason::WorkerStopping);
                        self.send(stops);
                    }
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

    fn send(&mut self, orders: Vec<Request>) {
        for order in orders {
            self.link.send(order);
        }
        // The store may be asked before the keeper is listened to, and may take its time.
        self.link.flush();
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
