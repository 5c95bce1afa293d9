//! What happens to a worker and what it does about it: the closed sets that the step machine maps one to the other.

use std::time::Duration;

use queuectl_core::store::{ExchangeReply, ExchangeRequest, StopMode, StoreError};
use queuectl_exec::protocol::{Event as KeeperEvent, ExitRecord, Request};

/// What happens to a worker.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// This process is awake for something else, and will be again at `next`, in milliseconds of the boot-time clock: a
    /// look that would come between is taken now.
    Beat {
        next: u64,
    },
    /// Someone rang: there may be news in the store.
    Rang,
    /// A keeper is up and takes orders.
    KeeperReady {
        owner: String,
    },
    /// The keeper is gone; whoever recovers it settles what it ran.
    KeeperLost,
    Keeper(KeeperEvent),
    /// These attempts have ended.
    Ended(Vec<Ended>),
    /// So many attempts of keepers that this worker has adopted run now, or are still to be settled.
    Fostered {
        running: usize,
    },
    Exchanged(Result<ExchangeReply, StoreError>),
    /// A person or a signal asks the worker to stop.
    Stop(StopMode),
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its output files are synced.
    pub record: Box<ExitRecord>,
    /// The last line of its standard error.
    pub stderr_tail: String,
}

/// What a worker does.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// With `recall` the reply's claims are all that the store knows of the owner: an exchange that failed may have made
    /// some.
    Exchange {
        request: Box<ExchangeRequest>,
        recall: bool,
    },
    Keeper(Request),
    /// Tell it to people: a job started, ended, was lost.
    Report(Report),
    /// Nothing is left to do.
    Exit,
}

/// News of a job for the worker's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Started {
        job: String,
        attempt: u32,
        slot: u32,
    },
    Settled {
        job: String,
        attempt: u32,
        to: &'static str,
        what: String,
    },
    Lost {
        job: String,
        attempt: u32,
    },
    Refused {
        job: String,
        attempt: u32,
        why: String,
    },
    StoreFailed {
        why: String,
    },
    StoreBack,
    /// A stopping worker goes without having recorded what came of so many claims; the next one does it from the spool.
    LeftBehind {
        claims: usize,
    },
    SpawnPaused {
        why: String,
        pause: Duration,
    },
}
