//! The writer: one thread that owns the only connection that writes, and commits for many at once.
//!
//! Requests that wait when the thread turns to them share one `BEGIN IMMEDIATE ... COMMIT` and one sync. Each of several
//! runs in a savepoint of its own, so that one that fails undoes only itself. Rings are rung, and replies go out, after
//! the commit.

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use queuectl_core::limits::{
    CHECKPOINT_PAGES, CLOSING_CHECKPOINT_PAGES, GROUP_COMMIT_MAX, LOG_TRIM_WAIT_MAX, STORE_LINE_MAX,
    WRITER_QUEUE_MAX,
};
use queuectl_core::store::{StoreError, StoreResult, Topic};
use queuectl_points::point;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use tokio::sync::oneshot;
use tracing::error;

use crate::clock::Clock;
use crate::failure::{Failure, or_full};
use crate::home::Home;
use crate::open::{leave_log, wait_turn, wait_up_to};
use crate::readers::look;
use crate::ring;
use crate::schema;
use crate::suspect::{is_failed_sync, mark};
use crate::turn::Turn;

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
    /// Whoever asked lives on with this process: alone in its transaction it has its answer first.
    pub asker_stays: bool,
}

/// Runs on the writer's thread: in the transaction, or with the reason why nothing can run. Returns what replies.
type Operation = Box<dyn FnOnce(Result<(&Connection, &mut Rings, Company), StoreError>) -> Reply + Send>;

/// Who else is in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}
/// What the thread is asked to do.
enum Order {
    Write(Operation),
    /// Empty the log, without waiting for anyone.
    Trim(oneshot::Sender<StoreResult<()>>),
}

/// Sends the answer, once it is known whether the commit came to pass.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A handle to the writer's thread, which ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Writer {
    orders: SyncSender<Order>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(mut desk: Desk) -> StoreResult<Writer> {
        let (orders, queue) = sync_channel(WRITER_QUEUE_MAX);
        thread::Builder::new()
            .name("queuectl-writer".to_owned())
            .spawn(move || desk.serve(&queue))
            .map_err(|e| StoreError::unavailable("no thread for the writer could be started", e))?;
        Ok(Writer { orders })
    }

    /// Runs one operation in a transaction of its own, or one shared with others; returns once that is durable.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        let (boxed, receiver) = boxed(operation);
        self.submit(Order::Write(boxed)).await?;
        receiver.await.map_err(|_| gone())?
    }

    /// Empties the log if nobody needs it.
    pub async fn trim(&self) -> StoreResult<()> {
        let (sender, receiver) = oneshot::channel();
        self.submit(Order::Trim(sender)).await?;
        receiver.await.map_err(|_| gone())?
    }

    async fn submit(&self, order: Order) -> StoreResult<()> {
        match self.orders.try_send(order) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
            Err(TrySendError::Full(order)) => {
                let orders = self.orders.clone();
                let sent = tokio::task::spawn_blocking(move || orders.send(order).is_ok()).await;
                if sent.unwrap_or(false) { Ok(()) } else { Err(gone()) }
            }
        }
    }
}

/// An operation for the thread, and where its answer will be.
fn boxed<T: Send + 'static>(
    operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
) -> (Operation, oneshot::Receiver<StoreResult<T>>) {
    let (sender, receiver) = oneshot::channel();
    let boxed: Operation = Box::new(move |turn| {
        let (result, error) = match turn {
            Ok((connection, rings, company)) => match apart(connection, rings, company, operation) {
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
    (boxed, receiver)
}

fn undone() -> StoreError {
    StoreError::Unavailable {
        what: "the transaction was undone by an error of another request; nothing was changed".to_owned(),
        source: None,
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable { what: "the writer of the store has ended".to_owned(), source: None }
}

/// What a writer has before it: its thread, or whoever does all by himself.
pub struct Desk {
    connection: Connection,
    home: Home,
    run_dir: PathBuf,
    clock: Clock,
    /// Pages in the log after the last commit.
    frames: Arc<AtomicUsize>,
    /// Why nothing more may be written.
    closed: Option<StoreError>,
}

impl Desk {
    /// On an opened connection of the database in `home`; rings go to `run_dir`.
    pub fn new(mut connection: Connection, home: Home, run_dir: PathBuf, clock: Clock) -> StoreResult<Desk> {
        let frames = Arc::new(AtomicUsize::new(0));
        let counted = frames.clone();
        // In place of SQLite's own checkpoints, which tell nobody that they failed.
        connection
            .wal_hook(Some(move |_: &mut Wal, frames: c_int| {
                counted.store(usize::try_from(frames).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(|e| Failure::from(e).0)?;
        Ok(Desk { connection, home, run_dir, clock, frames, closed: None })
    }

    fn serve(&mut self, queue: &Receiver<Order>) {
        while let Ok(first) = queue.recv() {
            let (mut group, mut trims) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Write(operation) => group.push(operation),
                    Order::Trim(reply) => trims.push(reply),
                }
                let room = group.len() + trims.len() < GROUP_COMMIT_MAX;
                next = if room { queue.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(group);
            }
            for reply in trims {
                // Whoever asked may have given up.
                let _ = reply.send(self.trim());
            }
        }
    }

    /// Runs one operation in a transaction of its own; returns once that is durable. Whoever closes the database last writes
    /// the log into it, which takes two more syncs: those who come one after the other leave that to every tenth or so.
    pub fn write<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure> + Send + 'static,
    ) -> StoreResult<T> {
        let (boxed, mut receiver) = boxed(operation);
        self.commit(vec![boxed]);
        let short = self.frames.load(Ordering::Relaxed) < CLOSING_CHECKPOINT_PAGES;
        // Were it refused, the log would be written out: that is no error of what was committed.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, short);
        receiver.try_recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Runs a closure in one read transaction.
    pub fn read<T>(&self, operation: impl FnOnce(&Connection) -> Result<T, Failure>) -> StoreResult<T> {
        self.home.check()?;
        look(&self.connection, operation).map_err(|failure| failure.0)
    }

    /// Empties the log if nobody needs it.
    pub fn trim(&mut self) -> StoreResult<()> {
        if let Some(error) = &self.closed {
            return Err(same(error));
        }
        let answer = self.empty_log();
        if let Err(error @ StoreError::Closed { .. }) = &answer {
            self.closed = Some(same(error));
        }
        answer
    }

    fn commit(&mut self, group: Vec<Operation>) {
        match &self.closed {
            Some(error) => refuse_all(group, error),
            None => self.closed = self.commit_group(group).err(),
        }
    }

    /// One transaction for all of these, then its rings, then the replies: who has a reply may exit at once, and the
    /// ring with it; unless he is known to stay. An error means that nothing more may be written.
    fn commit_group(&mut self, group: Vec<Operation>) -> Result<(), StoreError> {
        let connection = &self.connection;
        let mut rings = Rings::default();
        if let Err(error) = self.home.check() {
            refuse_all(group, &error);
            return closing(error);
        }
        let turn = Turn::take(&self.run_dir, STORE_LINE_MAX);
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            for operation in group {
                operation(Err(again(&error)))(Ok(()));
            }
            return Ok(());
        }
        point!("store.begun");
        // A newer binary may have changed the schema since this one opened it.
        if let Err(Failure(error)) = schema::check_writer(connection) {
            let _ = connection.execute_batch("ROLLBACK");
            refuse_all(group, &error);
            return Ok(());
        }
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        let company = if group.len() == 1 { Company::Alone } else { Company::Others };
        for operation in group {
            // An error may have undone everything; what ran now would be a transaction of its own, and nobody would know.
            let given = if connection.is_autocommit() {
                Err(undone())
            } else {
                Ok((connection, &mut rings, company))
            };
            replies.push(operation(given));
        }
        point!("store.commit.before");
        let Err(error) = connection.execute_batch("COMMIT") else {
            drop(turn);
            point!("store.commit.after");
            // Only what is in the file that others find is acknowledged.
            if let Err(error) = self.home.check() {
                for reply in replies {
                    reply(Err(same(&error)));
                }
                return closing(error);
            }
            if rings.asker_stays && company == Company::Alone {
                replies.drain(..).for_each(|reply| reply(Ok(())));
            }
            for (wanted, topic) in [(rings.work, Topic::Work), (rings.outcome, Topic::Outcome)] {
                if wanted {
                    ring::ring(&self.run_dir, topic);
                }
            }
            point!("store.rung");
            // Before the other replies: who has his may exit, and a crowd of callers that live for one commit would never
            // get the log written out. Should it fail, what was committed is durable in the log all the same.
            let written_out = self.checkpoint();
            for reply in replies {
                reply(Ok(()));
            }
            point!("store.replied");
            return written_out;
        };
        let error = or_full(error);
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            error!(%error, "cannot roll back");
        }
        if is_failed_sync(&error) {
            let closed = mark(self.home.path(), &error, self.clock.now());
            for reply in replies {
                reply(Err(same(&closed)));
            }
            return Err(closed);
        }
        for reply in replies {
            reply(Err(again(&error)));
        }
        Ok(())
    }

    /// Writes the log into the database once there is enough of it, without waiting for readers. An error means that nothing more may be written.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < CHECKPOINT_PAGES {
            return Ok(());
        }
        let left = self.checkpoint_now("PASSIVE")?;
        if left != Some(0) || frames < CHECKPOINT_PAGES + CHECKPOINT_PAGES / 4 {
            return Ok(());
        }
        // The next commit would have begun anew in the log, if it were this process's. One that lives for a single commit
        // leaves the log to others who are to read all of it again, and who know nothing of what is written out.
        self.connection.busy_handler(None::<fn(i32) -> bool>).map_err(|e| Failure::from(e).0)?;
        let emptied = self.checkpoint_now("TRUNCATE").map(drop);
        self.connection.busy_handler(Some(wait_turn())).map_err(|e| Failure::from(e).0)?;
        emptied
    }

    /// How many pages of the log are not in the database then, if that is known.
    fn checkpoint_now(&self, mode: &str) -> Result<Option<usize>, StoreError> {
        point!("store.checkpoint");
        let left = |row: &rusqlite::Row<'_>| {
            let (all, done): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(usize::try_from(all - done).ok())
        };
        match self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], left).map_err(or_full)
        {
            Err(error) if is_failed_sync(&error) => Err(mark(self.home.path(), &error, self.clock.now())),
            // A full disk, for example: the next one tries again.
            Err(_) => Ok(None),
            Ok(left) => Ok(left),
        }
    }

    /// Empties the log, unless somebody reads an old state of it: he is not waited for. Those who write meanwhile are,
    /// for a moment: some of them are always there.
    fn empty_log(&mut self) -> StoreResult<()> {
        self.home.check()?;
        // Most of it without keeping other writers out.
        let left = self.checkpoint_now("PASSIVE")?;
        if left.is_none_or(|left| left > CHECKPOINT_PAGES) {
            return Ok(());
        }
        self.connection.busy_handler(Some(wait_up_to(LOG_TRIM_WAIT_MAX))).map_err(|e| Failure::from(e).0)?;
        let emptied = self.checkpoint_now("TRUNCATE").map(drop);
        self.connection.busy_handler(Some(wait_turn())).map_err(|e| Failure::from(e).0)?;
        emptied
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Not asked of those who leave the log to others anyway.
        let leaves = self.connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap_or(false);
        if !leaves && (self.closed.is_some() || self.home.check().is_err()) {
            leave_log(&self.connection);
        }
    }
}

/// Whether an error is the last word.
fn closing(error: StoreError) -> Result<(), StoreError> {
    if matches!(error, StoreError::Closed { .. }) { Err(error) } else { Ok(()) }
}

fn refuse_all(group: Vec<Operation>, error: &StoreError) {
    for operation in group {
        operation(Err(same(error)))(Ok(()));
    }
}

/// Runs an operation so that it can be undone without the others: in a savepoint, or in the whole transaction if there
/// are none. In a savepoint SQLite keeps every page as it was, and the longer that list, the slower each statement.
fn apart<T>(
    connection: &Connection,
    rings: &mut Rings,
    company: Company,
    operation: impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<T>, Failure>,
) -> StoreResult<T> {
    let (begin, keep_it, undo_it) = match company {
        Company::Alone => ("", "", "ROLLBACK; BEGIN"),
        Company::Others => {
            ("SAVEPOINT operation", "RELEASE operation", "ROLLBACK TO operation; RELEASE operation")
        }
    };
    let mut wanted = *rings;
    let result = (|| {
        connection.execute_batch(begin)?;
        operation(connection, &mut wanted)
    })();
    let (keep, answer) = match result {
        Ok(Verdict::Keep(value)) => (true, Ok(value)),
        Ok(Verdict::Undo(value)) => (false, Ok(value)),
        Err(Failure(error)) => (false, Err(error)),
    };
    // A full disk may have rolled back the whole transaction already: then there is nothing left to end.
    if connection.is_autocommit() {
        return Err(answer.err().unwrap_or_else(undone));
    }
    if keep {
        *rings = wanted;
    }
    connection.execute_batch(if keep { keep_it } else { undo_it }).map_err(|e| Failure::from(e).0)?;
    answer
}

/// Why nothing of a group may run, for each of it.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Incompatible { what } => StoreError::Incompatible { what: what.clone() },
        StoreError::Closed { what } => StoreError::Closed { what: what.clone() },
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn insert(number: i64) -> impl FnOnce(&Connection, &mut Rings) -> Result<Verdict<()>, Failure> {
        move |connection, _| {
            connection.execute("INSERT INTO t VALUES (?)", [number])?;
            Ok(Verdict::Keep(()))
        }
    }

    #[test]
    fn a_transaction_has_its_turn_until_it_is_durable() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("a database");
        let made = connection.execute_batch(
            "CREATE TABLE meta (version INTEGER, min_reader INTEGER, min_writer INTEGER); INSERT INTO meta VALUES (1, 1, 1)",
        );
        made.expect("a table");
        let run_dir = dir.path().to_owned();
        let home = Home::of(&path).expect("its home");
        let mut desk =
            Desk::new(connection, home, run_dir.clone(), Clock::system()).expect("a writer's desk");
        let inside = run_dir.clone();
        let others_wait =
            desk.write(move |_, _| Ok(Verdict::Keep(Turn::take(&inside, Duration::ZERO).is_none())));
        assert!(others_wait.expect("written"));
        assert!(Turn::take(&run_dir, Duration::ZERO).is_some(), "then it is the next one's turn");
    }

    #[test]
    fn what_shares_an_undone_transaction_is_told_so_and_is_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("a database");
        let made = connection.execute_batch(
            "CREATE TABLE meta (version INTEGER, min_reader INTEGER, min_writer INTEGER); INSERT INTO meta VALUES (1, 1, 1);
             CREATE TABLE t (x INTEGER)",
        );
        made.expect("tables");
        let (before, mut told_before) = boxed(insert(1));
        // As SQLite does by itself when the disk reports an error.
        let (failing, mut told) = boxed(|connection: &Connection, _: &mut Rings| {
            connection.execute_batch("ROLLBACK")?;
            Err::<Verdict<()>, _>(Failure(gone()))
        });
        let (after, mut told_after) = boxed(insert(2));
        let home = Home::of(&path).expect("its home");
        let mut desk =
            Desk::new(connection, home, dir.path().join("run"), Clock::system()).expect("a writer's desk");
        desk.commit_group(vec![before, failing, after]).expect("others may go on");
        for answer in [&mut told_before, &mut told, &mut told_after] {
            assert!(answer.try_recv().expect("an answer").is_err());
        }
        let there: i64 =
            desk.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count");
        assert_eq!(there, 0, "who is told of a failure tries again");
        assert!(desk.connection.is_autocommit());
    }
}
