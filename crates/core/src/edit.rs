//! Changing a job that waits: what may be changed, and what that does to it.

use std::time::Duration;

use crate::command::Command;
use crate::job::{Due, Job};
use crate::queue::QueueName;
use crate::state::State;
use crate::time::Timestamp;

/// What to change of a job; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    pub command: Option<Command>,
    pub queue: Option<QueueName>,
    pub priority: Option<i32>,
    pub max_retries: Option<u32>,
    /// For one attempt; the inner `None` means no bound.
    pub timeout: Option<Option<Duration>>,
    /// When it is to run.
    pub due: Option<Due>,
}

impl Edit {
    /// True if nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == Edit::default()
    }

    /// Changes a job that waits. A due time that does not lie ahead counts as now.
    pub fn apply(&self, job: &mut Job, now: Timestamp) {
        let spec = &mut job.spec;
        if let Some(command) = &self.command {
            spec.command = Some(command.clone());
        }
        if let Some(queue) = &self.queue {
            spec.queue = queue.clone();
        }
        if let Some(priority) = self.priority {
            spec.priority = priority;
        }
        if let Some(max_retries) = self.max_retries {
            spec.max_retries = max_retries;
        }
        if let Some(timeout) = self.timeout {
            spec.timeout = timeout;
        }
        if let Some(due) = self.due {
            let at = due.at(now);
            job.due_at = at.max(now);
            job.run_at = Some(at).filter(|at| *at > now);
            job.ready = job.state == State::Pending && at <= now;
        }
        job.updated_at = now;
    }
}
