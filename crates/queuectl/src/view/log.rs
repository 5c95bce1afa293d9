//! What a job printed, a line at a time.

use queuectl_core::id::JobId;
use queuectl_core::outcome::Stream;
use queuectl_core::store::Attempt;
use serde::Serialize;

use super::SCHEMA;

/// One event of a job's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogView {
    pub schema: u32,
    pub id: String,
    pub attempt: u32,
    /// `output`: a line; `gap`: bytes that were not kept; `end`: the attempt is over.
    pub event: &'static str,
    /// `stdout` or `stderr`.
    pub stream: Option<&'static str>,
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub text: Option<String>,
    /// How many were not kept.
    pub bytes: Option<u64>,
    pub outcome: Option<&'static str>,
    /// As a shell would report it.
    pub exit_code: Option<i32>,
    pub ended_at: Option<String>,
}

impl LogView {
    fn new(id: &JobId, attempt: u32, event: &'static str) -> LogView {
        LogView {
            schema: SCHEMA,
            id: id.to_string(),
            attempt,
            event,
            stream: None,
            text: None,
            bytes: None,
            outcome: None,
            exit_code: None,
            ended_at: None,
        }
    }

    pub fn output(id: &JobId, attempt: u32, stream: Stream, text: &str) -> LogView {
        let text = Some(text.to_owned());
        LogView { stream: Some(name(stream)), text, ..LogView::new(id, attempt, "output") }
    }

    pub fn gap(id: &JobId, attempt: u32, stream: Stream, bytes: u64) -> LogView {
        LogView { stream: Some(name(stream)), bytes: Some(bytes), ..LogView::new(id, attempt, "gap") }
    }

    pub fn end(id: &JobId, attempt: &Attempt) -> LogView {
        LogView {
            outcome: Some(attempt.outcome.name()),
            exit_code: attempt.outcome.exit_code(),
            ended_at: Some(attempt.ended_at.to_string()),
            ..LogView::new(id, attempt.number, "end")
        }
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
