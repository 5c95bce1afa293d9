//! What an outcome does to its job. The library decides here; a store applies the patch under its fence.

use std::time::Duration;

use crate::job::JobSpec;
use crate::limits::LAST_ERROR_CHARS_MAX;
use crate::outcome::{Interruption, Outcome};
use crate::state::{Event, Shown, State, transition};
use crate::time::Timestamp;

/// A job's counters when its attempt was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub attempts: u32,
    pub interruptions: u32,
}

/// What a settle changes in the job's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub event: Event,
    /// The attempt counts as one of `max_retries`.
    pub charged: bool,
    /// The interruption counts towards the crash limit.
    pub interruption: bool,
    /// Due this long after the attempt's end; `None` leaves the due time as it is.
    pub delay: Option<Duration>,
    pub last_error: Option<String>,
    pub exit_code: Option<i32>,
}

impl Patch {
    /// The state that the job ends in.
    pub fn to(&self) -> State {
        transition(State::Processing, self.event).expect("decide yields only events of a running job")
    }

    /// How the job shows then: a failed one that is tried again is `failed`.
    pub fn shown(&self) -> Shown {
        let (ended, next) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
        self.to().shown(self.retrying(), next, ended)
    }

    /// Its last attempt failed and another follows.
    pub fn retrying(&self) -> bool {
        self.event == Event::Backoff
    }

    /// The patch as it lands on a job whose cancellation was asked for meanwhile: an end stands, a return becomes a
    /// cancellation.
    pub fn landing(mut self, cancel_requested: bool) -> Patch {
        // An event that no running job can have lands nowhere: the store refuses it, and does not fall over it here.
        if cancel_requested && transition(State::Processing, self.event) == Ok(State::Pending) {
            self.event = Event::Cancel;
            self.delay = None;
        }
        self
    }

    /// Gives a claim back of which nothing started.
    pub fn release() -> Patch {
        Patch {
            event: Event::Release,
            charged: false,
            interruption: false,
            delay: None,
            last_error: None,
            exit_code: None,
        }
    }
}

/// Decides what an outcome does. `stderr_tail` is the last line that the attempt printed there, for `last_error`.
pub fn decide(spec: &JobSpec, tally: Tally, outcome: &Outcome, stderr_tail: &str, random: u64) -> Patch {
    match outcome {
        Outcome::Exited { code } if *code == 0 || spec.exits.ok_codes.contains(code) => Patch {
            event: Event::Complete,
            charged: true,
            interruption: false,
            delay: None,
            last_error: None,
            exit_code: Some(*code),
        },
        Outcome::Interrupted(cause) => interrupted(spec, tally, outcome, *cause),
        Outcome::Cancelled => Patch {
            event: Event::Cancel,
            charged: false,
            interruption: false,
            delay: None,
            last_error: Some(outcome.describe()),
            exit_code: None,
        },
        _ => failed(spec, tally, outcome, stderr_tail, random),
    }
}

fn failed(spec: &JobSpec, tally: Tally, outcome: &Outcome, stderr_tail: &str, random: u64) -> Patch {
    let attempts = tally.attempts.saturating_add(1);
    let final_code = matches!(outcome, Outcome::Exited { code } if spec.exits.no_retry_on.contains(code));
    let last = spec.at_most_once || final_code || attempts >= spec.max_retries.max(1);
    let what = match outcome {
        Outcome::TimedOut => {
            let bound = spec.timeout.map(crate::duration::format_duration).unwrap_or_default();
            format!("timed out after {bound}")
        }
        other => other.describe(),
    };
    let tail = stderr_tail.trim();
    let text = if tail.is_empty() { what } else { format!("{what}: {tail}") };
    Patch {
        event: if last { Event::Bury } else { Event::Backoff },
        charged: true,
        interruption: false,
        delay: (!last).then(|| spec.retry.delay(attempts, random)),
        last_error: Some(text.chars().take(LAST_ERROR_CHARS_MAX).collect()),
        exit_code: outcome.exit_code(),
    }
}

fn interrupted(spec: &JobSpec, tally: Tally, outcome: &Outcome, cause: Interruption) -> Patch {
    let counted = cause == Interruption::Crash;
    let interruptions = tally.interruptions.saturating_add(u32::from(counted));
    let over = counted && interruptions >= spec.crash_limit.max(1);
    let mut text = outcome.describe();
    if spec.at_most_once {
        text.push_str("; it runs at most once");
    } else if over {
        text.push_str(&format!("; interrupted {interruptions} times, the crash limit"));
    }
    Patch {
        event: if spec.at_most_once || over { Event::Bury } else { Event::Interrupt },
        charged: false,
        interruption: counted,
        delay: None,
        last_error: Some(text),
        exit_code: None,
    }
}
