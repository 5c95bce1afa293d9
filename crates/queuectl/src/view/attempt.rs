//! One run of a job.

use queuectl_core::outcome::{Outcome, Output};
use queuectl_core::store::Attempt;
use serde::Serialize;

use crate::json::Number;

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    pub number: u32,
    pub worker_id: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: String,
    /// In seconds; `null` if nothing was started, or nobody knows.
    pub duration: Option<Number>,
    pub outcome: &'static str,
    /// As a shell would report it.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// Why nothing could be started.
    pub error: Option<String>,
    /// It counted as one of `max_retries`.
    pub charged: bool,
    /// In seconds.
    pub cpu_user: Number,
    /// In seconds.
    pub cpu_system: Number,
    pub max_rss_kib: u64,
    pub stdout: OutputView,
    pub stderr: OutputView,
    /// Processes that outlived it and were killed.
    pub leftovers_killed: u32,
}

/// What one stream printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputView {
    /// All that was printed.
    pub bytes: u64,
    /// Of that, not kept.
    pub dropped: u64,
    /// Over what was kept, in hexadecimal digits.
    pub sha256: String,
}

impl AttemptView {
    pub fn new(attempt: &Attempt) -> AttemptView {
        let signal = match attempt.outcome {
            Outcome::Signaled { signal } => Some(signal),
            _ => None,
        };
        let duration = attempt.started_at.map(|started_at| attempt.ended_at.since(started_at));
        AttemptView {
            number: attempt.number,
            worker_id: attempt.worker.clone(),
            started_at: attempt.started_at.map(|at| at.to_string()),
            ended_at: attempt.ended_at.to_string(),
            duration: duration.map(Number::seconds),
            outcome: attempt.outcome.name(),
            exit_code: attempt.outcome.exit_code(),
            signal,
            error: attempt.outcome.message().map(str::to_owned),
            charged: attempt.charged,
            cpu_user: Number::seconds(attempt.usage.cpu_user),
            cpu_system: Number::seconds(attempt.usage.cpu_system),
            max_rss_kib: attempt.usage.max_rss_kib,
            stdout: OutputView::new(&attempt.stdout),
            stderr: OutputView::new(&attempt.stderr),
            leftovers_killed: attempt.leftovers_killed,
        }
    }
}

/// A stream that stayed empty is not stored, so its digest is not either.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl OutputView {
    pub fn new(output: &Output) -> OutputView {
        OutputView {
            bytes: output.bytes_total,
            dropped: output.bytes_dropped,
            sha256: match output.bytes_total {
                0 => SHA256_OF_NOTHING.to_owned(),
                _ => output.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
        }
    }
}
