//! Raw SQLite on the product's own schema, with its indexes and counts: prepared statements, full syncs, so many rows a
//! transaction. It reads no JSON, checks nothing, and has its rows in memory. Counts are kept by the schema's triggers, at
//! each row; or, with those dropped, by one statement a transaction for each count that changes, which is the true floor.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::clock::now;
use crate::stand::Fault;

fn open(path: &Path) -> Result<Connection, Fault> {
    let connection = Connection::open(path)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384")?;
    Ok(connection)
}

/// Counts no longer follow each row: whoever changes rows counts.
fn drop_triggers(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute_batch("DROP TRIGGER job_counted; DROP TRIGGER job_uncounted; DROP TRIGGER job_recounted")
}

/// So many more jobs of the default queue in a state.
fn count(connection: &Connection, state: &str, ready: bool, more: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO counts (queue, state, ready, retrying, n) VALUES ('default', ?1, ?2, 0, max(?3, 0))
             ON CONFLICT DO UPDATE SET n = n + ?3",
        )?
        .execute((state, ready, more))?;
    Ok(())
}

/// The counts are what counting the rows gives.
fn check_counts(connection: &Connection) -> Result<(), Fault> {
    let differ: i64 = connection.query_row(
        "WITH counted AS (SELECT queue, state, ready, retrying, count(*) AS n FROM job GROUP BY 1, 2, 3, 4),
              kept AS (SELECT queue, state, ready, retrying, n FROM counts WHERE n > 0)
         SELECT (SELECT count(*) FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept))
              + (SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted))",
        [],
        |row| row.get(0),
    )?;
    if differ == 0 { Ok(()) } else { Err(format!("{differ} counts are wrong").into()) }
}

/// The columns of a job's row that are given, not counted.
fn columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM pragma_table_info('job') WHERE name NOT IN ('seq', 'batch')")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn read(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect())?.collect()
}

/// Inserts the jobs of one store, all of them ready in the default queue, into another, which is new.
pub fn insert(from: &Path, into: &Path, batch: usize, count_at_once: bool) -> Result<Duration, Fault> {
    let source = Connection::open(from)?;
    let columns = columns(&source)?;
    let jobs = read(&source, &format!("SELECT {} FROM job ORDER BY seq", columns.join(", ")))?;
    let environments = read(&source, "SELECT * FROM environment")?;
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO job ({}) VALUES ({marks})", columns.join(", "));
    let begin = now();
    let mut connection = open(into)?;
    if count_at_once {
        drop_triggers(&connection)?;
    }
    for environment in &environments {
        connection.execute("INSERT INTO environment VALUES (?, ?, ?)", params_from_iter(environment))?;
    }
    for step in jobs.chunks(batch) {
        let transaction = connection.transaction()?;
        for row in step {
            transaction.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        }
        if count_at_once {
            count(&transaction, "pending", true, step.len() as i64)?;
        }
        transaction.commit()?;
    }
    drop(connection);
    let took = begin.elapsed();
    check_counts(&open(into)?)?;
    Ok(took)
}

/// Claims and completes all ready jobs as a worker does: one transaction settles what was claimed before, with an
/// attempt's row each, and claims the next.
pub fn complete(store: &Path, batch: usize, count_at_once: bool) -> Result<Duration, Fault> {
    let begin = now();
    let mut connection = open(store)?;
    if count_at_once {
        drop_triggers(&connection)?;
    }
    let kind: String = connection.query_row("SELECT kind FROM job LIMIT 1", [], |row| row.get(0))?;
    let mut held: Vec<(i64, i64)> = Vec::new();
    loop {
        let transaction = connection.transaction()?;
        for (seq, claim) in &held {
            transaction
                .prepare_cached(
                    "UPDATE job SET state = 'completed', attempts = attempts + 1, runs = runs + 1, claim = NULL,
                                    incarnation = NULL, owner = NULL, updated_at = 2, completed_at = 2, exit_code = 0
                     WHERE claim = ? AND incarnation = 1 AND state = 'processing'",
                )?
                .execute([claim])?;
            transaction
                .prepare_cached(
                    "INSERT INTO attempt VALUES (?, 1, 1, ?, 'w', 1, 2, 'exited', 0, NULL, 1, 0, 0, 1024, 0)",
                )?
                .execute([seq, claim])?;
        }
        let settled = held.len() as i64;
        held = transaction
            .prepare_cached(
                "SELECT seq, seq FROM job INDEXED BY job_first WHERE ready = 1 AND kind = ?2
                 ORDER BY priority DESC, due_at, seq LIMIT ?1",
            )?
            .query_map((batch as i64, &kind), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (seq, claim) in &held {
            transaction
                .prepare_cached(
                    "UPDATE job SET state = 'processing', ready = 0, incarnation = 1, claim = ?2, owner = 'k',
                                    worker = 'w', started_at = 1, updated_at = 1 WHERE seq = ?1 RETURNING spec, command",
                )?
                .query_row([seq, claim], |row| row.get::<_, String>(0))?;
        }
        if count_at_once {
            let claimed = held.len() as i64;
            count(&transaction, "pending", true, -claimed)?;
            count(&transaction, "processing", false, claimed - settled)?;
            count(&transaction, "completed", false, settled)?;
        }
        transaction.commit()?;
        if held.is_empty() {
            break;
        }
    }
    drop(connection);
    let took = begin.elapsed();
    check_counts(&open(store)?)?;
    Ok(took)
}

/// A statement that inserts one more job like the only one of a store, under an id that is put in the place of `{id}`.
pub fn insert_sql(store: &Path) -> Result<String, Fault> {
    let connection = Connection::open(store)?;
    let columns = columns(&connection)?;
    let quoted: Vec<String> = columns
        .iter()
        .map(|name| if name == "id" { "'''{id}'''".to_owned() } else { format!("quote({name})") })
        .collect();
    let values: String = connection.query_row(
        &format!("SELECT concat_ws(', ', {}) FROM job", quoted.join(", ")),
        [],
        |row| row.get(0),
    )?;
    Ok(format!("INSERT INTO job ({}) VALUES ({values})", columns.join(", ")))
}
