//! Adoption: a keeper whose worker is gone is taken over with all that it runs, until its last attempt has ended.
//!
//! What it runs counts against the slots of the worker that adopts it. Its outcomes are settled here, beside that
//! worker's own exchange, because the claims belong to another owner; nothing new is ever claimed for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::id::JobId;
use queuectl_core::limits::{RUNNING_POLL_MAX, SETTLES_MAX, STOPPING_STORE_PATIENCE};
use queuectl_core::outcome::Interruption;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, Listener, Settle, Settled, StopMode, StoreError, Topic};
use queuectl_exec::now_boot_ms;
use queuectl_exec::protocol::{ClaimKey, End, Event, ExitRecord, Request, StopReason};
use queuectl_exec::rundir;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::link::{Adopted, Link, adopt};
use super::recovery::{exchange_request, sync_off_thread};
use super::settling::{Facts, settle_for, settle_interrupted};
use super::turn::{CLAIM_LOST, OUTCOME_REFUSED, draw};
use crate::client::Client;
use crate::error::Error;

/// After the store failed, how long until the outcomes are offered again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What all adopted keepers of one process share with it.
#[derive(Clone)]
pub struct Household {
    /// Adopted attempts that run.
    running: watch::Sender<usize>,
    /// How they are to stop: not at all, when they have ended, now, or left to the next worker.
    stop: watch::Sender<Option<StopMode>>,
    /// Outcomes recorded.
    settled: Arc<AtomicU64>,
}

impl Default for Household {
    fn default() -> Household {
        Household { running: watch::Sender::new(0), stop: watch::Sender::new(None), settled: Arc::default() }
    }
}

impl Household {
    /// How many adopted attempts run, and every change of it.
    pub fn running(&self) -> watch::Receiver<usize> {
        self.running.subscribe()
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

/// An outcome that is not settled yet, and when it was made.
struct Pending {
    job: JobId,
    attempt: u32,
    settle: Settle,
    since: u64,
}

impl Pending {
    fn new(claim: &Claim, settle: Settle) -> Pending {
        Pending { job: claim.job.id.clone(), attempt: claim.attempt, settle, since: now_boot_ms() }
    }
}

/// One adopted keeper.
pub struct Foster {
    client: Client,
    link: Link,
    settings: Settings,
    /// What runs.
    claims: HashMap<ClaimToken, Claim>,
    /// What has ended and is not settled.
    pending: Vec<Pending>,
    /// Claims of which nothing was started.
    releases: Vec<ClaimToken>,
    listener: Box<dyn Listener>,
    running: watch::Sender<usize>,
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
        let Adopted { link, running, lost, ended } = adopted;
        let listener = client.store.listen(Topic::Work).await?;
        let settings = client.settings().await?;
        let held = client.store.claims_of(&link.owner).await?;
        let mut foster = Foster {
            client: client.clone(),
            link,
            settings,
            claims: HashMap::new(),
            pending: Vec::new(),
            releases: Vec::new(),
            listener,
            running: household.running.clone(),
            settled: household.settled.clone(),
            stop: household.stop.subscribe(),
            counted: 0,
            failing_since: None,
        };
        // Also heard if it was said before this one listened.
        foster.stop.mark_changed();
        let mut ended: HashMap<ClaimKey, ExitRecord> =
            ended.into_iter().map(|record| (record.claim, record)).collect();
        let mut strangers = running.clone();
        for claim in held {
            let key = ClaimKey::from(claim.token);
            if running.contains(&key) {
                foster.claims.insert(claim.token, claim);
            } else if let Some(record) = ended.remove(&key) {
                foster.end(&claim, Box::new(record)).await?;
            } else if lost.contains(&key) {
                let settle = settle_interrupted(&claim, Interruption::Crash, &foster.settings);
                foster.pending.push(Pending::new(&claim, settle));
            } else {
                foster.releases.push(claim.token);
            }
        }
        // Claims that the store does not know any more: nobody is to record what comes of them.
        strangers.retain(|key| !foster.knows(key));
        for claim in strangers {
            let reason = StopReason::WorkerStopping;
            foster.link.send(Request::Stop { claim, reason, grace_ms: 0 });
        }
        // Settled by a worker that died before it could say so.
        let told: Vec<ClaimKey> = ended.into_keys().chain(lost).filter(|key| !foster.knows(key)).collect();
        if !told.is_empty() {
            foster.link.send(Request::Settled { claims: told });
        }
        foster.count();
        info!(keeper.id = %foster.link.owner, running = foster.counted, "adopted what a worker left running");
        Ok(foster)
    }

    fn knows(&self, key: &ClaimKey) -> bool {
        let pending = self.pending.iter().map(|one| one.settle.claim);
        self.claims.keys().copied().chain(pending).any(|claim| ClaimKey::from(claim) == *key)
    }

    /// Tells the household how many attempts of this keeper run.
    fn count(&mut self) {
        let (before, now) = (self.counted, self.claims.len());
        self.counted = now;
        if before != now {
            self.running.send_modify(|running| *running = *running + now - before);
        }
    }

    /// Looks after the keeper until its last attempt is settled, or until it is left to somebody else.
    pub async fn run(mut self) {
        let next = loop {
            match self.step().await {
                Next::Work => self.count(),
                other => break other,
            }
        };
        self.claims.clear();
        self.count();
        match next {
            Next::Leave => self.link.hand_over().await,
            Next::Work | Next::Over | Next::Lost => self.link.leave().await,
        }
    }

    async fn step(&mut self) -> Next {
        if self.is_unsettled()
            && let Err(next) = self.settle().await
        {
            return next;
        }
        if self.claims.is_empty() && !self.is_unsettled() {
            return Next::Over;
        }
        let rest = if self.is_unsettled() { STORE_PAUSE } else { RUNNING_POLL_MAX };
        tokio::select! {
            biased;
            Ok(()) = self.stop.changed() => {
                let mode = *self.stop.borrow_and_update();
                match mode {
                    Some(StopMode::HandOver) => return Next::Leave,
                    Some(StopMode::Now) => self.stop_all(StopReason::WorkerStopping),
                    Some(StopMode::Drain) | None => {}
                }
            }
            event = self.link.next() => match event {
                None => {
                    warn!(keeper.id = %self.link.owner, "an adopted keeper died");
                    return Next::Lost;
                }
                Some(Event::Exited(record)) => {
                    if let Some(claim) = self.claims.remove(&ClaimToken::from(record.claim))
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

    fn is_unsettled(&self) -> bool {
        !self.pending.is_empty() || !self.releases.is_empty()
    }

    /// An attempt has ended.
    async fn end(&mut self, claim: &Claim, record: Box<ExitRecord>) -> Result<(), Error> {
        if matches!(record.end, End::CouldNotStart { ours: true, .. }) {
            self.releases.push(claim.token);
            return Ok(());
        }
        let (record, stderr_tail) = sync_off_thread(record, &self.client.place().out_dir).await?;
        let now = now_boot_ms();
        let facts = Facts { record: &record, stderr_tail: &stderr_tail, now, random: draw() };
        self.pending.push(Pending::new(claim, settle_for(claim, &facts, &self.settings)));
        Ok(())
    }

    /// Offers what has ended, and hears who is to be cancelled.
    async fn settle(&mut self) -> Result<(), Next> {
        let now = now_boot_ms();
        let sent: Vec<Pending> = self.pending.drain(..self.pending.len().min(SETTLES_MAX)).collect();
        let releases = std::mem::take(&mut self.releases);
        let aged = |one: &Pending| {
            let (mut settle, waited) = (one.settle.clone(), Duration::from_millis(now - one.since));
            settle.attempt.ended_ago += waited;
            settle.attempt.started_ago = settle.attempt.started_ago.map(|ago| ago + waited);
            settle
        };
        let settles = sent.iter().map(aged).collect();
        let request = exchange_request(&self.link.owner, settles, releases.clone(), self.settings.version);
        match self.client.store.exchange(request).await {
            Ok(reply) => {
                self.failing_since = None;
                if let Some(settings) = reply.settings {
                    self.settings = settings;
                }
                self.take_settled(sent, reply.settled, &releases);
                for token in reply.cancels {
                    self.stop_one(token, StopReason::Cancelled);
                }
                Ok(())
            }
            Err(error) => {
                self.pending.splice(0..0, sent);
                self.releases = releases;
                self.fail(&error, now)
            }
        }
    }

    fn take_settled(&mut self, sent: Vec<Pending>, results: Vec<Settled>, released: &[ClaimToken]) {
        let mut durable: Vec<ClaimKey> = released.iter().map(|token| ClaimKey::from(*token)).collect();
        for (one, result) in sent.into_iter().zip(results) {
            let (to, attempt) = (one.settle.patch.shown().as_str(), one.attempt);
            match result {
                Settled::Done => {
                    self.settled.fetch_add(1, Ordering::Relaxed);
                    info!(job.id = %one.job, attempt, state = to, "{}", one.settle.attempt.outcome.describe());
                }
                Settled::Lost => warn!(job.id = %one.job, attempt, "{CLAIM_LOST}"),
                Settled::Refused(why) => {
                    error!(job.id = %one.job, attempt, why, "{OUTCOME_REFUSED}");
                    self.pending.push(one);
                    continue;
                }
            }
            durable.push(one.settle.claim.into());
        }
        if !durable.is_empty() {
            self.link.send(Request::Settled { claims: durable });
        }
    }

    /// The store failed. Whoever is to stop does not wait for it for ever: all is in the keeper's spool.
    fn fail(&mut self, error: &StoreError, now: u64) -> Result<(), Next> {
        if self.failing_since.is_none() {
            error!(%error, "the store cannot be used; what adopted jobs came to is offered again");
        }
        let since = *self.failing_since.get_or_insert(now);
        let patience = STOPPING_STORE_PATIENCE.as_millis() as u64;
        let stopping = self.stop.borrow().is_some() && now - since >= patience;
        let excluded = matches!(error, StoreError::Incompatible { .. });
        if stopping || excluded { Err(Next::Leave) } else { Ok(()) }
    }

    fn stop_all(&self, reason: StopReason) {
        for token in self.claims.keys() {
            self.stop_one(*token, reason);
        }
    }

    fn stop_one(&self, token: ClaimToken, reason: StopReason) {
        if let Some(claim) = self.claims.get(&token) {
            let grace_ms = claim.job.spec.kill_grace.as_millis() as u64;
            self.link.send(Request::Stop { claim: token.into(), reason, grace_ms });
        }
    }
}
