//! What a call can fail with.

use std::io;
use std::path::PathBuf;

use queuectl_core::id::JobId;
use queuectl_core::store::StoreError;

use crate::request::RequestError;

/// A call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or directory beside the store could not be used.
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// The keeper did not start or did not answer.
    #[error("the keeper {what}")]
    Keeper { what: String, source: Option<io::Error> },
}

/// An enqueue was refused; nothing was enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("job `{0}` already exists")]
    Duplicate(JobId),
    #[error(transparent)]
    Store(#[from] StoreError),
}
