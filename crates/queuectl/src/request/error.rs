//! Why a request is refused. Every kind is a mistake in what was said (exit code 2); nothing was enqueued.

use queuectl_core::command::CommandError;
use queuectl_core::duration::DurationError;
use queuectl_core::environment::EnvironmentError;
use queuectl_core::id::JobIdError;
use queuectl_core::limits::{
    ENQUEUE_ARRAY_JOBS_MAX, ENQUEUE_BYTES_MAX, PAYLOAD_BYTES_MAX, TAG_CHARS_MAX, TAGS_MAX,
};
use queuectl_core::queue::QueueNameError;
use queuectl_core::settings::SettingError;

/// A request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    #[error("invalid JSON at line {line} column {column}: {what}")]
    Json { line: usize, column: usize, what: String },
    #[error("a job is a JSON object such as {{\"command\": \"sleep 2\"}}, not {given}")]
    NotAnObject { given: &'static str },
    #[error("the input holds no job; write one JSON object, an array of them, or one a line")]
    NoJob,
    #[error(
        "the input holds more than {ENQUEUE_ARRAY_JOBS_MAX} jobs in one piece; write one object a line instead"
    )]
    TooManyJobs,
    #[error("the input has {0} bytes; at most {ENQUEUE_BYTES_MAX} go into one enqueue; split it")]
    TooManyBytes(usize),
    #[error("there is no field `{field}`{hint}; the fields are: {}", super::FIELDS.join(", "))]
    UnknownField { field: String, hint: String },
    #[error("`{field}` cannot be changed; of a waiting job these can: {}", super::EDITABLE.join(", "))]
    NotEditable { field: String },
    #[error("`{field}` is given twice, as `{first}` and as `{second}`; keep one")]
    Repeated { field: &'static str, first: String, second: String },
    /// A field that queuectl tells of a job, with a value that no new job has.
    #[error("`{field}` is {given}, but a new job has {only}; leave the field out")]
    NotNew { field: &'static str, given: String, only: &'static str },
    #[error("`{field}` must be {expected}, not {given}")]
    BadField { field: String, expected: String, given: String },
    #[error("`{field}`: {error}")]
    Duration { field: &'static str, error: DurationError },
    #[error(transparent)]
    Id(#[from] JobIdError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Queue(#[from] QueueNameError),
    #[error(
        "`{given}` is no kind of jobs for a handler: it is written like a queue's name, and is not `command`"
    )]
    Kind { given: String },
    #[error("the payload is longer than {PAYLOAD_BYTES_MAX} bytes")]
    Payload,
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("the job has no command; give `command` (a shell line) or `args` (a program and its arguments)")]
    NoCommand,
    #[error("`command` and `args` exclude each other; keep the shell line or the exact arguments")]
    CommandAndArgs,
    #[error("`run_at` and `delay` exclude each other; keep one")]
    RunAtAndDelay,
    #[error("`{text}` is no instant for run_at: {why}")]
    RunAt { text: String, why: String },
    #[error("the variable `{0}` cannot be given to a job: names beginning with QUEUECTL_ are queuectl's own")]
    ReservedVariable(String),
    #[error("the job has {0} tags; at most {TAGS_MAX} fit")]
    TooManyTags(usize),
    #[error(
        "tag `{key}`: a key is 1 to {TAG_CHARS_MAX} characters without `=`, a value at most {TAG_CHARS_MAX}, \
         neither with unprintable ones"
    )]
    Tag { key: String },
    #[error("`{field}` is no path: {why}")]
    Path { field: &'static str, why: String },
    /// One of several jobs, counted from 1.
    #[error("job {number}{}: {error}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    InJob { number: usize, line: Option<usize>, error: Box<RequestError> },
}

impl RequestError {
    /// The same, saying which of several jobs it is about (from 1).
    pub fn in_job(self, number: usize) -> RequestError {
        match self {
            RequestError::InJob { .. } => self,
            error => RequestError::InJob { number, line: None, error: Box::new(error) },
        }
    }
}
