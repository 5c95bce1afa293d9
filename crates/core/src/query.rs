//! Which jobs a listing or a deletion means.

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
