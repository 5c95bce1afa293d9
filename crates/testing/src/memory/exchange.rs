//! The exchange: settles, releases and claims, in that order.

use std::collections::BTreeSet;

use async_trait::async_trait;
use queuectl_core::limits::SETTLES_MAX;
use queuectl_core::state::{Event, State as JobState};
use queuectl_core::store::{Claim, Exchange, ExchangeReply, ExchangeRequest, Settled, StoreResult};
use queuectl_core::time::Timestamp;

use super::state::State;
use super::{MemoryStore, Rings, settle, take};

#[async_trait]
impl Exchange for MemoryStore {
    async fn exchange(&self, request: ExchangeRequest) -> StoreResult<ExchangeReply> {
        assert!(request.settles.len() <= SETTLES_MAX, "{} settles in one exchange", request.settles.len());
        Ok(self.verb(|state, now, rings| exchange(state, &request, now, rings)))
    }

    async fn claims_of(&self, owner: &str) -> StoreResult<Vec<Claim>> {
        Ok(self.verb(|state, _, _| {
            let jobs = state.jobs.values().map(|entry| &entry.job);
            jobs.filter(|job| job.owner.as_deref() == Some(owner)).map(take::claim_on).collect()
        }))
    }

    async fn owners(&self) -> StoreResult<Vec<String>> {
        Ok(self.verb(|state, _, _| {
            let owners: BTreeSet<String> =
                state.jobs.values().filter_map(|entry| entry.job.owner.clone()).collect();
            owners.into_iter().collect()
        }))
    }
}

fn exchange(
    state: &mut State,
    request: &ExchangeRequest,
    now: Timestamp,
    rings: &mut Rings,
) -> ExchangeReply {
    let mut settled = Vec::with_capacity(request.settles.len());
    for one in &request.settles {
        let result = settle::settle(state, one, now);
        rings.outcome |= result == Settled::Done;
        rings.work |= result == Settled::Done
            && (one.patch.event == Event::Interrupt || !one.inserts.is_empty() || one.patch.delay.is_some());
        settled.push(result);
    }
    for claim in &request.releases {
        rings.work |= settle::release(state, *claim, now);
    }
    let claims = take::claim(state, request, now);
    rings.outcome |= !claims.is_empty();
    rings.work |= take::has_new_room(state, &request.take, request.settles.len() + request.releases.len());
    let cancels = state
        .jobs
        .values()
        .map(|entry| &entry.job)
        .filter(|job| job.cancel_requested && job.owner.as_deref() == Some(&request.owner))
        .map(|job| job.claim.expect("only running jobs wait for a cancel"))
        .collect();
    let newer = state.settings.version != request.settings_seen;
    ExchangeReply {
        claims,
        settled,
        cancels,
        stop: state.workers.iter().find(|worker| worker.id == request.worker).and_then(|worker| worker.stop),
        paused: state.queues.iter().filter(|(_, paused)| **paused).map(|(name, _)| name.clone()).collect(),
        drained: request.drain && take::is_drained(state, &request.take, now),
        next_due: take::next_due(state, &request.take).map(|due| due.since(now)),
        settings: newer.then(|| state.settings.clone()),
    }
}

/// How many jobs of a queue run, over all owners.
pub fn running(state: &State, queue: &queuectl_core::queue::QueueName) -> u64 {
    let here = |entry: &&super::state::Entry| {
        entry.job.state == JobState::Processing && entry.job.spec.queue == *queue
    };
    state.jobs.values().filter(here).count() as u64
}
