//! Which jobs a listing or a deletion means.

use crate::job::Job;
use crate::queue::QueueName;
use crate::state::Shown;
use crate::time::Timestamp;

/// All given conditions hold. The default means every job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub shown: Option<Shown>,
    pub queue: Option<QueueName>,
    /// All of these.
    pub tags: Vec<(String, String)>,
    /// In a terminal state since before this.
    pub ended_before: Option<Timestamp>,
}

impl Filter {
    /// Whether a job is meant, as it shows at `now`.
    pub fn matches(&self, job: &Job, now: Timestamp) -> bool {
        self.shown.is_none_or(|shown| job.shown(now) == shown)
            && self.queue.as_ref().is_none_or(|queue| job.spec.queue == *queue)
            && self.tags.iter().all(|(key, value)| job.spec.tags.get(key) == Some(value))
            && self.ended_before.is_none_or(|before| job.completed_at.is_some_and(|at| at < before))
    }
}

/// One page of a listing, by key: the next page starts where this one ended, whatever is inserted or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub order: Order,
    /// The `seq` of the last job of the page before.
    pub after: Option<i64>,
    /// At most [`crate::limits::PAGE_ROWS_MAX`].
    pub rows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}
