//! Keepers whose worker is gone: their jobs run on, and a live worker adopts them, or they end and are recovered.

use std::time::Duration;

use queuectl_core::limits::{RECOVERY_INTERVAL, RUNNING_POLL_MAX};
use queuectl_core::store::{Exchange, SettingsStore, StopMode};
use queuectl_exec::protocol::{Event as KeeperEvent, OnCrash, Request, StopReason};
use queuectl_testing::FakeKeeper;

use super::super::events::Event;
use super::super::settling::Facts;
use super::super::ward::{Offered, Told, Ward};
use super::{Flight, World, now_or_never};

/// After the store failed, as `foster.rs` waits.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A keeper without a worker.
pub struct Orphan {
    pub keeper: FakeKeeper,
    pub owner: String,
    /// When somebody looks for it.
    pub found_at: u64,
}

/// A keeper that a worker has adopted.
pub struct Fostered {
    pub keeper: FakeKeeper,
    pub owner: String,
    ward: Ward,
    next_at: u64,
    stop: Option<StopMode>,
}

impl Fostered {
    /// When something is to be done with it.
    pub fn next_at(&self) -> u64 {
        self.keeper.next_at().map_or(self.next_at, |at| at.min(self.next_at))
    }
}

impl World {
    /// The worker dies and its keeper lives: `kill -9` of one process.
    pub fn kill_worker_only(&mut self, at: usize) {
        let (_, fresh) = self.new_keeper();
        let keeper = std::mem::replace(&mut self.workers[at].keeper, fresh);
        let owner = self.workers[at].owner.clone();
        self.orphan(keeper, owner);
        self.gone(at);
    }

    /// What a worker that goes by itself leaves running.
    pub fn hand_over(&mut self, at: usize) {
        let now = self.now;
        self.workers[at].keeper.send(now, Request::HandOver);
        self.kill_worker_only(at);
    }

    /// The process is no more, and what it had adopted is without a worker again.
    pub fn gone(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.exited = true;
        let fosters = std::mem::take(&mut worker.fosters);
        // What was on its way to the store may have got there.
        if let Flight::There { request, .. } = std::mem::replace(&mut worker.flight, Flight::None)
            && self.chance.below(2) == 0
        {
            now_or_never(self.store.exchange(*request)).expect("the store works");
        }
        for fostered in fosters {
            self.orphan(fostered.keeper, fostered.owner);
        }
    }

    fn orphan(&mut self, keeper: FakeKeeper, owner: String) {
        let wait = 1 + self.chance.below(RECOVERY_INTERVAL.as_millis() as u64);
        self.orphans.push(Orphan { keeper, owner, found_at: self.now + wait });
    }

    /// Orphans that are due: childless they have ended, and are recovered; else whoever lives and is not stopping adopts
    /// them. Nobody lives: they run on.
    pub fn look_for_orphans(&mut self) {
        let now = self.now;
        let found: Vec<Orphan> = self.orphans.extract_if(.., |orphan| orphan.found_at <= now).collect();
        for mut orphan in found {
            // It hears its children's ends, and nobody hears it.
            for event in orphan.keeper.events(now) {
                self.note_end(&event);
            }
            if orphan.keeper.running() == 0 {
                self.bury(orphan.keeper, orphan.owner);
                continue;
            }
            let takers: Vec<usize> = (0..self.workers.len())
                .filter(|&at| !self.workers[at].exited && self.workers[at].machine.stop().is_none())
                .collect();
            if takers.is_empty() {
                orphan.found_at = now + RECOVERY_INTERVAL.as_millis() as u64;
                self.orphans.push(orphan);
                continue;
            }
            let at = self.chance.pick(&takers);
            self.adopt(at, orphan);
        }
    }

    fn adopt(&mut self, at: usize, orphan: Orphan) {
        let Orphan { mut keeper, owner, .. } = orphan;
        let now = self.now;
        self.tale.note(format_args!("{now} worker{at} adopts {owner}"));
        self.seen.adoptions += 1;
        keeper.send(now, Request::Adopt { on_crash: OnCrash::Adopt });
        let mut told = Told::default();
        for event in keeper.events(now) {
            match event {
                KeeperEvent::Exited(record) => told.ended.push(*record),
                KeeperEvent::Adopted { running, lost } => (told.running, told.lost) = (running, lost),
                other => panic!("{owner} says {other:?} to who adopts it"),
            }
        }
        let settings = now_or_never(self.store.settings()).expect("the store works");
        let held = now_or_never(self.store.claims_of(&owner)).expect("the store works");
        let found = Ward::find(&owner, settings, held, told, now);
        let mut fostered = Fostered { keeper, owner, ward: found.ward, next_at: now, stop: None };
        for (claim, record) in found.ended {
            let facts = Facts { record: &record, stderr_tail: "", now, random: self.chance.draw() };
            fostered.ward.end(&claim, &facts);
        }
        for order in found.orders {
            fostered.keeper.send(now, order);
        }
        self.workers[at].fosters.push(fostered);
        self.count_fostered(at);
    }

    pub fn count_fostered(&mut self, at: usize) {
        let running = self.workers[at].fosters.iter().map(|fostered| fostered.ward.unfinished()).sum();
        if std::mem::replace(&mut self.workers[at].fostered, running) != running {
            self.step(at, Event::Fostered { running });
        }
    }

    /// Looks after what a worker has adopted; true if there was anything to do.
    pub fn attend_fosters(&mut self, at: usize) -> bool {
        let mut busy = false;
        for mut fostered in std::mem::take(&mut self.workers[at].fosters) {
            let (did, over) = self.attend_foster(&mut fostered, self.workers[at].machine.stop());
            busy |= did;
            if !over {
                self.workers[at].fosters.push(fostered);
                continue;
            }
            assert_eq!(fostered.keeper.unsettled(), Vec::<&_>::new(), "an adopted outcome was left behind");
            assert_eq!(fostered.keeper.running(), 0, "an adopted attempt was left behind");
        }
        self.count_fostered(at);
        busy
    }

    /// What happened, and whether nothing of it is left.
    fn attend_foster(&mut self, fostered: &mut Fostered, stop: Option<StopMode>) -> (bool, bool) {
        let now = self.now;
        let mut busy = false;
        if fostered.stop != stop {
            fostered.stop = stop;
            if stop == Some(StopMode::Now) {
                for order in fostered.ward.stop_all(StopReason::WorkerStopping) {
                    fostered.keeper.send(now, order);
                }
            }
        }
        for event in fostered.keeper.events(now) {
            busy = true;
            self.note_end(&event);
            let KeeperEvent::Exited(record) = event else { continue };
            let Some(claim) = fostered.ward.take(record.claim) else { continue };
            let facts = Facts { record: &record, stderr_tail: "", now, random: self.chance.draw() };
            fostered.ward.end(&claim, &facts);
            fostered.next_at = now;
        }
        if fostered.next_at <= now {
            busy = true;
            let (request, offered) = fostered.ward.offer(now);
            self.tale.note(format_args!("{now} {} offers {request:?}", fostered.owner));
            let unreached = self.chance.below(100) < self.failures;
            let answered =
                (!unreached).then(|| now_or_never(self.store.exchange(request)).expect("it works"));
            self.hear(fostered, offered, answered);
        }
        // A stranger that was stopped may still be running.
        (busy, fostered.ward.is_over() && fostered.keeper.running() == 0)
    }

    fn hear(
        &mut self,
        fostered: &mut Fostered,
        offered: Offered,
        answered: Option<queuectl_core::store::ExchangeReply>,
    ) {
        // The store may have done it, and its answer may have been lost.
        match answered.filter(|_| self.chance.below(100) >= self.failures / 2) {
            None => {
                fostered.ward.keep(offered);
                fostered.next_at = self.now + STORE_PAUSE.as_millis() as u64;
            }
            Some(reply) => {
                for order in fostered.ward.hear(offered, reply).orders {
                    fostered.keeper.send(self.now, order);
                }
                let wait = if fostered.ward.is_unsettled() { STORE_PAUSE } else { RUNNING_POLL_MAX };
                fostered.next_at = self.now + wait.as_millis() as u64;
            }
        }
    }
}
