//! The name of a queue.

use std::fmt;

use crate::limits::QUEUE_NAME_CHARS_MAX;

/// The queue of a job that names none.
pub const DEFAULT_QUEUE: &str = "default";
/// The queue of jobs that `on-dead` enqueues; its own jobs fire no hooks.
pub const HOOKS_QUEUE: &str = "hooks";

/// A checked queue name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(String);

/// Why a text is not a queue name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a queue name: 1 to {QUEUE_NAME_CHARS_MAX} letters, digits, `-`, `_`, `.`, `:` or `/`, \
     beginning with a letter or digit"
)]
pub struct QueueNameError(String);

impl QueueName {
    pub fn new(name: impl Into<String>) -> Result<QueueName, QueueNameError> {
        let name = name.into();
        let plain = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
        let first_ok = name.chars().next().is_some_and(char::is_alphanumeric);
        if first_ok && name.chars().all(plain) && name.chars().count() <= QUEUE_NAME_CHARS_MAX {
            Ok(QueueName(name))
        } else {
            Err(QueueNameError(name))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue of [`HOOKS_QUEUE`].
    pub fn hooks() -> QueueName {
        QueueName(HOOKS_QUEUE.to_owned())
    }
}

impl Default for QueueName {
    fn default() -> QueueName {
        QueueName(DEFAULT_QUEUE.to_owned())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
