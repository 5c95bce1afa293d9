//! The worker's mind: a pure step machine. `step(event, now, random) -> actions`, no IO, no clock, no randomness.
//!
//! ```text
//!            claims                       Started                Exited             Done | Lost
//! exchange ---------> Waiting ----------> Starting ---> Running --------> Settling -----------> forgotten
//!                        |  unstarted for too long, cancelled, stopping
//!                        +---------------------------> released with the next exchange
//! ```
//!
//! At most one exchange is in flight. What it carries stays here until its reply says that it is durable, so a store
//! that fails for a while loses nothing.

mod exchanging;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::limits;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, Settle, StopMode, Take};
use queuectl_exec::protocol::{ClaimKey, End, Event as KeeperEvent, ExitRecord, Request, StopReason};

use super::events::{Action, Event, Report};
use super::prefetch::Prefetch;
use super::settling::{Facts, settle_for};
use super::start::Surroundings;

/// What a worker is, for its whole life.
#[derive(Debug, Clone)]
pub struct Identity {
    pub worker: String,
    pub slots: usize,
    pub take: Take,
    pub drain: bool,
    /// Its jobs run in this process.
    pub here: bool,
}

#[derive(Debug)]
enum Phase {
    /// Claimed and not handed to the keeper.
    Waiting,
    Starting,
    Running,
    /// Its settle is on its way.
    Settling,
}

#[derive(Debug)]
struct Held {
    /// Apart: every step looks at all phases, and at hardly any claim.
    claim: Box<Claim>,
    at_most_once: bool,
    phase: Phase,
    /// When the phase began, in milliseconds of the boot-time clock.
    since: u64,
    slot: Option<u32>,
    stop_sent: Option<StopReason>,
}

#[derive(Debug, Default)]
struct InFlight {
    owner: String,
    settles: Vec<Settle>,
    releases: Vec<ClaimToken>,
    want: usize,
    recall: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    identity: Identity,
    surroundings: Surroundings,
    settings: Settings,
    owner: Option<String>,
    held: BTreeMap<ClaimToken, Held>,
    settles: Vec<Settle>,
    /// When the oldest of `settles` came.
    settles_since: u64,
    /// Outcomes that the store did not take. They wait apart, for they must not hold up the others.
    refused: Vec<Settle>,
    /// When they are offered again.
    refused_until: u64,
    releases: Vec<ClaimToken>,
    in_flight: Option<InFlight>,
    /// An exchange failed and may have claimed all the same: what it did is asked for before anything else is claimed.
    recall: bool,
    /// Attempts of adopted keepers; they take slots like our own.
    fostered: usize,
    stop: Option<StopMode>,
    drained: bool,
    /// A newer queuectl has taken the store over, or the store is not to be trusted: this worker may write nothing any more. What it cannot record stays in
    /// its keeper's spool for the next one.
    excluded: bool,
    /// Someone rang since the last exchange was sent.
    news: bool,
    /// There may be more to claim than the last exchange took.
    more: bool,
    next_look: u64,
    next_due: Option<u64>,
    store_failures: u32,
    store_failing_since: u64,
    store_pause_until: u64,
    spawn_pause_until: u64,
    /// Pauses in a row that did not help.
    spawn_pauses: u32,
    prefetch: Prefetch,
}

impl Machine {
    pub fn new(identity: Identity, surroundings: Surroundings, settings: Settings) -> Machine {
        Machine {
            identity,
            surroundings,
            settings,
            owner: None,
            held: BTreeMap::new(),
            settles: Vec::new(),
            settles_since: 0,
            refused: Vec::new(),
            refused_until: 0,
            releases: Vec::new(),
            in_flight: None,
            recall: false,
            fostered: 0,
            stop: None,
            drained: false,
            excluded: false,
            news: true,
            more: true,
            next_look: 0,
            next_due: None,
            store_failures: 0,
            store_failing_since: 0,
            store_pause_until: 0,
            spawn_pause_until: 0,
            spawn_pauses: 0,
            prefetch: Prefetch::default(),
        }
    }

    /// Takes one event at `now` (milliseconds of the boot-time clock); `random` is fresh and used for jitter.
    pub fn step(&mut self, event: Event, now: u64, random: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Beat { next } => self.news |= self.is_at_rest() && self.next_look < next,
            Event::Rang => {
                self.news = true;
                self.more = true;
                self.drained = false;
            }
            Event::KeeperReady { owner } => {
                self.owner = Some(owner);
                self.more = true;
            }
            Event::KeeperLost => self.lose_keeper(),
            Event::Keeper(event) => self.hear_keeper(&event, now),
            Event::Ended(ended) => {
                for (one, at) in ended.into_iter().zip(0..) {
                    self.end(&one.record, &one.stderr_tail, now, spread(random, at), &mut actions);
                }
            }
            Event::Fostered { running } => self.foster(running),
            Event::Exchanged(Ok(reply)) => self.take_reply(reply, now, &mut actions),
            Event::Exchanged(Err(error)) => self.lose_exchange(&error, now, &mut actions),
            Event::Stop(mode) => self.stop_at(mode, &mut actions),
        }
        self.give_back_stale(now);
        self.fill_slots(now, &mut actions);
        self.maybe_exchange(now, &mut actions);
        if self.is_over() {
            actions.push(Action::Exit);
        } else if self.may_leave_behind(now) {
            actions
                .push(Action::Report(Report::LeftBehind { claims: self.held.len() + self.releases.len() }));
            actions.push(Action::Exit);
        }
        actions
    }

    /// When the machine wants a [`Event::Tick`] if nothing else happens before.
    pub fn wake_at(&self) -> u64 {
        let stale = self.held.values().filter(|held| matches!(held.phase, Phase::Waiting));
        let patience = if self.is_waiting_for_the_store() { self.patience_ends() } else { u64::MAX };
        let at = self.exchange_at().min(patience);
        stale.map(|held| held.since + ms(limits::UNSTARTED_MAX)).fold(at, u64::min)
    }

    /// There is nothing to do and nothing to wait for but the slow look at the store.
    pub fn is_at_rest(&self) -> bool {
        let known = self.held.is_empty() && self.settles.is_empty() && self.refused.is_empty();
        known && self.releases.is_empty() && self.in_flight.is_none() && self.exchange_at() == self.next_look
    }

    /// Attempts that were handed to the keeper and have not ended.
    pub fn running(&self) -> usize {
        self.held.values().filter(|held| matches!(held.phase, Phase::Starting | Phase::Running)).count()
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// What this claim is about.
    pub fn claim(&self, key: ClaimKey) -> Option<Claim> {
        self.held.get(&ClaimToken::from(key)).map(|held| (*held.claim).clone())
    }

    /// How it stops, if it does.
    pub fn stop(&self) -> Option<StopMode> {
        self.stop
    }

    /// True if it goes without waiting for what runs.
    pub fn leaves_running(&self) -> bool {
        self.stop == Some(StopMode::HandOver) && self.running() > 0
    }

    /// So many adopted attempts run now. One that has ended leaves its slot, and may have come back to the queue.
    pub fn foster(&mut self, running: usize) {
        if running < self.fostered {
            self.news = true;
            self.more = true;
            self.drained = false;
        }
        self.fostered = running;
    }

    fn is_over(&self) -> bool {
        // What is not settled durably is still held.
        let known = self.in_flight.is_none() && !self.recall;
        let settled = known && self.held.len() == self.running() && self.releases.is_empty();
        let idle = self.held.is_empty() && self.fostered == 0;
        match self.stop {
            Some(StopMode::HandOver) => settled,
            Some(_) => settled && idle,
            None => settled && idle && self.drained,
        }
    }

    /// A worker that would go but for a store that stays away, or refuses what is left, need not wait for ever: the
    /// outcomes are in its keeper's spool, from where the next worker records them.
    fn may_leave_behind(&self, now: u64) -> bool {
        self.is_waiting_for_the_store() && now >= self.patience_ends()
    }

    fn is_waiting_for_the_store(&self) -> bool {
        let refused = self.settles.is_empty() && self.releases.is_empty() && !self.refused.is_empty();
        let blocked = self.store_failures > 0 || refused;
        let leaves = self.stop == Some(StopMode::HandOver);
        let done = (leaves || self.running() + self.fostered == 0) && self.in_flight.is_none();
        blocked && done && (self.stop.is_some() || self.drained)
    }

    fn patience_ends(&self) -> u64 {
        match (self.stop, self.store_failures) {
            (Some(StopMode::Now), _) | (_, 0) => 0,
            _ if self.excluded => 0,
            _ => self.store_failing_since + ms(limits::STOPPING_STORE_PATIENCE),
        }
    }

    // --- events ---

    /// Forgets what only the lost keeper knew; outcomes that were heard in time are still settled from here.
    fn lose_keeper(&mut self) {
        self.owner = None;
        // What it ran comes back once it is recovered.
        self.drained = false;
        self.recall = false;
        self.held.retain(|_, held| matches!(held.phase, Phase::Settling));
    }

    fn hear_keeper(&mut self, event: &KeeperEvent, now: u64) {
        if let KeeperEvent::Started { claim, .. } = event
            && let Some(held) = self.held.get_mut(&ClaimToken::from(*claim))
            && matches!(held.phase, Phase::Starting)
        {
            held.phase = Phase::Running;
            held.since = now;
            self.spawn_pauses = 0;
        }
    }

    fn end(
        &mut self,
        record: &ExitRecord,
        stderr_tail: &str,
        now: u64,
        random: u64,
        actions: &mut Vec<Action>,
    ) {
        let token = ClaimToken::from(record.claim);
        let Some(held) = self.held.get_mut(&token) else { return };
        if !matches!(held.phase, Phase::Starting | Phase::Running) {
            return;
        }
        if let End::CouldNotStart { message, ours: true } = &record.end {
            self.pause_claiming(message, now, actions);
            actions.push(Action::Keeper(Request::Settled { claims: vec![record.claim] }));
            self.release(token);
            // Nor would those that were claimed ahead start.
            self.release_waiting();
            return;
        }
        if let Some(started) = record.started_ms {
            self.prefetch.saw_run(record.ended_ms.saturating_sub(started));
        }
        held.phase = Phase::Settling;
        held.since = now;
        held.slot = None;
        let facts = Facts { record, stderr_tail, now, random };
        if self.settles.is_empty() {
            self.settles_since = now;
        }
        self.settles.push(settle_for(&held.claim, &facts, &self.settings));
    }

    /// Others that were started together fail together: that is one pause.
    fn pause_claiming(&mut self, why: &str, now: u64, actions: &mut Vec<Action>) {
        if now < self.spawn_pause_until {
            return;
        }
        let longer = limits::SPAWN_PAUSE_FIRST * (1 << self.spawn_pauses.min(16));
        let pause = longer.min(limits::SPAWN_PAUSE_MAX);
        self.spawn_pauses += 1;
        self.spawn_pause_until = now + ms(pause);
        actions.push(Action::Report(Report::SpawnPaused { why: why.to_owned(), pause }));
    }

    fn stop_at(&mut self, mode: StopMode, actions: &mut Vec<Action>) {
        // What runs in this process cannot be left to another.
        let mode = if self.identity.here { mode.ending() } else { mode };
        if self.stop >= Some(mode) {
            return;
        }
        self.stop = Some(mode);
        self.release_waiting();
        if mode == StopMode::Now {
            let running: Vec<ClaimToken> = self.held.keys().copied().collect();
            for token in running {
                self.stop_attempt(token, StopReason::WorkerStopping, actions);
            }
        }
    }

    fn stop_attempt(&mut self, token: ClaimToken, reason: StopReason, actions: &mut Vec<Action>) {
        let Some(held) = self.held.get_mut(&token) else { return };
        if !matches!(held.phase, Phase::Starting | Phase::Running) || held.stop_sent.is_some() {
            return;
        }
        held.stop_sent = Some(reason);
        let grace_ms = ms(held.claim.job.spec.kill_grace);
        actions.push(Action::Keeper(Request::Stop { claim: token.into(), reason, grace_ms }));
    }

    // --- decisions ---

    fn release(&mut self, token: ClaimToken) {
        self.held.remove(&token);
        self.releases.push(token);
        // Whoever is free first takes it, and that may be this worker.
        self.more = true;
    }

    fn release_waiting(&mut self) {
        let waiting = self.held.iter().filter(|(_, held)| matches!(held.phase, Phase::Waiting));
        for token in waiting.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.release(token);
        }
    }

    /// A paused queue starts nothing more.
    fn release_waiting_of(&mut self, queues: &[QueueName]) {
        let waiting = self.held.iter().filter(|(_, held)| {
            matches!(held.phase, Phase::Waiting) && queues.contains(&held.claim.job.spec.queue)
        });
        for token in waiting.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.release(token);
        }
    }

    fn give_back_stale(&mut self, now: u64) {
        let stale = |held: &Held| {
            matches!(held.phase, Phase::Waiting) && now >= held.since + ms(limits::UNSTARTED_MAX)
        };
        let tokens: Vec<ClaimToken> =
            self.held.iter().filter(|(_, held)| stale(held)).map(|(token, _)| *token).collect();
        for token in tokens {
            self.release(token);
            self.prefetch.gave_back();
        }
    }

    /// Hands waiting claims to the keeper, in the order in which they were claimed, as slots are free.
    fn fill_slots(&mut self, now: u64, actions: &mut Vec<Action>) {
        if self.owner.is_none() {
            return;
        }
        let waiting = self.held.iter().filter(|(_, held)| matches!(held.phase, Phase::Waiting));
        let first: Vec<ClaimToken> = waiting.map(|(token, _)| *token).take(self.identity.slots).collect();
        let free = if first.is_empty() { Vec::new() } else { self.free_slots() };
        for (token, slot) in first.into_iter().zip(free) {
            let held = self.held.get_mut(&token).expect("just listed");
            held.phase = Phase::Starting;
            held.since = now;
            held.slot = Some(slot);
            // From now on somebody may ask for its cancellation.
            self.next_look = self.next_look.min(now + ms(limits::RUNNING_POLL_MAX));
            let start = self.surroundings.start_request(&held.claim, slot);
            actions.push(Action::Keeper(Request::Start(Box::new(start))));
            actions.push(Action::Report(Report::Started {
                job: held.claim.job.id.to_string(),
                attempt: held.claim.attempt,
                slot,
            }));
        }
        self.give_back_hoarded();
    }

    /// What is left was claimed ahead. What may run only once is not kept waiting where a crash would cost it its run.
    fn give_back_hoarded(&mut self) {
        let hoarded =
            self.held.iter().filter(|(_, held)| matches!(held.phase, Phase::Waiting) && held.at_most_once);
        for token in hoarded.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.release(token);
            self.prefetch.gave_back();
        }
    }

    /// The slots that may be taken now, the lowest first. Adopted attempts leave as many empty as they are.
    fn free_slots(&self) -> Vec<u32> {
        let mut taken = vec![false; self.identity.slots];
        for slot in self.held.values().filter_map(|held| held.slot) {
            taken[slot as usize - 1] = true;
        }
        let free = (1..).zip(taken).filter_map(|(slot, taken)| (!taken).then_some(slot));
        let mut free: Vec<u32> = free.collect();
        free.truncate(free.len().saturating_sub(self.fostered));
        free
    }
}

/// One random value is enough for many: SplitMix64, with `at` steps between the first and this one.
pub fn spread(random: u64, at: u64) -> u64 {
    let mut mixed = random.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if at == 0 { random } else { mixed ^ (mixed >> 31) }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
