//! One job: as each listing shows it, and with everything there is to know.

use std::collections::BTreeMap;

use queuectl_core::command::Command;
use queuectl_core::job::{Job, Leftovers};
use queuectl_core::state::Shown;
use queuectl_core::store::Attempt;
use queuectl_core::time::Timestamp;
use serde::Serialize;

use super::{AttemptView, SCHEMA};
use crate::json::Number;

/// A job in a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    pub schema: u32,
    pub id: String,
    /// The shell line, or the arguments quoted; `null` for a job with a payload.
    pub command: Option<String>,
    pub state: &'static str,
    pub attempts: u32,
    pub max_retries: u32,
    pub created_at: String,
    pub updated_at: String,
    pub queue: String,
    pub priority: i32,
    /// For one attempt, in seconds.
    pub timeout: Option<Number>,
    pub run_at: Option<String>,
    pub backoff_base: Number,
    /// While it waits for its backoff.
    pub next_retry_at: Option<String>,
    pub last_error: Option<String>,
    pub exit_code: Option<i32>,
    pub worker_id: Option<String>,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub kind: String,
    /// Attempts over its whole life.
    pub runs: u32,
    pub interruptions: u32,
    pub cancel_requested: bool,
}

impl JobView {
    /// A job as it shows at `now`.
    pub fn new(job: &Job, now: Timestamp) -> JobView {
        let spec = &job.spec;
        let shown = job.shown(now);
        let next_retry_at = (shown == Shown::Failed).then(|| job.due_at.to_string());
        JobView {
            schema: SCHEMA,
            id: job.id.to_string(),
            command: spec.command.as_ref().map(Command::display),
            state: shown.as_str(),
            attempts: job.attempts,
            max_retries: spec.max_retries,
            created_at: job.created_at.to_string(),
            updated_at: job.updated_at.to_string(),
            queue: spec.queue.to_string(),
            priority: spec.priority,
            timeout: spec.timeout.map(Number::seconds),
            run_at: job.run_at.map(|at| at.to_string()),
            backoff_base: Number(spec.retry.base),
            next_retry_at,
            last_error: job.last_error.clone(),
            exit_code: job.exit_code,
            worker_id: job.worker.clone(),
            started_at: job.started_at.map(|at| at.to_string()),
            completed_at: job.completed_at.map(|at| at.to_string()),
            tags: Some(&spec.tags).filter(|tags| !tags.is_empty()).cloned(),
            kind: spec.kind.clone(),
            runs: job.runs,
            interruptions: job.interruptions,
            cancel_requested: job.cancel_requested,
        }
    }
}

/// A job with everything that there is to know of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDetailView {
    #[serde(flatten)]
    pub job: JobView,
    pub backoff: &'static str,
    /// In seconds.
    pub backoff_max: Number,
    pub backoff_jitter: bool,
    /// In seconds.
    pub kill_grace: Number,
    pub at_most_once: bool,
    pub dir: Option<String>,
    pub stdin: Option<String>,
    /// The exact arguments, of a job that has no shell line.
    pub args: Option<Vec<String>>,
    /// The names of its variables; the values stay hidden.
    pub env: Vec<String>,
    pub no_retry_on: Vec<i32>,
    pub ok_codes: Vec<i32>,
    pub leftovers: &'static str,
    /// In bytes.
    pub output_max: u64,
    pub crash_limit: u32,
    /// The attempts that have ended.
    pub attempts_log: Vec<AttemptView>,
}

impl JobDetailView {
    /// A job, as a store's `get` returns it, with its attempts.
    pub fn new(job: &Job, attempts: &[Attempt], now: Timestamp) -> JobDetailView {
        let spec = &job.spec;
        let args = match &spec.command {
            Some(Command::Argv(words)) => Some(words.iter().map(|word| lossy(word)).collect()),
            _ => None,
        };
        JobDetailView {
            job: JobView::new(job, now),
            backoff: spec.retry.backoff.as_str(),
            backoff_max: Number::seconds(spec.retry.max),
            backoff_jitter: spec.retry.jitter,
            kill_grace: Number::seconds(spec.kill_grace),
            at_most_once: spec.at_most_once,
            dir: spec.dir.as_deref().map(lossy),
            stdin: spec.stdin.as_deref().map(lossy),
            args,
            env: spec.environment.iter().map(|(name, _)| lossy(name)).collect(),
            no_retry_on: spec.exits.no_retry_on.clone(),
            ok_codes: spec.exits.ok_codes.clone(),
            leftovers: match spec.leftovers {
                Leftovers::Kill => "kill",
                Leftovers::Keep => "keep",
            },
            output_max: spec.output_max,
            crash_limit: spec.crash_limit,
            attempts_log: attempts.iter().map(AttemptView::new).collect(),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
