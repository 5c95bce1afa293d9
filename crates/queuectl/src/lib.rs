//! The Rust library of queuectl: everything that the command line does, as calls.
//!
//! [`Client`] enqueues, looks at and changes jobs; [`Worker`] runs them. Both speak to a store behind the port of
//! `queuectl-core`; only [`open`] knows which drivers there are. Wire types ([`view`]) and what an enqueuer may say
//! ([`request`]) are shared by every front end.
//!
//! ```
//! use queuectl::{Access, Client, Enqueuer, JobRequest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let client = Client::open(&dir.path().join("queue.db"), Access::Write).await?.expect("it was just made");
//! let request = JobRequest { command: Some("echo hello".to_owned()), ..JobRequest::default() };
//! let ids = client.enqueue(vec![request], &Enqueuer::default()).await?;
//! let job = client.job(&ids[0]).await?.expect("it was just enqueued");
//! assert_eq!(job.state.as_str(), "pending");
//! # Ok(())
//! # })
//! # }
//! ```

mod client;
mod doctor;
mod error;
pub mod json;
mod open;
pub mod request;
pub mod view;
mod worker;

pub use client::{
    Changes, Client, Ended, Follower, Live, Loader, Newest, Orphan, OrphansStopped, OutputPieces,
    OutputReader, Pages, Piece, RemovedFiles, Selector, SelectorError, StopWait, VERSION, Waiter, in_the_way,
};
pub use error::{EnqueueError, Error};
pub use open::{
    Access, BackupReport, Examination, Network, Progress, RestoreReport, SalvageReport, backup, examine,
    living, open, restore, salvage, schema_versions,
};
pub use queuectl_core as core;
pub use queuectl_exec::protocol::OnCrash;
pub use request::{Enqueuer, JobMaker, JobRequest, RequestError};
#[cfg(feature = "simulation")]
pub use worker::simulation;
pub use worker::{Handled, Sign, Signs, Task, Worker, WorkerOptions, WorkerReport};
