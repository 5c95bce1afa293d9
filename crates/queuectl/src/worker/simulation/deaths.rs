//! How attempts end by themselves, and how keepers and workers die and are recovered.

use queuectl_core::limits::RECOVERY_INTERVAL_ALONE;
use queuectl_core::outcome::Interruption;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, Exchange, SettingsStore, Settle};
use queuectl_exec::Remains;
use queuectl_exec::protocol::{ClaimKey, End, ExitRecord, Start};
use queuectl_testing::FakeKeeper;
use queuectl_testing::keeper::Plan;

use super::super::duties::STORE_PASSES;
use super::super::events::{Action, Event};
use super::super::recovery::{Fate, exchange_request, fate};
use super::super::settling::{Facts, settle_for, settle_interrupted};
use super::{World, now_or_never, variable};

/// What a dead keeper left, until somebody recovers it.
pub struct Left {
    owner: String,
    remains: Vec<Remains>,
    /// Its spool is, so that what it does not name was never started.
    whole: bool,
    pub found_at: u64,
}

/// How long a job runs and how it ends stands in its id, `<label>-<ms>-<code>`: else 10 ms and success. Of label
/// `stubborn` it ignores TERM, of `absent` its program is not there, of `crowded` the machine has no room for it at
/// first, of `flaky` now and then.
pub fn plan(start: &Start) -> Plan {
    let name = variable(start, "QUEUECTL_JOB_ID");
    let parts: Vec<&str> = name.split('-').collect();
    let number = |at: usize, default: u64| parts.get(at).and_then(|p| p.parse().ok()).unwrap_or(default);
    let label = parts[0].split('.').next().unwrap_or_default();
    let crowded = label == "crowded" && start.claim.number == 1;
    if crowded || label == "flaky" && start.claim.number.is_multiple_of(3) {
        return Plan::cannot_start("no processes left", true);
    }
    if label == "absent" {
        return Plan::cannot_start("no such program", false);
    }
    Plan { stubborn: label == "stubborn", ..Plan::exits(number(1, 10), number(2, 0) as i32) }
}

pub fn is_crowded(record: &ExitRecord) -> bool {
    matches!(record.end, End::CouldNotStart { ours: true, .. })
}

/// What a spool says of an attempt: an end only if it came before the keeper's own.
fn remains(record: ExitRecord) -> Remains {
    let claim = record.claim;
    let exit = Some(record).filter(|record| !matches!(record.end, End::Interrupted { .. }));
    Remains { claim, cgroup: None, started: None, exit }
}

impl World {
    /// The keeper dies with all that it ran. The worker hears of it and gets another.
    pub fn kill_keeper(&mut self, at: usize) {
        let (owner, fresh) = self.new_keeper();
        let dead = std::mem::replace(&mut self.workers[at].keeper, fresh);
        let before = std::mem::replace(&mut self.workers[at].owner, owner.clone());
        self.bury(dead, before);
        self.step(at, Event::KeeperLost);
        self.step(at, Event::KeeperReady { owner });
    }

    /// The whole worker dies: `pkill -9`. What it had adopted lives.
    pub fn kill_worker(&mut self, at: usize) {
        let (_, fresh) = self.new_keeper();
        let dead = std::mem::replace(&mut self.workers[at].keeper, fresh);
        let owner = self.workers[at].owner.clone();
        self.bury(dead, owner);
        self.gone(at);
    }

    /// The worker dies amid what it does, with its keeper or without. It had given some of its orders; what it wanted of
    /// the store was on its way.
    pub fn die_amid(&mut self, at: usize, actions: Vec<Action>) {
        let orders = actions.iter().filter(|action| matches!(action, Action::Keeper(_))).count() as u64;
        let mut given = self.chance.below(orders + 1);
        self.tale.note(format_args!("{} worker{at} dies after {given} of {orders} orders", self.now));
        self.seen.broken += 1;
        for action in actions {
            match action {
                Action::Keeper(_) if given == 0 => {}
                Action::Keeper(_) => {
                    given -= 1;
                    self.act(at, action);
                }
                Action::Exit => {}
                Action::Exchange { .. } | Action::Report(_) => self.act(at, action),
            }
        }
        if self.chance.below(2) == 0 { self.kill_worker(at) } else { self.kill_worker_only(at) }
    }

    /// A keeper that a worker has adopted dies with all that it runs.
    pub fn kill_fostered(&mut self, at: usize) {
        let Some(fostered) = self.workers[at].fosters.pop() else { return };
        self.bury(fostered.keeper, fostered.owner);
        self.count_fostered(at);
    }

    /// Nothing of a keeper lives; what it left is found some time later.
    pub fn bury(&mut self, dead: FakeKeeper, owner: String) {
        let mut records = dead.die(self.now);
        for (name, (_, claim)) in self.running.iter().filter(|(_, (keeper, _))| *keeper == owner) {
            if records.iter().any(|record| record.claim == *claim && is_crowded(record)) {
                *self.crowded.entry(name.clone()).or_default() += 1;
                self.begun.remove(claim);
            }
        }
        self.running.retain(|_, (keeper, _)| *keeper != owner);
        let found_at = self.now + 1 + self.chance.below(800);
        let whole = self.chance.below(100) >= self.spoils;
        if !whole {
            let read = self.chance.below(records.len() as u64 + 1);
            records.truncate(read as usize);
            self.tale.note(format_args!("{} the spool of {owner} is lost behind {read} records", self.now));
            self.seen.spoiled += 1;
        }
        let remains = records.into_iter().map(remains).collect();
        self.left.push(Left { owner, remains, whole, found_at });
        self.seen.deaths += 1;
    }

    /// Whoever lives settles what dead keepers ran and gives back what they did not start, of those who are found by
    /// an instant.
    pub fn recover(&mut self, found_by: u64) {
        let now = self.now;
        let found: Vec<Left> = self.left.extract_if(.., |left| left.found_at <= found_by).collect();
        for left in found {
            let settings = now_or_never(self.store.settings()).expect("the store works");
            let (mut settles, mut releases) = (Vec::new(), Vec::new());
            for claim in now_or_never(self.store.claims_of(&left.owner)).expect("the store works") {
                let key = ClaimKey::from(claim.token);
                match fate(left.remains.iter().find(|one| one.claim == key), left.whole) {
                    Fate::NeverStarted => {
                        assert!(!self.begun.contains(&key), "{key} was begun and is taken for never started");
                        releases.push(claim.token);
                    }
                    Fate::Ended(record) => {
                        let facts = Facts { record, stderr_tail: "", now, random: 0 };
                        settles.push(settle_for(&claim, &facts, &settings));
                    }
                    Fate::Interrupted => settles.push(self.interrupt(&claim, &settings)),
                }
            }
            let request = exchange_request(&left.owner, settles, releases, 0);
            now_or_never(self.store.exchange(request)).expect("the store works");
        }
    }

    /// Whoever lives looks through the store now and then.
    pub fn look_at_rows(&mut self) {
        if self.now >= self.look_at_rows && self.workers.iter().any(|worker| !worker.exited) {
            let wait = RECOVERY_INTERVAL_ALONE.as_millis() as u64 * STORE_PASSES;
            self.look_at_rows = self.now + wait;
            self.recover_rows();
        }
    }

    /// Nobody knows any more whether it was started, so it counts as if it had been.
    fn interrupt(&mut self, claim: &Claim, settings: &Settings) -> Settle {
        if self.begun.insert(claim.token.into()) {
            *self.starts.entry(claim.job.id.to_string()).or_default() += 1;
        }
        settle_interrupted(claim, Interruption::Crash, settings)
    }

    /// Ends claims of owners of whom nothing is left. They were made in the instant of a death and heard of by nobody.
    pub fn recover_rows(&mut self) {
        let settings = now_or_never(self.store.settings()).expect("the store works");
        for owner in now_or_never(self.store.owners()).expect("the store works") {
            if self.is_known(&owner) {
                continue;
            }
            let mut settles = Vec::new();
            for claim in now_or_never(self.store.claims_of(&owner)).expect("the store works") {
                settles.push(self.interrupt(&claim, &settings));
            }
            let request = exchange_request(&owner, settles, Vec::new(), 0);
            now_or_never(self.store.exchange(request)).expect("the store works");
        }
    }

    /// It lives, or somebody will find it.
    fn is_known(&self, owner: &str) -> bool {
        let fostered = self.workers.iter().flat_map(|worker| &worker.fosters).map(|one| &one.owner);
        let mine = self.workers.iter().filter(|worker| !worker.exited).map(|worker| &worker.owner);
        let orphans = self.orphans.iter().map(|orphan| &orphan.owner);
        let left = self.left.iter().map(|left| &left.owner);
        mine.chain(fostered).chain(orphans).chain(left).any(|known| known == owner)
    }
}
