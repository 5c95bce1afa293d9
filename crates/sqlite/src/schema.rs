//! The schema: made, checked, and bound to its file.

use std::path::Path;

use queuectl_core::outcome::{Interruption, Outcome, Output, Usage};
use queuectl_core::settle::{Tally, decide};
use queuectl_core::store::{AttemptRecord, Settle, StoreError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::clock;
use crate::failure::Failure;
use crate::open::{identity, patiently};
use crate::rows;
use crate::settle::settle_one;

/// Of this binary: the schema it makes, and the oldest binaries (by their schema) that may read and write it.
const VERSION: i64 = 1;
const MIN_READER: i64 = 1;
const MIN_WRITER: i64 = 1;

/// True once the schema has been committed.
pub fn is_there(connection: &Connection) -> Result<bool, Failure> {
    let found = patiently(|| {
        connection
            .query_row(
                "-- schema_is_there
                 SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'",
                [],
                |_| Ok(()),
            )
            .optional()
    })?;
    Ok(found.is_some())
}

/// Makes the schema where there is none. Many processes may try at once; one of them does it.
pub fn create_or_migrate(connection: &Connection, path: &Path) -> Result<(), Failure> {
    if is_there(connection)? {
        return Ok(());
    }
    let foreign: i64 = connection.query_row(
        "-- schema_foreign
         SELECT count(*) FROM sqlite_schema",
        [],
        |row| row.get(0),
    )?;
    if foreign > 0 {
        return Err(Failure(StoreError::Unavailable {
            what: "this is a SQLite database of another program; name another file with --db".to_owned(),
            source: None,
        }));
    }
    // Both hold only if they come before the log and the first table.
    patiently(|| {
        connection.execute_batch(
            "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL",
        )
    })?;
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if is_there(&transaction)? {
        return Ok(());
    }
    transaction.execute_batch(include_str!("migrations/0001.sql"))?;
    let (device, inode) = identity(path)?;
    transaction.execute(
        "-- schema_meta
         INSERT INTO meta VALUES (1, ?, ?, ?, ?, ?, ?, 0, 0)",
        (VERSION, MIN_READER, MIN_WRITER, draw_incarnation(), device, inode),
    )?;
    transaction.commit()?;
    Ok(())
}

/// Refuses a schema that this binary may not use.
pub fn check(connection: &Connection) -> Result<(), Failure> {
    let (version, min_reader, min_writer): (i64, i64, i64) = connection.query_row(
        "-- schema_check
         SELECT version, min_reader, min_writer FROM meta",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if min_reader.max(min_writer) > VERSION {
        return Err(Failure(StoreError::Incompatible {
            what: format!(
                "the database has schema {version}, and this queuectl knows up to {VERSION}; use a newer queuectl"
            ),
        }));
    }
    Ok(())
}

/// Before the first write: a database that finds itself in another file was copied or restored. It becomes a store of
/// its own then: a new incarnation, and the claims that the copy carries go back, for nobody here holds them.
pub fn claim_identity(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let here = identity(path)?;
    let recorded = |connection: &Connection| -> Result<(i64, i64), Failure> {
        Ok(connection.query_row(
            "-- schema_identity
             SELECT device, inode FROM meta",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    };
    if recorded(connection)? == here {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if recorded(&transaction)? == here {
        return Ok(());
    }
    for job in rows::processing(&transaction, None)? {
        let outcome = Outcome::Interrupted(Interruption::Stop);
        let tally = Tally { attempts: job.attempts, interruptions: job.interruptions };
        let settle = Settle {
            claim: job.claim.expect("it is processing"),
            patch: decide(&job.spec, tally, &outcome, "", 0),
            attempt: AttemptRecord {
                started_ago: None,
                ended_ago: std::time::Duration::ZERO,
                outcome,
                usage: Usage::default(),
                stdout: Output::default(),
                stderr: Output::default(),
                leftovers_killed: 0,
            },
            inserts: Vec::new(),
        };
        settle_one(&transaction, &settle, clock::now())?;
    }
    transaction.execute_batch("-- schema_forget_workers\nDELETE FROM worker")?;
    transaction.execute(
        "-- schema_new_identity
         UPDATE meta SET incarnation = ?, device = ?, inode = ?",
        (draw_incarnation(), here.0, here.1),
    )?;
    transaction.commit()?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an incarnation is random by definition")]
fn draw_incarnation() -> i64 {
    getrandom::u64().expect("the kernel's random numbers") as i64
}
