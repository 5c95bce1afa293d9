//! The thin loop around the step machine: it waits, tells the machine what happened, and does what the machine says.

use std::path::PathBuf;
use std::time::Duration;

use queuectl_core::limits::{
    OUTPUT_INLINE_BYTES_MAX, RECOVERY_INTERVAL_ALONE, SETTLES_MAX, SPAWN_PAUSE_FIRST, SPAWN_PAUSE_MAX,
};
use queuectl_core::store::{
    Exchange, ExchangeReply, ExchangeRequest, Listener, StopMode, StoreError, StoreResult,
};
use queuectl_exec::protocol::{self, Body, Captured, Event as KeeperEvent, ExitRecord, Request};
use queuectl_exec::rundir::HeldLock;
use queuectl_exec::{forget_start_up, now_boot_ms, sync_output};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::WorkerReport;
use super::duties::{Beat, Duties};
use super::events::{Action, Ended, Event, Report};
use super::foster::Household;
use super::link::{Link, Runner, Start, keeper_id};
use super::recovery::Recovery;
use super::settling::last_line;
use super::signs::Signs;
use super::start::Surroundings;
use super::step::{Identity, Machine, spread};
use crate::client::Client;
use crate::error::Error;

/// Exits whose output files are being synced.
const SYNCING_MAX: usize = 1024;
/// Of standard error, looked at for the last line, in bytes.
const TAIL_BYTES: usize = 4096;
const BEAT_MS_MAX: u64 = RECOVERY_INTERVAL_ALONE.as_millis() as u64;
/// How long until a drained worker asks again whether somebody else has given back what a dead keeper ran.
const HEIR_PAUSE: Duration = Duration::from_millis(20);
/// Keepers that may die one after the other, without an attempt that ended between, before the worker gives up.
const KEEPER_DEATHS_MAX: u32 = 5;
/// After a keeper died before its first word, how long until another one is tried; doubled with each death.
const KEEPER_PAUSE: Duration = Duration::from_millis(20);

pub const CLAIM_LOST: &str = "its claim was no longer valid; the outcome was not recorded";
pub const OUTCOME_REFUSED: &str = "the store does not take its outcome; it is offered again";

pub struct Turns {
    client: Client,
    worker: String,
    machine: Machine,
    /// From the kernel, once: what is made of it spreads retries, and guards nothing.
    seed: u64,
    steps: u64,
    runner: Runner,
    out_dir: PathBuf,
    link: Option<Link>,
    /// While there is none: when one is started.
    keeper_at: u64,
    /// How often in a row none could be, for lack of processes, descriptors or memory.
    shortages: u32,
    /// What the keeper said behind a number of exits that were taken together.
    behind: Option<KeeperEvent>,
    exchange: Option<JoinHandle<Result<ExchangeReply, StoreError>>>,
    /// When it was sent.
    exchange_since: u64,
    signs: Signs,
    synced: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    household: Household,
    /// Adopted attempts that are not finished.
    fostered: watch::Receiver<usize>,
    nudge: super::duties::Nudge,
    beat: Beat,
    recovery: Recovery,
    /// Since the last start a pass of recovery has found nothing more to do.
    confirmed: bool,
    deaths: u32,
    /// Why this process must not use the store any more.
    closed: Option<String>,
    report: WorkerReport,
}

impl Turns {
    pub async fn new(
        client: Client,
        identity: Identity,
        surroundings: Surroundings,
        runner: Runner,
        duties: &Duties,
    ) -> Result<Turns, Error> {
        let settings = client.settings().await?;
        let household = duties.household();
        let fostered = household.unfinished();
        let client_out_dir = client.place().out_dir;
        Ok(Turns {
            client,
            worker: identity.worker.clone(),
            machine: Machine::new(identity, surroundings, settings),
            seed: draw(),
            steps: 0,
            runner,
            out_dir: client_out_dir,
            link: None,
            keeper_at: 0,
            shortages: 0,
            behind: None,
            exchange: None,
            exchange_since: 0,
            signs: Signs::default(),
            synced: mpsc::channel(SYNCING_MAX),
            household,
            fostered,
            nudge: duties.nudge(),
            beat: duties.beat(),
            recovery: duties.recovery(),
            confirmed: false,
            deaths: 0,
            closed: None,
            report: WorkerReport::default(),
        })
    }

    pub fn watched(self, signs: Signs) -> Turns {
        Turns { signs, ..self }
    }

    pub async fn run(
        mut self,
        mut listener: Box<dyn Listener>,
        mut stop: watch::Receiver<Option<StopMode>>,
        lock: &HeldLock,
    ) -> Result<WorkerReport, Error> {
        let mut event = self.start_keeper().await?;
        self.machine.foster(*self.fostered.borrow_and_update());
        if !self.runner.is_here() {
            forget_start_up();
        }
        loop {
            if matches!(event, Event::KeeperLost) && !self.machine.is_stopping() {
                count_death(&mut self.deaths)?;
                self.nudge.now();
            }
            if self.turn(event) {
                if self.machine.is_stopping() || self.confirmed {
                    break;
                }
                // Drained, unless a dead keeper still holds jobs that would come back: even one of whom nothing is left,
                // for what was claimed for it in the instant of its death may have been committed after its recovery.
                while !self.recovery.recover_all().await {
                    tokio::time::sleep(HEIR_PAUSE).await;
                }
                self.confirmed = true;
                event = Event::Rang;
                continue;
            }
            event = if self.wants_keeper() {
                self.start_keeper().await?
            } else {
                self.next_event(&mut listener, &mut stop, lock).await
            };
        }
        match self.link.take() {
            Some(link) if self.machine.leaves_running() => link.hand_over().await,
            Some(link) => link.leave().await,
            // What the lost keeper ran is settled before this worker goes.
            None => {
                self.recovery.recover_dead().await;
            }
        }
        self.report.settled += self.household.settled();
        if let Some(what) = self.closed {
            return Err(StoreError::Closed { what }.into());
        }
        Ok(self.report)
    }

    /// One step; true if it was the last.
    fn turn(&mut self, event: Event) -> bool {
        let mut over = false;
        self.steps += 1;
        let random = spread(self.seed, self.steps);
        for action in self.machine.step(event, now_boot_ms(), random) {
            match action {
                Action::Exchange { request, recall } => {
                    let store = self.client.store.clone();
                    self.exchange_since = now_boot_ms();
                    self.exchange =
                        Some(tokio::spawn(async move { exchange(&*store, *request, recall).await }));
                }
                Action::Keeper(order) => {
                    if let Some(link) = &mut self.link {
                        match (order, self.runner.is_here()) {
                            (Request::Start(start), true) => {
                                self.machine.claim(start.claim).into_iter().for_each(|claim| link.run(claim));
                            }
                            (order, _) => link.send(order),
                        }
                    }
                }
                Action::Report(report) => self.tell(report),
                Action::Exit => over = true,
            }
        }
        if let Some(mode) = self.machine.stop() {
            self.household.stop(mode);
        }
        let exchange_since = self.exchange.as_ref().map(|_| self.exchange_since);
        self.signs.turned(now_boot_ms(), self.machine.stop(), exchange_since);
        over
    }

    async fn next_event(
        &mut self,
        listener: &mut Box<dyn Listener>,
        stop: &mut watch::Receiver<Option<StopMode>>,
        lock: &HeldLock,
    ) -> Event {
        let now = now_boot_ms();
        // The slow look comes with the duties' beat. Should that not come, it does not wait much longer.
        let slack = if self.machine.is_at_rest() { BEAT_MS_MAX } else { 0 };
        let wake_at = self.machine.wake_at().saturating_add(slack);
        let keeper_at =
            if self.link.is_none() && !self.machine.is_stopping() { self.keeper_at } else { u64::MAX };
        let rest = wake_at.min(keeper_at).saturating_sub(now).min(self.signs.rest_max(now)).min(60_000);
        let rest = Duration::from_millis(rest);
        tokio::select! {
            biased;
            Ok(()) = stop.changed() => {
                let mode = *stop.borrow_and_update();
                mode.map_or(Event::Tick, |mode| {
                    self.announce_stop(mode);
                    Event::Stop(mode)
                })
            }
            Ok(()) = self.fostered.changed() => {
                Event::Fostered { running: *self.fostered.borrow_and_update() }
            }
            event = next_from(&mut self.link, &mut self.behind) => match event {
                Some(KeeperEvent::Exited(record)) => self.ended_together(record),
                Some(event) => Event::Keeper(event),
                None => {
                    self.bury_keeper();
                    Event::KeeperLost
                }
            },
            Some(event) = self.synced.1.recv() => event,
            reply = finished(&mut self.exchange) => {
                self.exchange = None;
                if let Err(StoreError::Closed { what }) = &reply {
                    self.closed = Some(what.clone());
                }
                Event::Exchanged(reply)
            }
            rest = self.beat.next() => {
                if self.closed.is_none() && !lock.is_in_place() {
                    return self.be_forgotten();
                }
                Event::Beat { next: now_boot_ms() + rest }
            }
            rung = listener.wait(rest) => if rung { Event::Rang } else { Event::Tick },
        }
    }

    /// Its lock file has gone, so that everyone takes it for dead, and no stop would reach it.
    fn be_forgotten(&mut self) -> Event {
        let what = "the lock file of this worker has gone from the run directory; it stops, and leaves its jobs to the next";
        error!("{what}");
        self.closed = Some(what.to_owned());
        Event::Stop(StopMode::HandOver)
    }

    /// Tells everyone that this worker takes nothing more. Not waited for: the stop holds whether or not it is known.
    fn announce_stop(&self, mode: StopMode) {
        let (store, worker) = (self.client.store.clone(), self.worker.clone());
        tokio::spawn(async move { store.request_stop(&[worker], mode).await });
    }

    /// An attempt has ended, and perhaps more by now: what is known together is settled together.
    fn ended_together(&mut self, first: Box<ExitRecord>) -> Event {
        let mut ended = Vec::new();
        let mut next = Some(KeeperEvent::Exited(first));
        while let Some(event) = next.take() {
            let KeeperEvent::Exited(record) = event else {
                self.behind = Some(event);
                break;
            };
            if let Event::Ended(more) = self.ended(record) {
                ended.extend(more);
            }
            if ended.len() < SETTLES_MAX {
                next = self.link.as_mut().and_then(Link::try_next);
            }
        }
        Event::Ended(ended)
    }

    /// An attempt has ended. Output in files is synced before anything names it, off this thread.
    fn ended(&mut self, record: Box<ExitRecord>) -> Event {
        self.deaths = 0;
        let inline = |output: &Captured| matches!(output.body, Body::Inline(_));
        if inline(&record.stdout) && inline(&record.stderr) {
            let stderr_tail = stderr_tail(&self.out_dir, &record.stderr);
            return Event::Ended(vec![Ended { record, stderr_tail }]);
        }
        let (sender, out_dir) = (self.synced.0.clone(), self.out_dir.clone());
        tokio::spawn(async move {
            let task = tokio::task::spawn_blocking(move || sync_record(record, &out_dir));
            if let Ok((record, stderr_tail)) = task.await {
                // Nobody listens only if the worker has gone, and then whoever recovers its keeper settles it.
                let _ = sender.send(Event::Ended(vec![Ended { record, stderr_tail }])).await;
            }
        });
        Event::Tick
    }

    fn bury_keeper(&mut self) {
        if let Some(link) = self.link.take() {
            warn!(keeper.id = %link.owner, "the keeper died; its jobs are given back once nothing is left of them");
            tokio::spawn(link.leave());
        }
    }

    fn wants_keeper(&self) -> bool {
        self.link.is_none() && !self.machine.is_stopping() && now_boot_ms() >= self.keeper_at
    }

    /// Starts a keeper, and another one if it is killed before its first word. What the machine lacks is waited for, for
    /// ever longer, while all else goes on.
    async fn start_keeper(&mut self) -> Result<Event, Error> {
        loop {
            match self.runner.start(keeper_id(&self.client.next_id())).await? {
                Start::Ready(link) => {
                    self.shortages = 0;
                    let owner = link.owner.clone();
                    self.link = Some(link);
                    return Ok(Event::KeeperReady { owner });
                }
                Start::Died => {
                    count_death(&mut self.deaths)?;
                    warn!("the keeper died while it started; trying another one");
                    tokio::time::sleep(KEEPER_PAUSE * 2_u32.pow(self.deaths)).await;
                }
                Start::Short(error) => {
                    let pause = (SPAWN_PAUSE_FIRST * (1 << self.shortages.min(16))).min(SPAWN_PAUSE_MAX);
                    self.shortages += 1;
                    self.keeper_at = now_boot_ms() + pause.as_millis() as u64;
                    warn!(%error, ?pause, "no keeper could be started; claiming pauses");
                    return Ok(Event::Tick);
                }
            }
        }
    }

    fn tell(&mut self, report: Report) {
        match report {
            Report::Started { job, attempt, slot } => {
                self.confirmed = false;
                info!(job.id = %job, attempt, slot, "started");
            }
            Report::Settled { job, attempt, to, what } => {
                self.report.settled += 1;
                info!(job.id = %job, attempt, state = to, "{what}");
            }
            Report::Lost { job, attempt } => {
                warn!(job.id = %job, attempt, "{CLAIM_LOST}");
            }
            Report::Refused { job, attempt, why } => {
                error!(job.id = %job, attempt, why, "{OUTCOME_REFUSED}");
            }
            Report::StoreFailed { why } if self.closed.is_some() => {
                error!(why, "the store cannot be used by this worker any more; it stops");
            }
            Report::StoreFailed { why } => error!(why, "the store cannot be used; trying again"),
            Report::LeftBehind { claims } => warn!(
                claims,
                "the store could not take what came of these; the next worker records it from the spool"
            ),
            Report::StoreBack => info!("the store can be used again"),
            Report::SpawnPaused { why, pause } => {
                warn!(why, ?pause, "no process could be started; the job goes back, and claiming pauses");
            }
        }
    }
}

/// One exchange, as [`Action::Exchange`] asks for it.
pub async fn exchange(
    store: &(impl Exchange + ?Sized),
    request: ExchangeRequest,
    recall: bool,
) -> StoreResult<ExchangeReply> {
    let owner = recall.then(|| request.owner.clone());
    let mut reply = store.exchange(request).await?;
    if let Some(owner) = owner {
        reply.claims = store.claims_of(&owner).await?;
    }
    Ok(reply)
}

/// One more keeper has died; an error if there were too many.
fn count_death(deaths: &mut u32) -> Result<(), Error> {
    *deaths += 1;
    if *deaths > KEEPER_DEATHS_MAX {
        return Err(Error::Keeper { what: "dies again and again".to_owned(), source: None });
    }
    Ok(())
}

async fn next_from(link: &mut Option<Link>, behind: &mut Option<KeeperEvent>) -> Option<KeeperEvent> {
    if let Some(event) = behind.take() {
        return Some(event);
    }
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn finished(
    exchange: &mut Option<JoinHandle<Result<ExchangeReply, StoreError>>>,
) -> Result<ExchangeReply, StoreError> {
    match exchange {
        Some(task) => task.await.unwrap_or_else(|e| Err(StoreError::unavailable("an exchange broke off", e))),
        None => std::future::pending().await,
    }
}

/// Makes the record's files durable; output that cannot be is recorded as dropped rather than promised.
pub fn sync_record(mut record: Box<ExitRecord>, out_dir: &std::path::Path) -> (Box<ExitRecord>, String) {
    let tail = stderr_tail(out_dir, &record.stderr);
    for output in [&mut record.stdout, &mut record.stderr] {
        if let Err(error) = sync_output(out_dir, output) {
            error!(%error, "output could not be made durable and is dropped");
            output.bytes_dropped = output.bytes_total;
            output.head_len = 0;
            output.body = Body::Inline(Vec::new());
        }
    }
    (record, tail)
}

fn stderr_tail(out_dir: &std::path::Path, stderr: &protocol::Captured) -> String {
    let tail = queuectl_exec::output_tail(out_dir, stderr, TAIL_BYTES.min(OUTPUT_INLINE_BYTES_MAX));
    last_line(&tail.unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "the loop hands the machine its random values")]
pub fn draw() -> u64 {
    getrandom::u64().unwrap_or_default()
}
