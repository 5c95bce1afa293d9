//! What has run lately, for statistics.

use async_trait::async_trait;

use super::StoreResult;
use crate::outcome::Outcome;
use crate::queue::QueueName;
use crate::state::State;
use crate::time::Timestamp;

/// One attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub queue: QueueName,
    pub number: u32,
    /// When the job was due for the first time.
    pub due_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    pub outcome: Outcome,
    /// The state that the job came to with it, if that was its last.
    pub ended: Option<State>,
}

/// Takes one attempt at a time.
pub type Visitor<'a> = &'a mut (dyn FnMut(Ran) + Send);

#[async_trait]
pub trait Stats {
    /// Visits every attempt that has ended since, in no order, of one queue or all. Of jobs that were brought back and
    /// have not run since, and of those that only wait for a worker to run again, earlier attempts are not visited:
    /// what it costs follows what ended since, not the whole history.
    async fn ran_since(
        &self,
        since: Timestamp,
        queue: Option<&QueueName>,
        visit: Visitor<'_>,
    ) -> StoreResult<()>;
}
