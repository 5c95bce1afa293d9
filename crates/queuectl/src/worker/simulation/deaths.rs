//! How attempts end by themselves, and how keepers and workers die and are recovered.

use queuectl_core::store::{Exchange, ExchangeRequest, SettingsStore, Take};
use queuectl_exec::protocol::{ClaimKey, End, ExitRecord, Start};
use queuectl_testing::FakeKeeper;
use queuectl_testing::keeper::Plan;

use super::super::events::Event;
use super::super::settling::{Facts, settle_for};
use super::{World, now_or_never, variable};

/// What a dead keeper left, until somebody recovers it.
pub struct Left {
    owner: String,
    records: Vec<ExitRecord>,
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

    /// A keeper that a worker has adopted dies with all that it runs.
    pub fn kill_fostered(&mut self, at: usize) {
        let Some(fostered) = self.workers[at].fosters.pop() else { return };
        self.bury(fostered.keeper, fostered.owner);
        self.count_fostered(at);
    }

    /// Nothing of a keeper lives; what it left is found some time later.
    pub fn bury(&mut self, dead: FakeKeeper, owner: String) {
        let records = dead.die(self.now);
        for (name, (_, claim)) in self.running.iter().filter(|(_, (keeper, _))| *keeper == owner) {
            if records.iter().any(|record| record.claim == *claim && is_crowded(record)) {
                *self.crowded.entry(name.clone()).or_default() += 1;
            }
        }
        self.running.retain(|_, (keeper, _)| *keeper != owner);
        let found_at = self.now + 1 + self.chance.below(800);
        self.left.push(Left { owner, records, found_at });
        self.deaths += 1;
    }

    /// Whoever lives settles what dead keepers ran and gives back what they did not start.
    pub fn recover(&mut self) {
        let now = self.now;
        for left in self.left.extract_if(.., |left| left.found_at <= now) {
            let settings = now_or_never(self.store.settings()).expect("the store works");
            let (mut settles, mut releases) = (Vec::new(), Vec::new());
            for claim in now_or_never(self.store.claims_of(&left.owner)).expect("the store works") {
                match left.records.iter().find(|record| record.claim == ClaimKey::from(claim.token)) {
                    Some(record) if !is_crowded(record) => {
                        let facts = Facts { record, stderr_tail: "", now, random: 0 };
                        settles.push(settle_for(&claim, &facts, &settings));
                    }
                    _ => releases.push(claim.token),
                }
            }
            let request = ExchangeRequest {
                worker: String::new(),
                owner: left.owner,
                settles,
                releases,
                want: 0,
                take: Take::default(),
                drain: false,
                settings_seen: 0,
            };
            now_or_never(self.store.exchange(request)).expect("the store works");
        }
    }
}
