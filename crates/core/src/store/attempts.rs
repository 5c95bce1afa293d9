//! Attempts: one row for each run of a job, and what it printed.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::claim::ClaimToken;
use crate::id::JobId;
use crate::outcome::{Outcome, Output, Usage};
use crate::time::Timestamp;

/// An attempt as it is handed in with its settle. Instants are told as "so long ago", for only the store has the date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// `None` if nothing was started, or nobody knows.
    pub started_ago: Option<Duration>,
    pub ended_ago: Duration,
    pub outcome: Outcome,
    pub usage: Usage,
    pub stdout: Output,
    pub stderr: Output,
    /// Processes that outlived it and were killed.
    pub leftovers_killed: u32,
}

/// An attempt as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1 over the job's whole life.
    pub number: u32,
    pub claim: ClaimToken,
    pub worker: Option<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    pub outcome: Outcome,
    /// It counted as one of `max_retries`.
    pub charged: bool,
    pub usage: Usage,
    pub stdout: Output,
    pub stderr: Output,
    pub leftovers_killed: u32,
}

#[async_trait]
pub trait Attempts {
    /// The attempts of a job that have ended, by number; with what they printed if `outputs`, else with empty bodies.
    async fn attempts(&self, id: &JobId, outputs: bool) -> StoreResult<Vec<Attempt>>;

    /// One of them, with what it printed; `None` if it has not ended, or is not there.
    async fn attempt(&self, id: &JobId, number: u32) -> StoreResult<Option<Attempt>>;
}
