//! The real step machine in a simulated world: the in-memory store, fake keepers, time that jumps from event to event,
//! and a seed that decides everything else. The same seed gives the same history.
//!
//! The world is strict: it panics where two attempts of one job overlap, a worker runs more than its slots, a machine
//! asks to be woken and then does nothing, or one leaves anything behind. `lives.rs` lets seeds decide what happens,
//! `cases.rs` tells small stories, `deaths.rs` kills and recovers, `orphans.rs` adopts; `claims.rs` makes claims for the
//! tests of single steps. Outside of tests it is compiled only with the feature `simulation`, for the crash proof.

#[cfg(test)]
mod cases;
#[cfg(test)]
pub mod claims;
mod deaths;
mod lives;
mod orphans;
mod tale;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use queuectl_core::job::{Job, NewJob};
#[cfg(test)]
use queuectl_core::state::State;
use queuectl_core::store::{
    Attempt, Attempts, Exchange, ExchangeReply, ExchangeRequest, Jobs, SettingsStore, StoreError,
    StoreResult, Take, Workers,
};
use queuectl_exec::protocol::{ClaimKey, Event as KeeperEvent, Request, Start};
use queuectl_testing::given::{id, insert, worker};
use queuectl_testing::{FakeKeeper, ManualClock, MemoryStore};

use self::deaths::{Left, is_crowded, plan};
#[cfg(feature = "simulation")]
pub use self::lives::{Life, Mode, live};
use self::orphans::{Fostered, Orphan};
pub use self::tale::Seen;
use self::tale::Tale;
use super::events::{Action, Ended, Event, Report};
use super::start::Surroundings;
use super::step::{Identity, Machine};
use super::turn::exchange;

/// Rounds in which everyone may react at one instant before somebody must be running in circles.
const ROUNDS_MAX: usize = 100;

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

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Nothing in this world waits.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-memory store never waits"),
    }
}

/// Where a worker's exchange is.
enum Flight {
    None,
    There { request: Box<ExchangeRequest>, recall: bool, reaches: u64 },
    Back { result: Result<ExchangeReply, StoreError>, arrives: u64 },
}

struct SimWorker {
    machine: Machine,
    keeper: FakeKeeper,
    owner: String,
    flight: Flight,
    /// What it has adopted, and how many attempts of theirs it was told of.
    fosters: Vec<Fostered>,
    fostered: usize,
    exited: bool,
    /// Since its last start of a job, recovery has found nothing more to do.
    confirmed: bool,
    slots: usize,
    steps: u64,
}

struct World {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    now: u64,
    chance: Chance,
    workers: Vec<SimWorker>,
    left: Vec<Left>,
    orphans: Vec<Orphan>,
    /// When the store is looked through for claims of owners of whom nothing is left.
    look_at_rows: u64,
    /// The keeper that runs a job now; two at once is the one thing that must never be.
    running: HashMap<String, (String, ClaimKey)>,
    starts: BTreeMap<String, u32>,
    /// The claims of those starts that count as runs.
    begun: HashSet<ClaimKey>,
    /// Starts that failed for reasons of our own.
    crowded: BTreeMap<String, u32>,
    keepers: u32,
    /// In a hundred exchanges so many fail.
    failures: u64,
    /// In a hundred that fail so many have been done all the same.
    unknown: u64,
    /// In a thousand steps so many end amid what they do, with the death of the worker.
    breaks: u64,
    /// Of a hundred dead keepers so many leave a spool that is missing or damaged.
    spoils: u64,
    /// Some exchanges take long.
    slow: bool,
    reports: Vec<(u64, Report)>,
    seen: Seen,
    tale: Tale,
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
            left: Vec::new(),
            orphans: Vec::new(),
            look_at_rows: 0,
            running: HashMap::new(),
            starts: BTreeMap::new(),
            begun: HashSet::new(),
            crowded: BTreeMap::new(),
            keepers: 0,
            failures: 0,
            unknown: 0,
            breaks: 0,
            spoils: 0,
            slow: false,
            reports: Vec::new(),
            seen: Seen::default(),
            tale: Tale::default(),
        }
    }

    fn insert(&self, jobs: impl IntoIterator<Item = NewJob>) {
        now_or_never(insert(&*self.store, jobs));
    }

    fn new_keeper(&mut self) -> (String, FakeKeeper) {
        self.keepers += 1;
        let owner = format!("keeper{}", self.keepers);
        (owner.clone(), FakeKeeper::new(&owner, plan))
    }

    fn add_worker(&mut self, slots: usize, drain: bool) -> usize {
        let (owner, keeper) = self.new_keeper();
        let name = format!("worker{}", self.workers.len());
        now_or_never(self.store.register(worker(&name))).expect("the store works");
        let identity = Identity {
            worker: name,
            slots,
            take: Take { kinds: vec!["command".to_owned()], ..Take::default() },
            drain,
            here: false,
        };
        let settings = now_or_never(self.store.settings()).expect("the store works");
        let machine = Machine::new(identity, Surroundings::default(), settings);
        self.workers.push(SimWorker {
            machine,
            keeper,
            owner: owner.clone(),
            flight: Flight::None,
            fosters: Vec::new(),
            fostered: 0,
            exited: false,
            confirmed: false,
            slots,
            steps: 0,
        });
        let at = self.workers.len() - 1;
        // It looks at once.
        self.look_at_rows = self.now;
        self.step(at, Event::KeeperReady { owner });
        at
    }

    fn step(&mut self, at: usize, event: Event) {
        if self.workers[at].exited {
            return;
        }
        self.workers[at].steps += 1;
        let (now, random) = (self.now, self.chance.draw());
        self.tale.note(format_args!("{now} worker{at} {event:?}"));
        let actions = self.workers[at].machine.step(event, now, random);
        if !actions.is_empty() && self.chance.below(1_000) < self.breaks {
            return self.die_amid(at, actions);
        }
        for action in actions {
            self.tale.note(format_args!("{now} worker{at} {action:?}"));
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Exchange { request, recall } => {
                assert!(matches!(self.workers[at].flight, Flight::None), "one exchange at a time");
                let reaches = self.now + self.latency();
                self.workers[at].flight = Flight::There { request, recall, reaches };
            }
            Action::Keeper(order) => {
                if let Request::Start(start) = &order {
                    self.start(at, start);
                }
                let now = self.now;
                self.workers[at].keeper.send(now, order);
            }
            Action::Report(Report::Refused { job, why, .. }) => panic!("{job}: {why}"),
            Action::Report(report) => self.reports.push((self.now, report)),
            Action::Exit => self.exit(at),
        }
    }

    fn start(&mut self, at: usize, start: &Start) {
        let name = variable(start, "QUEUECTL_JOB_ID");
        let owner = self.workers[at].owner.clone();
        let before = self.running.insert(name.clone(), (owner, start.claim));
        assert_eq!(before, None, "two runs of {name} at once, at {}", self.now);
        *self.starts.entry(name).or_default() += 1;
        self.begun.insert(start.claim);
        self.workers[at].confirmed = false;
        let worker = &self.workers[at];
        let mine = self.running.values().filter(|(owner, _)| *owner == worker.owner).count();
        let all = mine + worker.fostered;
        assert!(all <= worker.slots, "worker{at} runs {all}");
        let slot = variable(start, "QUEUECTL_SLOT").parse::<usize>().expect("a number");
        assert!((1..=self.workers[at].slots).contains(&slot), "there is no slot {slot}");
    }

    fn exit(&mut self, at: usize) {
        if self.workers[at].machine.leaves_running() {
            return self.hand_over(at);
        }
        let drained = !self.workers[at].machine.is_stopping();
        if drained && !std::mem::replace(&mut self.workers[at].confirmed, true) {
            self.recover(u64::MAX);
            self.recover_rows();
            return self.step(at, Event::Rang);
        }
        let worker = &self.workers[at];
        assert_eq!(worker.keeper.running(), 0, "worker{at} left its attempts behind");
        let claims = now_or_never(self.store.claims_of(&worker.owner)).expect("the store works");
        if !claims.is_empty() || !worker.keeper.unsettled().is_empty() {
            let said =
                self.reports.last().is_some_and(|(_, report)| matches!(report, Report::LeftBehind { .. }));
            assert!(said, "worker{at} left outcomes behind without a word");
            return self.kill_worker(at);
        }
        self.gone(at);
    }

    /// An attempt that has ended runs no more.
    fn note_end(&mut self, event: &KeeperEvent) {
        let KeeperEvent::Exited(record) = event else { return };
        self.running.retain(|name, (_, claim)| {
            if *claim == record.claim && is_crowded(record) {
                *self.crowded.entry(name.clone()).or_default() += 1;
                self.begun.remove(claim);
            }
            *claim != record.claim
        });
    }

    /// How long an exchange takes to the store, or back.
    fn latency(&mut self) -> u64 {
        let longest = if self.slow && self.chance.below(8) == 0 { 200 } else { 4 };
        self.chance.below(longest)
    }

    /// What the store answers. One that fails may have done what it was asked all the same.
    fn exchange(&mut self, request: ExchangeRequest, recall: bool) -> StoreResult<ExchangeReply> {
        let works = |world: &World| now_or_never(exchange(&*world.store, request, recall));
        if self.chance.below(100) >= self.failures {
            return works(self);
        }
        if self.chance.below(100) < self.unknown {
            works(self).expect("the store works");
            self.seen.unknown += 1;
        }
        Err(StoreError::Unavailable { what: "the disk is away".to_owned(), source: None })
    }

    /// Carries the exchange on its way; true if that changed anything.
    fn carry(&mut self, at: usize) -> bool {
        let now = self.now;
        match std::mem::replace(&mut self.workers[at].flight, Flight::None) {
            Flight::There { request, recall, reaches } if reaches <= now => {
                let result = self.exchange(*request, recall);
                let arrives = now + self.latency();
                self.workers[at].flight = Flight::Back { result, arrives };
                true
            }
            Flight::Back { result, arrives } if arrives <= now => {
                self.step(at, Event::Exchanged(result));
                true
            }
            still => {
                self.workers[at].flight = still;
                false
            }
        }
    }

    /// Delivers what is due to one worker; true if anything was.
    fn attend(&mut self, at: usize) -> bool {
        if self.workers[at].exited {
            return false;
        }
        let now = self.now;
        let mut busy = self.carry(at);
        for event in self.workers[at].keeper.events(now) {
            busy = true;
            self.note_end(&event);
            match event {
                KeeperEvent::Exited(record) => {
                    self.step(at, Event::Ended(vec![Ended { record, stderr_tail: String::new() }]));
                }
                event => self.step(at, Event::Keeper(event)),
            }
        }
        busy |= self.attend_fosters(at);
        if !self.workers[at].exited && self.workers[at].machine.wake_at() <= now {
            self.step(at, Event::Tick);
            busy = true;
        }
        busy
    }

    fn attend_all(&mut self) -> bool {
        let mut busy = false;
        for at in 0..self.workers.len() {
            busy |= self.attend(at);
        }
        busy
    }

    /// Delivers everything that is due, then jumps to the next event; false when nothing is left to happen.
    fn turn(&mut self, until: u64) -> bool {
        self.look_for_orphans();
        self.recover(self.now);
        self.look_at_rows();
        let mut rounds = 0;
        while self.attend_all() {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "somebody runs in circles at {}", self.now);
        }
        let found = self.left.iter().map(|left| left.found_at);
        let mut next = found.chain(self.orphans.iter().map(|orphan| orphan.found_at)).fold(until, u64::min);
        for worker in self.workers.iter().filter(|worker| !worker.exited) {
            next = next.min(self.look_at_rows);
            let flight = match &worker.flight {
                Flight::None => None,
                Flight::There { reaches: at, .. } | Flight::Back { arrives: at, .. } => Some(*at),
            };
            let wakes = [flight, worker.keeper.next_at(), Some(worker.machine.wake_at())];
            let fosters = worker.fosters.iter().map(Fostered::next_at);
            next = wakes.into_iter().flatten().chain(fosters).fold(next, u64::min);
        }
        assert!(next > self.now || until <= self.now, "woken for nothing at {}", self.now);
        let jump = next.max(self.now) - self.now;
        self.now += jump;
        self.clock.advance(Duration::from_millis(jump));
        let somebody = self.workers.iter().any(|worker| !worker.exited);
        self.now < until && (somebody || !self.left.is_empty() || !self.orphans.is_empty())
    }

    fn run_until(&mut self, until: u64) {
        while self.turn(until) {}
    }

    fn job(&self, name: &str) -> Job {
        now_or_never(self.store.get(&id(name))).expect("the store works").expect("it is there")
    }

    #[cfg(test)]
    fn state(&self, name: &str) -> State {
        self.job(name).state
    }

    fn rows(&self, name: &str) -> Vec<Attempt> {
        now_or_never(self.store.attempts(&id(name), false)).expect("the store works")
    }

    fn starts(&self, name: &str) -> u32 {
        self.starts.get(name).copied().unwrap_or_default()
    }
}

fn variable(start: &Start, name: &str) -> String {
    let found = start.env.variables().find(|(key, _)| *key == name.as_bytes());
    String::from_utf8_lossy(found.expect("it is ours").1).into_owned()
}
