//! The real step machine in a simulated world: the in-memory store, fake keepers, time that jumps from event to event,
//! and a seed that decides everything else. The same seed gives the same history.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use queuectl_core::job::NewJob;
use queuectl_core::limits::UNSTARTED_MAX;
use queuectl_core::settings::Settings;
use queuectl_core::state::State;
use queuectl_core::store::{
    Attempts, Exchange, ExchangeReply, ExchangeRequest, Jobs, Queues, StopMode, StoreError, Take,
};
use queuectl_exec::protocol::{ClaimKey, Event as KeeperEvent, Request};
use queuectl_testing::given::{With, id, insert, job, queue, set};
use queuectl_testing::keeper::Plan;
use queuectl_testing::{FakeKeeper, ManualClock, MemoryStore};

use super::events::{Action, Event, Report};
use super::settling::{Facts, settle_for};
use super::start::Surroundings;
use super::step::{Identity, Machine};

/// A generator of the splitmix64 kind: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// Nothing in this world waits.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

struct SimWorker {
    machine: Machine,
    keeper: FakeKeeper,
    owner: String,
    /// The reply on its way, and when it arrives.
    reply: Option<(u64, Result<ExchangeReply, StoreError>)>,
    exited: bool,
    slots: usize,
}

struct World {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    now: u64,
    chance: Chance,
    workers: Vec<SimWorker>,
    /// Who runs which job now; two at once is the one thing that must never be.
    running: HashMap<String, (usize, ClaimKey)>,
    starts: BTreeMap<String, u32>,
    keepers: u32,
    /// In a hundred exchanges so many fail.
    failures: u64,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let clock = ManualClock::default();
        World {
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            now: 1_000,
            chance: Chance(seed),
            workers: Vec::new(),
            running: HashMap::new(),
            starts: BTreeMap::new(),
            keepers: 0,
            failures: 0,
            trace: Vec::new(),
        }
    }

    fn insert(&self, jobs: impl IntoIterator<Item = NewJob>) {
        now_or_never(insert(&*self.store, jobs));
    }

    fn new_keeper(&mut self) -> (String, FakeKeeper) {
        self.keepers += 1;
        let owner = format!("keeper{}", self.keepers);
        // How long a job runs and how it ends stands in its id: `n-<ms>-<code>`, else 10 ms and success.
        let script = |start: &queuectl_exec::protocol::Start| {
            let value = |name: &[u8]| {
                let found = start.env.iter().find(|(key, _)| key == name);
                String::from_utf8_lossy(&found.expect("it is ours").1).into_owned()
            };
            let id = value(b"QUEUECTL_JOB_ID");
            let parts: Vec<&str> = id.split('-').collect();
            let number =
                |at: usize, default: u64| parts.get(at).and_then(|p| p.parse().ok()).unwrap_or(default);
            if parts[0] == "crowded" && value(b"QUEUECTL_ATTEMPT") == "1" && number(2, 0) == 1 {
                return Plan::cannot_start("no processes left", true);
            }
            Plan::exits(number(1, 10), number(2, 0) as i32)
        };
        (owner.clone(), FakeKeeper::new(&owner, script))
    }

    fn add_worker(&mut self, slots: usize, drain: bool) -> usize {
        let (owner, keeper) = self.new_keeper();
        let identity = Identity {
            worker: format!("worker{}", self.workers.len()),
            slots,
            take: Take { kinds: vec!["command".to_owned()], ..Take::default() },
            drain,
        };
        let machine = Machine::new(identity, Surroundings::default(), Settings::default());
        self.workers.push(SimWorker {
            machine,
            keeper,
            owner: owner.clone(),
            reply: None,
            exited: false,
            slots,
        });
        let at = self.workers.len() - 1;
        self.step(at, Event::KeeperReady { owner });
        at
    }

    fn step(&mut self, at: usize, event: Event) {
        if self.workers[at].exited {
            return;
        }
        let (now, random) = (self.now, self.chance.draw());
        self.trace.push(format!("{now} worker{at} {event:?}"));
        for action in self.workers[at].machine.step(event, now, random) {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Exchange(request) => self.exchange(at, *request),
            Action::Keeper(order) => {
                if let Request::Start(start) = &order {
                    let name = start.env.iter().find(|(key, _)| key == b"QUEUECTL_JOB_ID").expect("ours");
                    let name = String::from_utf8_lossy(&name.1).into_owned();
                    let before = self.running.insert(name.clone(), (at, start.claim));
                    assert_eq!(before, None, "two runs of {name} at once, at {}", self.now);
                    *self.starts.entry(name).or_default() += 1;
                    let mine = self.running.values().filter(|(worker, _)| *worker == at).count();
                    assert!(mine <= self.workers[at].slots, "worker{at} runs {mine}");
                }
                let now = self.now;
                self.workers[at].keeper.send(now, order);
            }
            Action::Report(Report::Refused { job, why, .. }) => panic!("{job}: {why}"),
            Action::Report(_) => {}
            Action::Exit => self.workers[at].exited = true,
        }
    }

    fn exchange(&mut self, at: usize, request: ExchangeRequest) {
        assert!(self.workers[at].reply.is_none(), "one exchange at a time");
        let arrives = self.now + self.chance.below(4);
        let result = if self.chance.below(100) < self.failures {
            Err(StoreError::Unavailable { what: "the disk is away".to_owned(), source: None })
        } else {
            now_or_never(self.store.exchange(request))
        };
        self.workers[at].reply = Some((arrives, result));
    }

    /// Its keeper dies; someone recovers it at once, and it gets another.
    fn kill_keeper(&mut self, at: usize) {
        let (owner, fresh) = self.new_keeper();
        let dead = std::mem::replace(&mut self.workers[at].keeper, fresh);
        let old_owner = std::mem::replace(&mut self.workers[at].owner, owner.clone());
        let records = dead.die(self.now);
        self.running.retain(|_, (worker, _)| *worker != at);
        self.step(at, Event::KeeperLost);
        let mut settles = Vec::new();
        let mut releases = Vec::new();
        for claim in now_or_never(self.store.claims_of(&old_owner)).expect("the store works") {
            match records.iter().find(|record| record.claim == ClaimKey::from(claim.token)) {
                Some(record) => {
                    let facts = Facts { record, stderr_tail: "", now: self.now, random: 0 };
                    settles.push(settle_for(&claim, &facts, &Settings::default()));
                }
                None => releases.push(claim.token),
            }
        }
        let request = ExchangeRequest {
            worker: String::new(),
            owner: old_owner,
            settles,
            releases,
            want: 0,
            take: Take::default(),
            drain: false,
            settings_seen: 0,
        };
        now_or_never(self.store.exchange(request)).expect("the store works");
        self.step(at, Event::KeeperReady { owner });
    }

    /// Delivers everything that is due, then jumps to the next event; false when nothing is left to happen.
    fn turn(&mut self, until: u64) -> bool {
        let mut next = until;
        for at in 0..self.workers.len() {
            if self.workers[at].exited {
                continue;
            }
            if self.workers[at].reply.as_ref().is_some_and(|(arrives, _)| *arrives <= self.now) {
                let (_, result) = self.workers[at].reply.take().expect("just seen");
                self.step(at, Event::Exchanged(result));
            }
            let now = self.now;
            for event in self.workers[at].keeper.events(now) {
                match event {
                    KeeperEvent::Exited(record) => {
                        self.running.retain(|_, (_, claim)| *claim != record.claim);
                        self.step(at, Event::Ended { record, stderr_tail: String::new() });
                    }
                    event => self.step(at, Event::Keeper(event)),
                }
            }
            if self.workers[at].machine.wake_at() <= self.now {
                self.step(at, Event::Tick);
            }
            let worker = &self.workers[at];
            let arrives = worker.reply.as_ref().map(|(arrives, _)| *arrives);
            let wakes = [arrives, worker.keeper.next_at(), Some(worker.machine.wake_at())];
            next = wakes.into_iter().flatten().fold(next, u64::min);
        }
        let jump = next.max(self.now + 1) - self.now;
        self.now += jump;
        self.clock.advance(Duration::from_millis(jump));
        self.now < until && self.workers.iter().any(|worker| !worker.exited)
    }

    fn run_until(&mut self, until: u64) {
        while self.turn(until) {}
    }

    fn state(&self, name: &str) -> State {
        now_or_never(self.store.get(&id(name))).expect("the store works").expect("it is there").state
    }

    fn claims(&self) -> usize {
        let owners = now_or_never(self.store.owners()).expect("the store works");
        owners.len()
    }
}

/// A life of a queue that the seed decides: jobs of all kinds, workers, failing stores, dying keepers, cancels, pauses.
fn live(seed: u64) -> World {
    let mut world = World::new(seed);
    world.failures = world.chance.below(3) * 10;
    let total = 40;
    let jobs: Vec<NewJob> = (0..total)
        .map(|n| {
            let (run, code) = (world.chance.below(300), world.chance.below(4).saturating_sub(2));
            let priority = world.chance.below(3) as i32;
            job(&format!("j{n}-{run}-{code}"))
                .in_queue(["default", "mail"][world.chance.below(2) as usize])
                .priority(priority)
                .max_retries(world.chance.below(3) as u32)
                .with(|spec| spec.crash_limit = 100)
        })
        .collect();
    let names: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    world.insert(jobs);
    if world.chance.below(2) == 0 {
        now_or_never(set(&*world.store, Some("mail"), "max-running", "1"));
    }
    for _ in 0..=world.chance.below(3) {
        let slots = 1 + world.chance.below(4) as usize;
        world.add_worker(slots, true);
    }
    for _ in 0..12 {
        let until = world.now + world.chance.below(700);
        world.run_until(until);
        let at = world.chance.below(world.workers.len() as u64) as usize;
        match world.chance.below(5) {
            0 if !world.workers[at].exited => world.kill_keeper(at),
            1 => {
                let name = &names[world.chance.below(total) as usize];
                now_or_never(world.store.cancel(&[id(name)])).expect("the store works");
                world.step(at, Event::Rang);
            }
            2 => {
                let paused = world.chance.below(2) == 0;
                now_or_never(world.store.set_paused(&queue("mail"), paused)).expect("the store works");
            }
            _ => world.step(at, Event::Rang),
        }
    }
    now_or_never(world.store.set_paused(&queue("mail"), false)).expect("the store works");
    world.failures = 0;
    world.add_worker(4, true);
    let end = world.now + 3_600_000;
    world.run_until(end);
    assert!(world.workers.iter().all(|worker| worker.exited), "seed {seed}: a drain never ended");
    assert_eq!(world.claims(), 0, "seed {seed}: a claim was left behind");
    for name in names {
        let job = now_or_never(world.store.get(&id(&name))).expect("the store works").expect("it is there");
        assert!(job.state.is_terminal(), "seed {seed}: {name} is {}", job.state);
        let rows = now_or_never(world.store.attempts(&id(&name), false)).expect("the store works");
        let charged = rows.iter().filter(|row| row.charged).count() as u32;
        assert_eq!((rows.len() as u32, charged), (job.runs, job.attempts), "seed {seed}: {name}");
        assert!(job.attempts <= job.spec.max_retries.max(1), "seed {seed}: {name}");
    }
    world
}

#[test]
fn every_job_ends_once_whatever_happens() {
    for seed in 0..150 {
        live(seed);
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    assert_eq!(live(7).trace, live(7).trace);
}

#[test]
fn an_idle_worker_only_looks_now_and_then() {
    let mut world = World::new(1);
    world.add_worker(4, false);
    world.run_until(11_000);
    assert!(world.trace.len() <= 30, "{} steps in ten idle seconds", world.trace.len());
}

#[test]
fn nothing_is_claimed_ahead_before_enough_short_runs() {
    let mut world = World::new(2);
    world.insert((0..9).map(|n| job(&format!("long{n}-60000"))));
    world.add_worker(1, false);
    world.run_until(5_000);
    let processing = (0..9).filter(|n| world.state(&format!("long{n}-60000")) == State::Processing).count();
    assert_eq!(processing, 1, "the others are left to whoever is idle");
}

#[test]
fn a_claim_that_does_not_start_goes_back() {
    let mut world = World::new(3);
    // Short runs teach the worker to claim ahead, then long ones prove it wrong.
    world.insert((0..64).map(|n| job(&format!("short{n}-1")).priority(9)));
    world.insert((0..9).map(|n| job(&format!("long{n}-60000"))));
    world.add_worker(2, false);
    world.run_until(1_000 + 3_000 + UNSTARTED_MAX.as_millis() as u64);
    let processing = (0..9).filter(|n| world.state(&format!("long{n}-60000")) == State::Processing).count();
    assert_eq!(processing, 2);
    assert!((0..64).all(|n| world.state(&format!("short{n}-1")) == State::Completed));
}

#[test]
fn a_stop_finishes_what_runs_and_a_second_gives_it_back() {
    let mut world = World::new(4);
    world.insert([job("brief-500"), job("endless-100000000"), job("waiting")]);
    let at = world.add_worker(2, false);
    world.run_until(1_100);
    world.step(at, Event::Stop(StopMode::Drain));
    world.run_until(5_000);
    assert_eq!(world.state("brief-500"), State::Completed);
    assert_eq!(world.state("waiting"), State::Pending);
    assert!(!world.workers[at].exited);
    world.step(at, Event::Stop(StopMode::Now));
    world.run_until(60_000);
    assert!(world.workers[at].exited);
    let job = now_or_never(world.store.get(&id("endless-100000000"))).expect("works").expect("there");
    assert_eq!((job.state, job.attempts, job.interruptions), (State::Pending, 0, 0));
}

#[test]
fn a_crowded_machine_costs_no_attempt() {
    let mut world = World::new(5);
    world.insert([job("crowded-10-1").max_retries(1)]);
    world.add_worker(1, false);
    world.run_until(1_900);
    // It could not be started, went back without a row, and claiming pauses.
    assert_eq!((world.state("crowded-10-1"), world.starts["crowded-10-1"]), (State::Pending, 1));
    let rows = now_or_never(world.store.attempts(&id("crowded-10-1"), false)).expect("works");
    assert!(rows.is_empty());
    world.run_until(2_300);
    assert_eq!(world.starts["crowded-10-1"], 2, "the pause is over");
}

#[test]
fn a_lost_store_loses_no_outcome() {
    let mut world = World::new(6);
    world.insert([job("a-100")]);
    world.add_worker(1, true);
    world.run_until(1_050);
    world.failures = 100;
    world.run_until(20_000);
    assert_eq!(world.state("a-100"), State::Processing);
    world.failures = 0;
    world.run_until(60_000);
    assert_eq!((world.state("a-100"), world.starts["a-100"]), (State::Completed, 1));
}

#[test]
fn at_most_once_is_never_claimed_ahead() {
    let mut world = World::new(8);
    world.insert((0..64).map(|n| job(&format!("short{n}-1")).priority(9)));
    world.insert((0..4).map(|n| job(&format!("once{n}-30000")).with(|spec| spec.at_most_once = true)));
    let at = world.add_worker(1, false);
    world.run_until(4_000);
    world.kill_keeper(at);
    let dead = (0..4).filter(|n| world.state(&format!("once{n}-30000")) == State::Dead).count();
    assert_eq!(dead, 1, "only the one that ran");
}

#[test]
fn a_worker_that_is_excluded_ends_and_leaves_its_outcomes_in_the_spool() {
    let mut world = World::new(10);
    world.insert([job("a-300"), job("b")]);
    let at = world.add_worker(1, false);
    world.run_until(1_100);
    let excluded = StoreError::Incompatible { what: "the schema is newer".to_owned() };
    world.step(at, Event::Rang);
    let now = world.now;
    world.workers[at].reply = Some((now, Err(excluded)));
    world.run_until(20_000);
    assert!(world.workers[at].exited);
    assert_eq!(world.starts.get("b"), None, "nothing new was begun");
}
