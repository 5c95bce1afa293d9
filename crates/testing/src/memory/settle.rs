//! Settling: a patch lands on the job that its claim fences.

use queuectl_core::claim::ClaimToken;
use queuectl_core::job::Job;
use queuectl_core::settle::Patch;
use queuectl_core::state::{Event, State as JobState, transition};
use queuectl_core::store::{Attempt, Settle, Settled};
use queuectl_core::time::Timestamp;

use super::state::State;

/// Settles one outcome, if its claim still holds.
pub fn settle(state: &mut State, settle: &Settle, now: Timestamp) -> Settled {
    let Some(job) = state.held_by(settle.claim).cloned() else { return Settled::Lost };
    if let Err(illegal) = transition(JobState::Processing, settle.patch.event) {
        return Settled::Refused(illegal.to_string());
    }
    let patch = settle.patch.clone().landing(job.cancel_requested);
    let ended_at = now.before(settle.attempt.ended_ago);
    let started_at = settle.attempt.started_ago.map(|ago| now.before(ago));
    land(state, &job, &patch, ended_at, now);
    state.change(job.seq, |job| {
        job.runs += 1;
        job.started_at = started_at.or(job.started_at);
        job.last_error.clone_from(&patch.last_error);
        job.exit_code = patch.exit_code;
    });
    let attempt = attempt(&job, settle, &patch, started_at, ended_at);
    state.jobs.get_mut(&job.seq).expect("it is there").attempts.push(attempt);
    if patch.event == settle.patch.event {
        for new in &settle.inserts {
            if state.seq_of(&new.id).is_none() {
                state.insert(new, now);
            }
        }
    }
    Settled::Done
}

/// Gives a claim back of which nothing started; false if it does not hold any more.
pub fn release(state: &mut State, claim: ClaimToken, now: Timestamp) -> bool {
    let Some(job) = state.held_by(claim).cloned() else { return false };
    let patch = Patch::release().landing(job.cancel_requested);
    land(state, &job, &patch, now, now);
    state.change(job.seq, |job| job.started_at = None);
    true
}

/// What a patch does to every job that it lands on.
fn land(state: &mut State, job: &Job, patch: &Patch, ended_at: Timestamp, now: Timestamp) {
    assert!(
        patch.delay.is_none() || patch.event == Event::Backoff,
        "only a backoff delays, not {}",
        patch.event
    );
    state.happen(job.seq, patch.event, |job| {
        job.due_at = patch.delay.map_or(job.due_at, |delay| ended_at.after(delay));
        job.ready = job.state == JobState::Pending && job.due_at <= now;
        job.retrying = patch.retrying();
        job.attempts += u32::from(patch.charged);
        job.interruptions += u32::from(patch.interruption);
        job.cancel_requested = false;
        job.claim = None;
        job.owner = None;
        job.updated_at = now;
        job.completed_at = job.state.is_terminal().then_some(ended_at);
    });
}

fn attempt(
    job: &Job,
    settle: &Settle,
    patch: &Patch,
    started_at: Option<Timestamp>,
    ended_at: Timestamp,
) -> Attempt {
    let record = settle.attempt.clone();
    Attempt {
        number: job.runs + 1,
        claim: settle.claim,
        worker: job.worker.clone(),
        started_at,
        ended_at,
        outcome: record.outcome,
        charged: patch.charged,
        usage: record.usage,
        stdout: record.stdout,
        stderr: record.stderr,
        leftovers_killed: record.leftovers_killed,
    }
}
