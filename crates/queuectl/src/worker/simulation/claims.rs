//! Claims and exit records without a store or a keeper.

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::job::{Job, JobSpec};
use queuectl_core::state::State;
use queuectl_core::store::Claim;
use queuectl_core::time::Timestamp;
use queuectl_exec::protocol::{Captured, End, ExitRecord, Usage};
use queuectl_testing::given::job;

/// The claim of this number, on job `j<number>`.
pub fn claim(number: u64, change: impl FnOnce(&mut JobSpec)) -> Claim {
    let token = ClaimToken { incarnation: Incarnation(1), number };
    let mut new = job(&format!("j{number}"));
    change(&mut new.spec);
    let then = Timestamp::from_millis(1_000);
    let job = Job {
        id: new.id,
        generated: false,
        seq: number as i64,
        spec: new.spec,
        state: State::Processing,
        ready: false,
        retrying: false,
        due_at: then,
        run_at: None,
        attempts: 0,
        runs: 0,
        interruptions: 0,
        cancel_requested: false,
        claim: Some(token),
        owner: Some("keeper1".to_owned()),
        worker: Some("worker1".to_owned()),
        created_at: then,
        updated_at: then,
        started_at: Some(then),
        completed_at: None,
        last_error: None,
        exit_code: None,
    };
    Claim { token, attempt: 1, job }
}

/// How an attempt ended, after so long, at this time.
pub fn record(claim: &Claim, end: End, ran_ms: u64, ended_ms: u64) -> Box<ExitRecord> {
    let started = !matches!(end, End::CouldNotStart { .. });
    Box::new(ExitRecord {
        claim: claim.token.into(),
        end,
        started_ms: started.then(|| ended_ms - ran_ms),
        ended_ms,
        usage: Usage::default(),
        stdout: Captured::default(),
        stderr: Captured::default(),
        leftovers_killed: 0,
    })
}
