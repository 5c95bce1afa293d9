//! Who does the work of a store: threads of its own, or whoever asks.
//!
//! A worker commits for many, and reads meanwhile. A command that enqueues one job and ends has nothing to do meanwhile:
//! a second connection, which reads the whole schema once more, and threads to hand its work to cost it more than the job.

use std::sync::{Mutex, MutexGuard};

use queuectl_core::store::StoreResult;
use rusqlite::Connection;
use tokio::sync::OnceCell;

use crate::failure::Failure;
use crate::open::SqliteStore;
use crate::readers::Readers;
use crate::writer::{Desk, Rings, Verdict, Writer};

/// What holds the connections.
pub enum Hands {
    Threads {
        readers: Readers,
        /// Started by the first write.
        writer: OnceCell<Writer>,
    },
    /// One connection for all, used on the caller's thread.
    Caller(Box<Mutex<Desk>>),
}

impl SqliteStore {
    /// Runs a closure in one read transaction: it sees one state of the store.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        match &self.hands {
            Hands::Threads { readers, .. } => readers.run(operation).await,
            Hands::Caller(desk) => lock(desk).read(operation),
        }
    }

    /// The same on this thread, where that can be done without waiting for anybody; see [`Readers::glance`].
    pub(crate) fn glance<T>(&self, operation: impl FnOnce(&Connection) -> Result<T, Failure>) -> Option<T> {
        match &self.hands {
            Hands::Threads { readers, .. } => readers.glance(operation),
            Hands::Caller(desk) => lock(desk).read(operation).ok(),
        }
    }

    /// Runs an operation in a transaction of its own, or one shared with others; returns once that is durable.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        match &self.hands {
            Hands::Threads { writer, .. } => self.started(writer).await?.run(operation).await,
            Hands::Caller(desk) => lock(desk).write(operation),
        }
    }

    /// Empties the log if nobody needs it.
    pub(crate) async fn trim(&self) -> StoreResult<()> {
        match &self.hands {
            Hands::Threads { writer, .. } => self.started(writer).await?.trim().await,
            Hands::Caller(desk) => lock(desk).trim(),
        }
    }

    async fn started<'a>(&self, writer: &'a OnceCell<Writer>) -> StoreResult<&'a Writer> {
        writer.get_or_try_init(|| self.start_writer()).await
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().expect("no panic while it is held")
}
