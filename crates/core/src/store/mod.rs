//! The Store port: what the queue asks of a database, in a few small traits.
//!
//! A store owns the clock, the claim counter and the fence; it decides nothing else. Every verb is one transaction.
//! "Absent", "lost" and "refused" are values; an `Err` means that the store itself could not be used.

mod attempts;
mod batches;
pub mod encoding;
mod error;
mod exchange;
mod jobs;
mod queues;
mod settings;
mod stats;
mod upkeep;
mod wakeups;
mod workers;

pub use attempts::{Attempt, AttemptRecord, Attempts};
pub use batches::{BatchId, Batches, Loading};
pub use error::StoreError;
pub use exchange::{Claim, Exchange, ExchangeReply, ExchangeRequest, Settle, Settled, StopMode, Take};
pub use jobs::{
    Cancelled, Count, Deleted, EditOne, EditRefusal, Edited, Inserted, Jobs, Retried, RetryScope, Selection,
};
pub use queues::{QueueRow, Queues};
pub use settings::SettingsStore;
pub use stats::{Ran, Stats, Visitor};
pub use upkeep::Upkeep;
pub use wakeups::{Listener, Topic, Wakeups};
pub use workers::{WorkerRow, Workers};

use std::path::PathBuf;

/// The result of a verb.
pub type StoreResult<T> = Result<T, StoreError>;

/// Everything that a queue asks of a database.
pub trait Store:
    Jobs
    + Batches
    + Attempts
    + Stats
    + Exchange
    + Workers
    + Queues
    + SettingsStore
    + Wakeups
    + Upkeep
    + Send
    + Sync
{
    /// Where it is, for people and for those who share its machine.
    fn place(&self) -> Place;
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// For people: a path, or a URL without its password.
    pub name: String,
    /// The file without which there is no store, where that is one.
    pub file: Option<PathBuf>,
    /// Locks, sockets and spools of the processes on this machine.
    pub run_dir: PathBuf,
    /// Outputs beyond the inline bound.
    pub out_dir: PathBuf,
}
