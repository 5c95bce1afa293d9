//! The schema: made, checked, and bound to its file.

use std::path::Path;

use queuectl_core::outcome::{Interruption, Outcome, Output, Usage};
use queuectl_core::settle::{Tally, decide};
use queuectl_core::store::{AttemptRecord, Settle, StoreError};
use queuectl_core::time::Timestamp;
use queuectl_points::point;
use rusqlite::{Connection, TransactionBehavior};

use crate::failure::Failure;
use crate::file::{Identity, identity};
use crate::open::patiently;
use crate::random::draw;
use crate::rows;
use crate::settle::settle_one;

/// A schema, made from the one before it.
struct Step {
    version: i64,
    /// The oldest binaries, by their newest schema, that may read and write it.
    min_reader: i64,
    min_writer: i64,
    sql: &'static str,
}

const STEPS: &[Step] = &[
    Step { version: 1, min_reader: 1, min_writer: 1, sql: include_str!("migrations/0001.sql") },
    // The proof tries upgrades with it while there is no second schema.
    #[cfg(queuectl_next)]
    Step { version: 2, min_reader: 1, min_writer: 1, sql: include_str!("migrations/next.sql") },
];

/// The newest schema that this binary knows, and makes.
pub const VERSION: i64 = STEPS[STEPS.len() - 1].version;

/// Tables by which a database of ours is known.
const KNOWN_BY: [&str; 3] = ["meta", "job", "counts"];

/// True once the schema has been committed.
pub fn is_there(connection: &Connection) -> Result<bool, Failure> {
    if is_known(connection)? {
        return Ok(true);
    }
    let (ours, all) = tables(connection)?;
    let is_there = ours == KNOWN_BY.len() as i64;
    if !is_there && all > 0 {
        return Err(Failure(StoreError::Unavailable {
            what: "this is a SQLite database of another program; name another file with --db".to_owned(),
            source: None,
        }));
    }
    Ok(is_there)
}

/// Whether the connection has read of our tables. If not, they may have been made since.
fn is_known(connection: &Connection) -> Result<bool, Failure> {
    for table in KNOWN_BY {
        if !patiently(|| connection.table_exists(Some("main"), table))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many of our tables there are, and how many things in all, in one look.
fn tables(connection: &Connection) -> Result<(i64, i64), Failure> {
    Ok(patiently(|| {
        connection.query_row(
            "-- schema_tables
             SELECT count(*) FILTER (WHERE type = 'table' AND name IN ('meta', 'job', 'counts')), count(*)
             FROM sqlite_schema",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    })?)
}

/// Makes the newest schema where there is none. Many processes may try at once; one of them does it.
pub fn create(connection: &Connection, path: &Path) -> Result<(), Failure> {
    if is_there(connection)? {
        return Ok(());
    }
    // Both hold only if they come before the log and the first table.
    patiently(|| connection.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL"))?;
    keep_log(connection)?;
    point!("schema.create.before");
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if is_there(&transaction)? {
        return Ok(());
    }
    let (first, rest) = STEPS.split_first().expect("there is a first schema");
    transaction.execute_batch(first.sql)?;
    let Identity { device, inode, born } = identity(path)?;
    transaction.execute(
        "-- schema_meta
         INSERT INTO meta (id, version, min_reader, min_writer, incarnation, device, inode, born, claim_counter,
           settings_version)
         VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        (first.version, first.min_reader, first.min_writer, draw() as i64, device, inode, born),
    )?;
    take(&transaction, rest)?;
    point!("schema.commit.before");
    transaction.commit()?;
    point!("schema.commit.after");
    // Until then the schema is in the log alone, and the file by itself would be a database of nobody.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Brings an older schema up to date, all of it or nothing. A newer one is left as it is.
pub fn migrate(connection: &Connection) -> Result<(), Failure> {
    if version(connection)? >= VERSION {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let from = version(&transaction)?;
    let missing = STEPS.iter().position(|step| step.version > from).unwrap_or(STEPS.len());
    take(&transaction, &STEPS[missing..])?;
    transaction.commit()?;
    Ok(())
}

fn take(connection: &Connection, steps: &[Step]) -> Result<(), Failure> {
    for step in steps {
        connection.execute_batch(step.sql)?;
        connection.execute(
            "-- schema_step
             UPDATE meta SET version = ?, min_reader = ?, min_writer = ?",
            (step.version, step.min_reader, step.min_writer),
        )?;
    }
    Ok(())
}

/// The schema that the database has.
pub fn version(connection: &Connection) -> Result<i64, Failure> {
    Ok(connection.query_row(
        "-- schema_version
         SELECT version FROM meta",
        [],
        |row| row.get(0),
    )?)
}

/// Makes the database keep a write-ahead log, if it does not: with a rollback journal a full sync does not cover the
/// journal's end, and a power cut can undo a commit.
pub fn keep_log(connection: &Connection) -> Result<(), Failure> {
    if journal_mode(connection, "PRAGMA journal_mode")? == "wal" {
        return Ok(());
    }
    let mode = journal_mode(connection, "PRAGMA journal_mode = WAL")?;
    // What cannot be written at all is told of by the first write.
    if mode == "wal" || connection.is_readonly(rusqlite::MAIN_DB)? {
        return Ok(());
    }
    Err(Failure(StoreError::Unavailable {
        what: format!(
            "the file system keeps no write-ahead log (SQLite says `{mode}`); put the database on a local disk"
        ),
        source: None,
    }))
}

/// Runs to the statement's end: the change is committed after its row is out, and can fail there.
fn journal_mode(connection: &Connection, sql: &str) -> Result<String, Failure> {
    Ok(patiently(|| {
        let modes =
            connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
        modes.into_iter().next().ok_or(rusqlite::Error::QueryReturnedNoRows)
    })?)
}

/// Refuses a schema that this binary may not read.
pub fn check_reader(connection: &Connection) -> Result<(), Failure> {
    let (version, min_reader, _) = admitted(connection)?;
    check(version, min_reader)
}

/// Refuses a schema that this binary may not write. Asked in every writing transaction, for a newer binary may have
/// migrated the store since it was opened.
pub fn check_writer(connection: &Connection) -> Result<(), Failure> {
    let (version, _, min_writer) = admitted(connection)?;
    check(version, min_writer)
}

/// The version, and the oldest ones that may read and write it: one statement, so that it is compiled once.
fn admitted(connection: &Connection) -> Result<(i64, i64, i64), Failure> {
    Ok(connection
        .prepare_cached(
            "-- schema_admitted
             SELECT version, min_reader, min_writer FROM meta",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

fn check(version: i64, needed: i64) -> Result<(), Failure> {
    if needed > VERSION {
        return Err(Failure(StoreError::Incompatible {
            what: format!(
                "the database has schema {version}, and this queuectl knows up to {VERSION}; use a newer queuectl"
            ),
        }));
    }
    Ok(())
}

/// The file that the database takes for its own.
fn recorded_identity(connection: &Connection) -> Result<Identity, Failure> {
    Ok(connection
        .prepare_cached(
            "-- schema_identity
             SELECT device, inode, born FROM meta",
        )?
        .query_row([], |row| Ok(Identity { device: row.get(0)?, inode: row.get(1)?, born: row.get(2)? }))?)
}

/// Before the first write: a database that finds itself in another file was copied or restored. It becomes a store of
/// its own then: a new incarnation, and the claims that the copy carries go back, for nobody here holds them.
pub fn claim_identity(connection: &Connection, identity: Identity, now: Timestamp) -> Result<(), Failure> {
    if recorded_identity(connection)? == identity {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if recorded_identity(&transaction)? == identity {
        return Ok(());
    }
    begin_anew(&transaction, identity, now)?;
    transaction.commit()?;
    Ok(())
}

/// Makes the database a store of its own in the file of this identity, inside of a transaction.
pub fn begin_anew(connection: &Connection, identity: Identity, now: Timestamp) -> Result<(), Failure> {
    for job in rows::processing(connection, None)? {
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
        settle_one(connection, &settle, now)?;
    }
    connection.execute_batch("-- schema_forget_workers\nDELETE FROM worker")?;
    connection.execute(
        "-- schema_new_identity
         UPDATE meta SET incarnation = ?, device = ?, inode = ?, born = ?",
        (draw() as i64, identity.device, identity.inode, identity.born),
    )?;
    Ok(())
}
