//! Raw SQLite on the product's own schema, with its indexes, triggers and counts: prepared statements, full syncs, so
//! many rows a transaction. It reads no JSON, checks nothing, and has its rows in memory.

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

/// Inserts the jobs of one store into another, which is new.
pub fn insert(from: &Path, into: &Path, batch: usize) -> Result<Duration, Fault> {
    let source = Connection::open(from)?;
    let columns = columns(&source)?;
    let jobs = read(&source, &format!("SELECT {} FROM job ORDER BY seq", columns.join(", ")))?;
    let environments = read(&source, "SELECT * FROM environment")?;
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO job ({}) VALUES ({marks})", columns.join(", "));
    let begin = now();
    let mut connection = open(into)?;
    for environment in &environments {
        connection.execute("INSERT INTO environment VALUES (?, ?, ?)", params_from_iter(environment))?;
    }
    for step in jobs.chunks(batch) {
        let transaction = connection.transaction()?;
        for row in step {
            transaction.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        }
        transaction.commit()?;
    }
    drop(connection);
    Ok(begin.elapsed())
}

/// Claims and completes all ready jobs as a worker does: one transaction settles what was claimed before, with an
/// attempt's row each, and claims the next.
pub fn complete(store: &Path, batch: usize) -> Result<Duration, Fault> {
    let begin = now();
    let mut connection = open(store)?;
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
        transaction.commit()?;
        if held.is_empty() {
            break;
        }
    }
    drop(connection);
    Ok(begin.elapsed())
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
