//! The readers: a few connections that never write, lent to one closure at a time on a blocking thread.

use std::sync::{Arc, Mutex};

use queuectl_core::limits::READERS;
use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::home::Home;
use crate::open::{leave_log, wait_turn};

/// Opens one more connection.
pub type Opener = dyn Fn() -> StoreResult<Connection> + Send + Sync;

/// Connections are opened when they are first needed and kept.
pub struct Readers {
    open: Arc<Opener>,
    home: Home,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(first: Connection, home: Home, open: Arc<Opener>) -> Readers {
        let idle = Arc::new(Mutex::new(vec![first]));
        Readers { open, home, idle, permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs a closure on this thread, if that can be done without waiting for anybody: for a look so short that to wake
    /// another thread costs more, of one who looks again and again. `None` where it cannot, or failed; [`Readers::run`]
    /// then does it, or says why not.
    pub fn glance<T>(&self, operation: impl FnOnce(&Connection) -> Result<T, Failure>) -> Option<T> {
        let _permit = self.permits.try_acquire().ok()?;
        let mut connection = self.idle.lock().expect("no panic while it is held").pop()?;
        connection.busy_handler(None::<fn(i32) -> bool>).ok()?;
        let looked = self.home.check().ok().and_then(|()| look(&connection, operation).ok());
        connection.busy_handler(Some(wait_turn())).ok()?;
        self.idle.lock().expect("no panic while it is held").push(connection);
        looked
    }

    /// Runs a closure in one read transaction: it sees one state of the store.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        let permit = self.permits.clone().acquire_owned().await.expect("never closed");
        let (idle, open, home) = (self.idle.clone(), self.open.clone(), self.home.clone());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let kept = idle.lock().expect("no panic while it is held").pop();
            let connection = match kept {
                Some(connection) => connection,
                None => open()?,
            };
            // An idle worker only reads: this is how it hears of it.
            let answer =
                home.check().and_then(|()| look(&connection, operation).map_err(|failure| failure.0));
            // Also after an error: while one is open, nobody else deletes the log.
            idle.lock().expect("no panic while it is held").push(connection);
            answer
        });
        task.await.map_err(|e| StoreError::unavailable("a reader of the store broke off", e))?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if self.home.check().is_err() {
            self.idle.lock().expect("no panic while it is held").iter().for_each(leave_log);
        }
    }
}

/// Runs a closure in one read transaction of this connection.
pub fn look<T>(
    connection: &Connection,
    operation: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let answer = operation(connection);
    // Nothing was written; ending it cannot lose anything.
    drop(transaction);
    answer
}
