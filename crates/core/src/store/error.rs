//! What can be wrong with a store.

use std::error::Error;

/// The store could not be used. Nothing of the call has happened, unless its kind says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It could not be opened, read or written: missing, locked, no rights, disk full.
    #[error("{what}")]
    Unavailable { what: String, source: Option<Box<dyn Error + Send + Sync>> },
    /// Its content contradicts itself.
    #[error("the store is damaged: {what}")]
    Damaged { what: String },
    /// This process must not use it any more, for it may not be what this process takes it for; another process may.
    #[error("{what}")]
    Closed { what: String },
    /// What its jobs are doing stands against it.
    #[error("{what}")]
    InUse { what: String },
    /// Another version of queuectl made it.
    #[error("{what}")]
    Incompatible { what: String },
}

impl StoreError {
    /// An [`StoreError::Unavailable`] with its cause.
    pub fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Unavailable { what: what.into(), source: Some(source.into()) }
    }

    /// Whether this process may write nothing any more, however long it waits; what it has to tell is for another one.
    pub fn shuts_out(&self) -> bool {
        matches!(self, StoreError::Incompatible { .. } | StoreError::Closed { .. })
    }
}
