//! The exchange: the heart of the port. One transaction promotes due jobs, settles outcomes, gives claims back and
//! claims the next jobs; one sync makes all of it durable.

use std::time::Duration;

use async_trait::async_trait;

use super::{AttemptRecord, StoreResult};
use crate::claim::ClaimToken;
use crate::id::JobId;
use crate::job::{Job, NewJob};
use crate::queue::QueueName;
use crate::settings::Settings;
use crate::settle::Patch;

/// What a worker brings and wants.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeRequest {
    pub worker: String,
    /// The keeper that will run what is claimed.
    pub owner: String,
    pub settles: Vec<Settle>,
    /// Claims of which nothing started: uncharged, no attempt row. Those that are lost are ignored.
    pub releases: Vec<ClaimToken>,
    /// Jobs to claim, at most.
    pub want: usize,
    pub take: Take,
    /// The worker stops once `drained`.
    pub drain: bool,
    /// The version of the settings that the worker has; newer ones come with the reply.
    pub settings_seen: u64,
}

/// Which jobs a worker can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Take {
    pub kinds: Vec<String>,
    /// Empty: every queue.
    pub queues: Vec<QueueName>,
    /// Only this job.
    pub only: Option<JobId>,
}

/// One outcome to record, under its claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Settle {
    pub claim: ClaimToken,
    pub patch: Patch,
    pub attempt: AttemptRecord,
    /// Jobs to insert with it, if it is accepted and the patch lands as it is. An id that exists already is skipped.
    pub inserts: Vec<NewJob>,
}

/// What became of one settle, in the request's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Durable.
    Done,
    /// The claim is no longer valid, or was settled already: nothing was recorded.
    Lost,
    /// The store could not take this one, for this reason; the others stand.
    Refused(String),
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub token: ClaimToken,
    /// The number that its attempt gets if it starts.
    pub attempt: u32,
    pub job: Job,
}

/// How a worker is asked to stop; the later one is the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMode {
    /// Finish what runs.
    Drain,
    /// Go at once; what runs goes on, for the next worker to adopt.
    HandOver,
    /// TERM, grace, KILL; give the jobs back.
    Now,
}

impl StopMode {
    /// The same for a worker that cannot leave anything running.
    pub fn ending(self) -> StopMode {
        match self {
            StopMode::HandOver => StopMode::Now,
            other => other,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExchangeReply {
    pub claims: Vec<Claim>,
    pub settled: Vec<Settled>,
    /// Claims of this owner whose cancellation is asked for.
    pub cancels: Vec<ClaimToken>,
    pub stop: Option<StopMode>,
    /// The paused queues: what is claimed of them and has not started goes back.
    pub paused: Vec<QueueName>,
    /// Nothing of the worker's kinds is ready, backing off or due in the unpaused queues that it takes. Always false
    /// unless asked.
    pub drained: bool,
    /// How long until the next job that this worker could run is due, if one waits for its time; with many jobs of
    /// others in front of it perhaps less: then it looks again.
    pub next_due: Option<Duration>,
    pub settings: Option<Settings>,
}

#[async_trait]
pub trait Exchange {
    /// Settles, releases and claims, in that order, in one synced transaction.
    ///
    /// Claims in the order of priority (higher first), due time, age, over all queues together, without passing a
    /// queue's `max-running`. Each gets a number that was never used before. A settle that fails is isolated and
    /// never undoes another. Nothing to do writes nothing. Rings [`super::Topic::Outcome`] for settles and claims, and
    /// [`super::Topic::Work`] for what became ready for others.
    async fn exchange(&self, request: ExchangeRequest) -> StoreResult<ExchangeReply>;

    /// The claims that an owner holds.
    async fn claims_of(&self, owner: &str) -> StoreResult<Vec<Claim>>;

    /// Every owner that holds a claim.
    async fn owners(&self) -> StoreResult<Vec<String>>;
}
