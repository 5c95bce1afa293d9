//! The writer: one thread that owns the only connection that writes, and commits for many at once.
//!
//! Requests that wait when the thread turns to them share one `BEGIN IMMEDIATE ... COMMIT` and one sync. Each runs in a
//! savepoint of its own, so that one that fails undoes only itself. Rings are rung, and replies go out, after the commit.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use queuectl_core::limits::{GROUP_COMMIT_MAX, WRITER_QUEUE_MAX};
use queuectl_core::store::{StoreError, StoreResult, Topic};
use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::error;

use crate::failure::Failure;
use crate::ring;
use crate::schema;

/// What an operation wants done with what it wrote.
pub enum Verdict<T> {
    Keep(T),
    Undo(T),
}

/// Topics to ring after the commit.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rings {
    pub work: bool,
    pub outcome: bool,
}

/// Runs on the writer's thread: inside its savepoint, or with the reason why nothing can run. Returns what replies.
type Operation = Box<dyn FnOnce(Result<(&Connection, &mut Rings), StoreError>) -> Reply + Send>;
/// Sends the answer, once it is known whether the commit came to pass.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A handle to the writer's thread, which ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Writer {
    operations: SyncSender<Operation>,
}

impl Writer {
    /// Starts the thread on an opened connection; rings go to `run_dir`.
    pub fn start(connection: Connection, run_dir: PathBuf) -> StoreResult<Writer> {
        let (operations, queue) = sync_channel(WRITER_QUEUE_MAX);
        thread::Builder::new()
            .name("queuectl-writer".to_owned())
            .spawn(move || serve(&connection, &queue, &run_dir))
            .map_err(|e| StoreError::unavailable("no thread for the writer could be started", e))?;
        Ok(Writer { operations })
    }

    /// Runs one operation in a transaction of its own, or one shared with others; returns once that is durable.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        let (sender, receiver) = oneshot::channel();
        let boxed: Operation = Box::new(move |turn| {
            let (result, error) = match turn {
                Ok((connection, rings)) => match in_savepoint(connection, rings, operation) {
                    Ok(value) => (Some(value), None),
                    Err(error) => (None, Some(error)),
                },
                Err(error) => (None, Some(error)),
            };
            Box::new(move |commit| {
                let answer = match (result, error) {
                    (Some(value), _) => commit.map(|()| value),
                    (None, error) => Err(error.unwrap_or_else(gone)),
                };
                // The caller may have given up; the transaction stands all the same.
                let _ = sender.send(answer);
            })
        });
        self.submit(boxed).await?;
        receiver.await.map_err(|_| gone())?
    }

    async fn submit(&self, operation: Operation) -> StoreResult<()> {
        match self.operations.try_send(operation) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
            Err(TrySendError::Full(operation)) => {
                let operations = self.operations.clone();
                let sent = tokio::task::spawn_blocking(move || operations.send(operation).is_ok()).await;
                if sent.unwrap_or(false) { Ok(()) } else { Err(gone()) }
            }
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable { what: "the writer of the store has ended".to_owned(), source: None }
}

fn serve(connection: &Connection, queue: &Receiver<Operation>, run_dir: &std::path::Path) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_COMMIT_MAX
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        commit_group(connection, group, run_dir);
    }
}

/// One transaction for all of these, then its rings, then the replies: who has a reply may exit at once, and the ring
/// with it.
fn commit_group(connection: &Connection, group: Vec<Operation>, run_dir: &std::path::Path) {
    let mut rings = Rings::default();
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        for operation in group {
            operation(Err(again(&error)))(Ok(()));
        }
        return;
    }
    // A newer binary may have changed the schema since this one opened it.
    if let Err(Failure(error)) = schema::check_writer(connection) {
        let _ = connection.execute_batch("ROLLBACK");
        for operation in group {
            operation(Err(same(&error)))(Ok(()));
        }
        return;
    }
    let replies: Vec<Reply> =
        group.into_iter().map(|operation| operation(Ok((connection, &mut rings)))).collect();
    match connection.execute_batch("COMMIT") {
        Ok(()) => {
            for (wanted, topic) in [(rings.work, Topic::Work), (rings.outcome, Topic::Outcome)] {
                if wanted {
                    ring::ring(run_dir, topic);
                }
            }
            for reply in replies {
                reply(Ok(()));
            }
        }
        Err(error) => {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                error!(%error, "cannot roll back");
            }
            for reply in replies {
                reply(Err(again(&error)));
            }
        }
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    rings: &mut Rings,
    operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure>,
) -> StoreResult<T> {
    let mut wanted = *rings;
    let result = (|| {
        connection.execute_batch("SAVEPOINT operation")?;
        operation(connection, &mut wanted)
    })();
    let (keep, answer) = match result {
        Ok(Verdict::Keep(value)) => (true, Ok(value)),
        Ok(Verdict::Undo(value)) => (false, Ok(value)),
        Err(Failure(error)) => (false, Err(error)),
    };
    // A full disk may have rolled back the whole transaction already: then there is no savepoint left to end.
    if connection.is_autocommit() {
        return Err(answer.err().unwrap_or_else(|| StoreError::Unavailable {
            what: "the transaction was undone by an error of another request; nothing was changed".to_owned(),
            source: None,
        }));
    }
    if keep {
        *rings = wanted;
        connection.execute_batch("RELEASE operation").map_err(|e| Failure::from(e).0)?;
    } else {
        connection
            .execute_batch("ROLLBACK TO operation; RELEASE operation")
            .map_err(|e| Failure::from(e).0)?;
    }
    answer
}

/// Why nothing of a group may run, for each of it.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Incompatible { what } => StoreError::Incompatible { what: what.clone() },
        other => StoreError::Unavailable { what: other.to_string(), source: None },
    }
}

/// The same error for each of a group, for an error cannot be cloned.
fn again(error: &rusqlite::Error) -> StoreError {
    let copy = match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    };
    Failure::from(copy).0
}
