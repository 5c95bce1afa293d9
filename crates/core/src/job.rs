//! The job: what is asked for ([`JobSpec`]), what is handed in ([`NewJob`]), what the store holds ([`Job`]).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::claim::ClaimToken;
use crate::command::Command;
use crate::environment::Environment;
use crate::id::JobId;
use crate::limits;
use crate::queue::QueueName;
use crate::retry::{ExitRules, RetryPolicy};
use crate::state::{Shown, State};
use crate::time::Timestamp;

/// The kind of a job that runs a command.
pub const KIND_COMMAND: &str = "command";

/// Everything that is asked of a job. It does not change while the job runs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// `command`, or later the name of a handler; a claim names the kinds it can run.
    pub kind: String,
    /// Of kind `command` only.
    pub command: Option<Command>,
    /// For a handler: JSON text.
    pub payload: Option<String>,
    pub queue: QueueName,
    /// Higher first.
    pub priority: i32,
    /// How often it is executed at most: 3 means three times; 0 and 1 both mean once.
    pub max_retries: u32,
    pub retry: RetryPolicy,
    pub exits: ExitRules,
    /// For one attempt; none means no bound.
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub kill_grace: Duration,
    /// Interruptions by a crash before it is dead.
    pub crash_limit: u32,
    /// Any unclean end makes it dead.
    pub at_most_once: bool,
    pub leftovers: Leftovers,
    /// Kept of one attempt's output, in bytes over both streams.
    pub output_max: u64,
    pub tags: BTreeMap<String, String>,
    /// Laid over the worker's environment.
    pub environment: Environment,
    /// Where it runs; the worker's home if none.
    pub dir: Option<Vec<u8>>,
    /// A file it reads; nothing if none.
    pub stdin: Option<Vec<u8>>,
    /// The shell of a shell line, words; `["/bin/sh", "-c"]`.
    pub shell: Vec<String>,
}

/// What becomes of processes that outlive an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leftovers {
    Kill,
    Keep,
}

impl Default for JobSpec {
    fn default() -> JobSpec {
        JobSpec {
            kind: KIND_COMMAND.to_owned(),
            command: None,
            payload: None,
            queue: QueueName::default(),
            priority: 0,
            max_retries: 3,
            retry: RetryPolicy::default(),
            exits: ExitRules::default(),
            timeout: None,
            kill_grace: limits::KILL_GRACE_DEFAULT,
            crash_limit: 3,
            at_most_once: false,
            leftovers: Leftovers::Kill,
            output_max: limits::OUTPUT_BYTES_DEFAULT,
            tags: BTreeMap::new(),
            environment: Environment::default(),
            dir: None,
            stdin: None,
            shell: vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }
}

/// When a new job is due, in the store's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Now,
    After(Duration),
    At(Timestamp),
}

impl Due {
    /// The instant it means, which may lie in the past.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Due::Now => now,
            Due::After(delay) => now.after(delay),
            Due::At(at) => at,
        }
    }
}

/// A job on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub id: JobId,
    /// The id was generated, so a unique prefix selects it.
    pub generated: bool,
    pub spec: JobSpec,
    pub due: Due,
}

/// A job as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub generated: bool,
    /// The order of insertion in this store; the key of pages.
    pub seq: i64,
    /// Listings leave `environment` empty; `get` and claims fill it.
    pub spec: JobSpec,
    pub state: State,
    /// Due, and promoted by an exchange; claims look only at ready jobs.
    pub ready: bool,
    /// Pending because its last attempt failed.
    pub retrying: bool,
    pub due_at: Timestamp,
    /// The instant asked for, if it lay ahead when the job was enqueued.
    pub run_at: Option<Timestamp>,
    /// Charged attempts since it was enqueued or brought back.
    pub attempts: u32,
    /// Attempts over its whole life; the number of the last one.
    pub runs: u32,
    /// Interruptions by a crash since it was enqueued or brought back.
    pub interruptions: u32,
    pub cancel_requested: bool,
    /// The only claim that can settle it; `None` unless processing.
    pub claim: Option<ClaimToken>,
    /// The keeper that holds the claim.
    pub owner: Option<String>,
    /// The worker that runs it, or ran it last.
    pub worker: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Of the running or last attempt.
    pub started_at: Option<Timestamp>,
    /// When it reached a terminal state.
    pub completed_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Of the last attempt, as a shell would report it.
    pub exit_code: Option<i32>,
}

impl Job {
    /// What people see at `now`.
    pub fn shown(&self, now: Timestamp) -> Shown {
        self.state.shown(self.retrying, self.due_at, now)
    }
}
