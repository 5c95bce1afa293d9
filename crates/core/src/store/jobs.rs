//! Jobs: put in, looked at, cancelled, brought back, deleted.

use async_trait::async_trait;

use super::StoreResult;
use crate::edit::Edit;
use crate::id::JobId;
use crate::job::{Job, NewJob};
use crate::query::{Filter, Page};
use crate::queue::QueueName;
use crate::state::{Shown, State};
use crate::time::Timestamp;

/// What became of an insertion. It is all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    All,
    /// The first id of the list that exists already, in the store or earlier in the list.
    Duplicate(JobId),
}

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not started.
    Now,
    /// It runs, or is claimed; the worker is told.
    Requested {
        worker: Option<String>,
    },
    /// It had ended before, in this state.
    Ended(State),
    Absent,
}

/// Which states `retry` brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryScope {
    /// Any terminal state, and a backoff ends now.
    Any,
    /// Only `dead`.
    DeadOnly,
}

/// What became of a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// Pending, due now, attempts and interruptions at 0, no cancellation pending.
    Revived {
        from: State,
    },
    /// Its backoff ended: due now, attempts kept.
    Hastened,
    /// Nothing changed; it was in this state.
    Refused(Shown),
    Absent,
}

/// A change of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct EditOne {
    pub id: JobId,
    pub edit: Edit,
    /// Refused if the job was changed since this.
    pub seen: Option<Timestamp>,
}

/// What became of a number of changes. It is all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    All,
    /// These could not be changed, for these reasons; nothing was.
    Refused(Vec<(JobId, EditRefusal)>),
}

/// Why a job is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditRefusal {
    /// It does not wait.
    State(Shown),
    /// Somebody else changed it meanwhile.
    Changed,
    /// It has had so many attempts, and is to have no more of them than that.
    Spent(u32),
    Absent,
}

impl EditOne {
    /// Why this job is not changed, if it is not.
    pub fn refusal(&self, job: Option<&Job>, now: Timestamp) -> Option<EditRefusal> {
        match job {
            None => Some(EditRefusal::Absent),
            Some(job) if !matches!(job.state, State::Pending | State::Blocked) => {
                Some(EditRefusal::State(job.shown(now)))
            }
            Some(job) if self.seen.is_some_and(|seen| seen != job.updated_at) => Some(EditRefusal::Changed),
            Some(job)
                if job.attempts > 0 && self.edit.max_retries.is_some_and(|most| most <= job.attempts) =>
            {
                Some(EditRefusal::Spent(job.attempts))
            }
            Some(_) => None,
        }
    }
}

/// Jobs to delete. Running jobs are never deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Ids(Vec<JobId>),
    /// At most so many of these; which ones come first is the store's choice.
    Filter {
        filter: Filter,
        limit: usize,
    },
}

/// What a deletion did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    pub deleted: Vec<JobId>,
    /// Of the ids asked for: running or claimed, and left alone.
    pub running: Vec<JobId>,
    /// Of the ids asked for: not there.
    pub absent: Vec<JobId>,
    /// Output files that nothing names any more.
    pub files: Vec<String>,
}

/// How many jobs of one queue show as one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub queue: QueueName,
    pub shown: Shown,
    pub jobs: u64,
}

#[async_trait]
pub trait Jobs {
    /// The store's clock.
    async fn now(&self) -> StoreResult<Timestamp>;

    /// Inserts all of these or none, in their order, in one synced transaction, and rings [`super::Topic::Work`].
    /// A [`crate::job::Due::At`] that does not lie ahead counts as now. A queue that is new gets its row.
    async fn insert(&self, jobs: Vec<NewJob>) -> StoreResult<Inserted>;

    /// The job with exactly this id, with its environment.
    async fn get(&self, id: &JobId) -> StoreResult<Option<Job>>;

    /// The state of each, one result for one id; `None` if it is not there.
    async fn states(&self, ids: &[JobId]) -> StoreResult<Vec<Option<State>>>;

    /// One page of the jobs that the filter means, by insertion; shown states as of the store's now.
    async fn list(&self, filter: &Filter, page: Page) -> StoreResult<Vec<Job>>;

    /// Up to `limit` ids that were generated and begin so.
    async fn find_prefix(&self, prefix: &str, limit: usize) -> StoreResult<Vec<JobId>>;

    /// Jobs by queue and shown state; what is absent is zero.
    async fn counts(&self) -> StoreResult<Vec<Count>>;

    /// Cancels each, one result for one id. Rings if a running one must be told.
    async fn cancel(&self, ids: &[JobId]) -> StoreResult<Vec<Cancelled>>;

    /// Brings each back, one result for one id, and rings.
    async fn retry(&self, ids: &[JobId], scope: RetryScope) -> StoreResult<Vec<Retried>>;

    /// Changes all of these waiting jobs or none, and rings.
    async fn edit(&self, edits: &[EditOne]) -> StoreResult<Edited>;

    /// Deletes jobs with their attempts, outputs and environments that nothing else uses.
    async fn delete(&self, selection: Selection) -> StoreResult<Deleted>;
}
