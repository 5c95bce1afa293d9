//! Whole databases, page by page: out of a store that others write meanwhile, and into one that others have open.
//!
//! SQLite's online backup does both, so that no file of a store is renamed or replaced under a process that uses it: the
//! last one to close the old file would delete the new one's log.

use std::path::Path;
use std::thread;
use std::time::Duration;

use queuectl_core::limits::{COPY_PAGES_PER_STEP, STORE_BUSY_MAX};
use queuectl_core::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, TransactionBehavior};

use crate::clock::{Clock, Deadline};
use crate::failure::Failure;
use crate::file::{identity, make_file};
use crate::open::connect;
use crate::schema;
use crate::workers::WORKER_COLUMNS;

/// Copies one state of a database over all that is in another file, in one transaction there. `watch` hears of pages
/// done, and of how many there are. Writers of the source go on meanwhile.
pub fn copy(from: &Path, to: &Path, watch: &mut dyn FnMut(u64, u64)) -> Result<(), Failure> {
    copy_if(from, to, &|| Ok(()), watch)
}

/// The same, if nothing is said against it once nobody else can write to the other file any more.
pub fn copy_if(
    from: &Path,
    to: &Path,
    may: &dyn Fn() -> Result<(), Failure>,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_millis(5);
    let source = connect(from)?;
    // An open snapshot: without it every commit of another process would begin the copy again.
    let snapshot = source.unchecked_transaction()?;
    if !schema::is_there(&snapshot)? {
        return Err(unavailable(format!("{} holds no queue", from.display())));
    }
    schema::check_reader(&snapshot)?;
    let mut target = connect(to)?;
    let backup = Backup::new(&snapshot, &mut target)?;
    let mut deadline = Deadline::after(STORE_BUSY_MAX);
    // The first step copies nothing, and takes the lock.
    let mut pages = 0;
    loop {
        let step = backup.step(pages)?;
        let progress = backup.progress();
        let (total, left) = (progress.pagecount.max(0) as u64, progress.remaining.max(0) as u64);
        watch(total.saturating_sub(left), total);
        match step {
            StepResult::Done => break,
            StepResult::More => {
                if pages == 0 {
                    may()?;
                    pages = COPY_PAGES_PER_STEP;
                }
                deadline = Deadline::after(STORE_BUSY_MAX);
            }
            _ if deadline.has_passed() => {
                return Err(unavailable("another process has kept the database for too long".to_owned()));
            }
            _ => thread::sleep(PAUSE),
        }
    }
    drop(backup);
    close(target)
}

/// Copies a backup into a new file and makes it what `target` is to hold: a store of its own, in that file. The workers
/// that `target` knows stay known, for some of them may live through it.
pub fn prepare(
    backup: &Path,
    prepared: &Path,
    target: &Path,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    make_file(prepared)?;
    copy(backup, prepared, watch)?;
    make_file(target)?;
    let known = schema::is_there(&connect(target)?)?;
    let connection = connect(prepared)?;
    schema::check_writer(&connection)?;
    if known {
        connection.execute("ATTACH DATABASE ? AS old", [target.to_string_lossy()])?;
    }
    let transaction = rusqlite::Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
    schema::begin_anew(&transaction, identity(target)?, Clock::system().now())?;
    if known {
        transaction.execute_batch(&format!(
            "-- copy_keep_workers
             INSERT INTO worker ({WORKER_COLUMNS}) SELECT {WORKER_COLUMNS} FROM old.worker"
        ))?;
    }
    transaction.commit()?;
    close(connection)
}

/// Closes a connection with everything in the one file. What goes wrong is not lost in a drop.
pub fn close(connection: Connection) -> Result<(), Failure> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| Failure::from(error))
}

fn unavailable(what: String) -> Failure {
    Failure(StoreError::Unavailable { what, source: None })
}
