//! What a worker could take, and the claims themselves.
//!
//! The order: priority (higher first), due time, age, over all queues together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use queuectl_core::job::Job;
use queuectl_core::limits::PROMOTE_MAX;
use queuectl_core::queue::QueueName;
use queuectl_core::state::{Event, State as JobState};
use queuectl_core::store::{Claim, ExchangeRequest, Take};
use queuectl_core::time::Timestamp;

use super::exchange::running;
use super::state::State;

/// Promotes what is due and claims up to `want` jobs.
pub fn claim(state: &mut State, request: &ExchangeRequest, now: Timestamp) -> Vec<Claim> {
    if request.want == 0 {
        return Vec::new();
    }
    if let Some(id) = &request.take.only {
        let due = |job: &Job| job.state == JobState::Pending && job.due_at <= now;
        let free = |job: &Job| is_open(state, &request.take, job) && room(state, &job.spec.queue) > 0;
        let job = state.find(id).map(|entry| &entry.job).filter(|job| due(job) && free(job));
        let seq = job.map(|job| job.seq);
        return seq.map(|seq| claim_one(state, seq, request, now)).into_iter().collect();
    }
    promote(state, &request.take, now);
    let mut ready: Vec<(Reverse<i32>, Timestamp, i64, QueueName)> = jobs(state)
        .filter(|job| job.ready && is_open(state, &request.take, job) && has_kind(&request.take, job))
        .map(|job| (Reverse(job.spec.priority), job.due_at, job.seq, job.spec.queue.clone()))
        .collect();
    ready.sort();
    let mut rooms: BTreeMap<QueueName, u64> = BTreeMap::new();
    let mut claims = Vec::new();
    for (_, _, seq, queue) in ready {
        let room = rooms.entry(queue.clone()).or_insert_with(|| room(state, &queue));
        if claims.len() < request.want && *room > 0 {
            *room -= 1;
            claims.push(claim_one(state, seq, request, now));
        }
    }
    claims
}

/// The claim that a running job is under.
pub fn claim_on(job: &Job) -> Claim {
    Claim { token: job.claim.expect("it runs"), attempt: job.runs + 1, job: job.clone() }
}

/// Nothing that the worker can run is ready, backing off or due in the unpaused queues that it takes.
pub fn is_drained(state: &State, take: &Take, now: Timestamp) -> bool {
    let waits =
        |job: &Job| job.state == JobState::Pending && (job.ready || job.retrying || job.due_at <= now);
    !jobs(state).any(|job| is_open(state, take, job) && has_kind(take, job) && waits(job))
}

/// The earliest time that a job which this worker takes waits for.
pub fn next_due(state: &State, take: &Take) -> Option<Timestamp> {
    let waits = |job: &&Job| job.state == JobState::Pending && !job.ready;
    let waiting = jobs(state).filter(waits);
    match &take.only {
        Some(id) => waiting.filter(|job| job.id == *id).map(|job| job.due_at).min(),
        None => {
            waiting.filter(|job| is_open(state, take, job) && has_kind(take, job)).map(|job| job.due_at).min()
        }
    }
}

fn promote(state: &mut State, take: &Take, now: Timestamp) {
    let mut due: Vec<(Timestamp, i64)> = jobs(state)
        .filter(|job| job.state == JobState::Pending && !job.ready && job.due_at <= now)
        .filter(|job| is_open(state, take, job))
        .map(|job| (job.due_at, job.seq))
        .collect();
    due.sort_unstable();
    for (_, seq) in due.into_iter().take(PROMOTE_MAX) {
        state.change(seq, |job| job.ready = true);
    }
}

fn claim_one(state: &mut State, seq: i64, request: &ExchangeRequest, now: Timestamp) -> Claim {
    let token = state.next_claim();
    state.happen(seq, Event::Claim, |job| {
        job.ready = false;
        job.retrying = false;
        job.claim = Some(token);
        job.owner = Some(request.owner.clone());
        job.worker = Some(request.worker.clone());
        job.started_at = Some(now);
        job.updated_at = now;
    });
    claim_on(&state.jobs[&seq].job)
}

fn jobs(state: &State) -> impl Iterator<Item = &Job> {
    state.jobs.values().map(|entry| &entry.job)
}

fn is_open(state: &State, take: &Take, job: &Job) -> bool {
    let queue = &job.spec.queue;
    !state.queues[queue] && (take.queues.is_empty() || take.queues.contains(queue))
}

fn has_kind(take: &Take, job: &Job) -> bool {
    take.kinds.is_empty() || take.kinds.contains(&job.spec.kind)
}

/// Whether jobs wait for room under a limit that was used up before so many runs ended.
pub fn has_new_room(state: &State, take: &Take, ended: usize) -> bool {
    let waits = |job: &Job| job.ready && is_open(state, take, job);
    jobs(state).any(|job| waits(job) && (1..=ended as u64).contains(&room(state, &job.spec.queue)))
}

fn room(state: &State, queue: &QueueName) -> u64 {
    match state.settings.for_queue(queue).max_running {
        0 => u64::MAX,
        limit => limit.saturating_sub(running(state, queue)),
    }
}
