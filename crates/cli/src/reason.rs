//! Why a job is as it is, in a few words for a column: what it waits for, or what ended it.

use queuectl::core::job::Job;
use queuectl::core::state::State;
use queuectl::view::Facts;

use crate::when::Times;

/// The reason of one job; empty if there is nothing to say. `explain` says all of them in full.
pub fn reason(job: &Job, facts: &Facts, times: Times) -> String {
    match job.state {
        State::Pending => facts.short(job).map(|why| waiting(job, why.code, times)).unwrap_or_default(),
        State::Processing if job.cancel_requested => "being cancelled".to_owned(),
        // A cancelled job may have an error of an attempt before: that is not why.
        State::Completed | State::Processing | State::Cancelled => String::new(),
        _ => job.last_error.clone().unwrap_or_default(),
    }
}

fn waiting(job: &Job, code: &str, times: Times) -> String {
    match code {
        "backing_off" => format!("retry {}", times.tell_due(&job.due_at.to_string())),
        "not_due" => format!("runs {}", times.tell_due(&job.due_at.to_string())),
        "queue_paused" => "queue paused".to_owned(),
        "no_worker" => "no worker".to_owned(),
        "limit_reached" => "limit reached".to_owned(),
        _ => String::new(),
    }
}
