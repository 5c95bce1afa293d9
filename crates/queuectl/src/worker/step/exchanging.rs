//! The exchange as the machine sees it: when the next one is due, what it carries, and what its reply changes.

use std::time::Duration;

use queuectl_core::limits;
use queuectl_core::queue::QueueName;
use queuectl_core::store::{Claim, ExchangeReply, ExchangeRequest, Settle, Settled, StopMode, StoreError};
use queuectl_exec::protocol::{Request, StopReason};

use super::{Held, InFlight, Machine, Phase, ms};
use crate::worker::events::{Action, Report};

/// Of a lost store: first wait, then twice as long each time, up to this. An outcome that was refused waits the latter.
const STORE_PAUSE_FIRST_MS: u64 = 50;
const STORE_PAUSE_MAX_MS: u64 = 5_000;

impl Machine {
    pub(super) fn take_reply(&mut self, reply: ExchangeReply, now: u64, actions: &mut Vec<Action>) {
        let sent = self.in_flight.take().expect("a reply follows a request");
        if self.store_failures > 0 {
            self.store_failures = 0;
            actions.push(Action::Report(Report::StoreBack));
        }
        self.take_settled(sent.settles, reply.settled, now, actions);
        if let Some(settings) = reply.settings {
            self.settings = settings;
        }
        // As many as were asked for: there may be more.
        self.more |= sent.want > 0 && reply.claims.len() == sent.want;
        self.next_due = reply.next_due.map(|due| now + ms(due));
        self.next_look = now + ms(self.look_interval());
        let claims = if sent.recall { self.recalled(reply.claims, &sent.owner) } else { reply.claims };
        self.drained = self.identity.drain && reply.drained && claims.is_empty();
        for claim in claims {
            if self.owner.as_ref() != Some(&sent.owner) {
                // Its keeper died meanwhile: whoever recovers that one gives this back as well, and may have done so.
                self.releases.push(claim.token);
                continue;
            }
            let held = Held {
                at_most_once: claim.job.spec.at_most_once,
                claim: Box::new(claim),
                phase: Phase::Waiting,
                since: now,
                slot: None,
                stop_sent: None,
            };
            self.held.insert(held.claim.token, held);
        }
        for token in reply.cancels {
            if matches!(self.held.get(&token), Some(Held { phase: Phase::Waiting, .. })) {
                self.release(token);
            } else {
                self.stop_attempt(token, StopReason::Cancelled, actions);
            }
        }
        self.release_waiting_of(&reply.paused);
        if let Some(mode) = reply.stop {
            self.stop_at(mode, actions);
        }
        if self.stop.is_some() {
            self.release_waiting();
        }
    }

    /// Of all claims of an owner those that nobody here knew of.
    fn recalled(&mut self, mut claims: Vec<Claim>, owner: &str) -> Vec<Claim> {
        if self.owner.as_deref() != Some(owner) {
            // Its keeper died meanwhile, and what of this it had begun only its spool tells.
            return Vec::new();
        }
        self.recall = false;
        claims.retain(|claim| !self.held.contains_key(&claim.token) && !self.releases.contains(&claim.token));
        claims
    }

    fn take_settled(
        &mut self,
        sent: Vec<Settle>,
        results: Vec<Settled>,
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        let mut durable = Vec::new();
        for (settle, result) in sent.into_iter().zip(results) {
            let Some(held) = self.held.get(&settle.claim) else { continue };
            let (job, attempt) = (held.claim.job.id.to_string(), held.claim.attempt);
            let report = match result {
                Settled::Done => Report::Settled {
                    job,
                    attempt,
                    to: settle.patch.shown().as_str(),
                    what: settle.attempt.outcome.describe(),
                },
                Settled::Lost => Report::Lost { job, attempt },
                Settled::Refused(why) => {
                    // Kept, and offered again after a while; the slot is free meanwhile.
                    actions.push(Action::Report(Report::Refused { job, attempt, why }));
                    self.refused.push(settle);
                    self.refused_until = now + STORE_PAUSE_MAX_MS;
                    continue;
                }
            };
            actions.push(Action::Report(report));
            durable.push(settle.claim.into());
            self.held.remove(&settle.claim);
        }
        if !durable.is_empty() {
            actions.push(Action::Keeper(Request::Settled { claims: durable }));
        }
    }

    pub(super) fn lose_exchange(&mut self, error: &StoreError, now: u64, actions: &mut Vec<Action>) {
        let sent = self.in_flight.take().expect("a reply follows a request");
        self.settles.splice(0..0, sent.settles);
        self.releases.splice(0..0, sent.releases);
        self.news = true;
        self.more = true;
        // Whoever recovers a dead keeper finds them all.
        self.recall |= sent.want > 0 && self.owner.as_ref() == Some(&sent.owner);
        if error.shuts_out() {
            self.excluded = true;
            // They go back with its keeper.
            self.recall = false;
            self.stop_at(StopMode::Drain, actions);
        }
        if self.store_failures == 0 {
            self.store_failing_since = now;
            actions.push(Action::Report(Report::StoreFailed { why: error.to_string() }));
        }
        let pause = STORE_PAUSE_FIRST_MS << self.store_failures.min(10);
        self.store_failures += 1;
        self.store_pause_until = now + pause.min(STORE_PAUSE_MAX_MS);
    }

    /// When the next exchange is due: in the past if it is due at once, `u64::MAX` if none can be sent.
    pub(super) fn exchange_at(&self) -> u64 {
        if self.in_flight.is_some() || self.exchange_owner().is_none() {
            return u64::MAX;
        }
        let mut at = if self.news || !self.releases.is_empty() { 0 } else { self.next_look };
        if !self.settles.is_empty() {
            // With work claimed ahead the slots stay busy, so outcomes may wait a moment for company.
            let delay = if self.waiting() > 0 { ms(limits::SETTLE_DELAY) } else { 0 };
            at = at.min(self.settles_since + delay);
        }
        if !self.refused.is_empty() {
            at = at.min(self.refused_until);
        }
        if self.capacity() > 0 && !self.is_supplied() {
            let hungry_at = if self.more { 0 } else { self.next_due.unwrap_or(u64::MAX) };
            at = at.min(hungry_at.max(self.spawn_pause_until));
        }
        at.max(self.store_pause_until)
    }

    pub(super) fn maybe_exchange(&mut self, now: u64, actions: &mut Vec<Action>) {
        if now < self.exchange_at() {
            return;
        }
        let Some(owner) = self.exchange_owner() else { return };
        let want = if now < self.spawn_pause_until || self.recall { 0 } else { self.capacity() };
        if now >= self.refused_until {
            self.settles.append(&mut self.refused);
        }
        let take = self.settles.len().min(limits::SETTLES_MAX);
        let settles: Vec<Settle> = self.settles.drain(..take).collect();
        let releases = std::mem::take(&mut self.releases);
        let request = ExchangeRequest {
            worker: self.identity.worker.clone(),
            owner: owner.clone(),
            settles: settles.iter().map(|settle| self.aged(settle, now)).collect(),
            releases: releases.clone(),
            want,
            take: self.identity.take.clone(),
            drain: self.identity.drain,
            settings_seen: self.settings.version,
        };
        self.news = false;
        if want > 0 {
            self.more = false;
            self.next_due = None;
        }
        self.settles_since = now;
        let recall = self.recall;
        self.in_flight = Some(InFlight { owner, settles, releases, want, recall });
        actions.push(Action::Exchange { request: Box::new(request), recall });
    }

    /// A settle as of now: its instants are told as "so long ago", and it may have waited for the store a while.
    fn aged(&self, settle: &Settle, now: u64) -> Settle {
        let mut settle = settle.clone();
        if let Some(held) = self.held.get(&settle.claim) {
            let waited = Duration::from_millis(now.saturating_sub(held.since));
            settle.attempt.ended_ago += waited;
            settle.attempt.started_ago = settle.attempt.started_ago.map(|ago| ago + waited);
        }
        settle
    }

    /// How many jobs may be claimed now.
    fn capacity(&self) -> usize {
        let unsettled = self.settles.len() + self.refused.len();
        if self.stop.is_some() || self.owner.is_none() || unsettled >= limits::SETTLES_MAX / 2 {
            return 0;
        }
        let taken = self.held.values().filter(|held| !matches!(held.phase, Phase::Settling)).count();
        let ahead = self.prefetch.depth(self.identity.slots);
        (self.identity.slots + ahead).saturating_sub(taken + self.fostered)
    }

    /// The slots stay busy for a while by what is claimed ahead. Until it is down to one for each slot, nothing is asked
    /// for by itself: so one commit settles many and claims many, in place of one for each run that ends. Never below a
    /// quarter, for an exchange takes its time, and the slots are not to stand still meanwhile.
    fn is_supplied(&self) -> bool {
        let depth = self.prefetch.depth(self.identity.slots);
        let enough = self.identity.slots.clamp(depth.div_ceil(4), depth.div_ceil(2));
        let waiting = self.waiting();
        waiting > 0 && waiting >= enough
    }

    /// Claimed ahead of a free slot.
    fn waiting(&self) -> usize {
        self.held.values().filter(|held| matches!(held.phase, Phase::Waiting)).count()
    }

    fn look_interval(&self) -> Duration {
        let queue = self.identity.take.queues.first().cloned().unwrap_or_else(QueueName::default);
        let poll = self.settings.for_queue(&queue).poll_interval.max(Duration::from_millis(10));
        if self.running() > 0 { poll.min(limits::RUNNING_POLL_MAX) } else { poll }
    }

    /// Without a keeper nothing is claimed, but what is known is still settled.
    fn exchange_owner(&self) -> Option<String> {
        let pending = !(self.settles.is_empty() && self.refused.is_empty() && self.releases.is_empty());
        match &self.owner {
            Some(owner) => Some(owner.clone()),
            None if pending || self.stop.is_some() => Some(String::new()),
            None => None,
        }
    }
}
