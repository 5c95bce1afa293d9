//! Attempts and what they printed.

use std::time::Duration;

use async_trait::async_trait;
use queuectl_core::id::JobId;
use queuectl_core::outcome::{Outcome, Output, OutputBody, Stream, Usage};
use queuectl_core::store::{Attempt, Attempts, StoreResult};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::failure::{Failure, damaged};
use crate::open::SqliteStore;
use crate::rows::token;
use crate::settle::stream_name;

#[async_trait]
impl Attempts for SqliteStore {
    async fn attempts(&self, id: &JobId, outputs: bool) -> StoreResult<Vec<Attempt>> {
        let id = id.clone();
        self.read(move |connection| attempts(connection, &id, None, outputs)).await
    }

    async fn attempt(&self, id: &JobId, number: u32) -> StoreResult<Option<Attempt>> {
        let id = id.clone();
        self.read(move |connection| Ok(attempts(connection, &id, Some(number), true)?.pop())).await
    }
}

/// Those that have ended, or only that with this number.
fn attempts(
    connection: &Connection,
    id: &JobId,
    number: Option<u32>,
    outputs: bool,
) -> Result<Vec<Attempt>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- attempt_list
         SELECT attempt.job, attempt.number, attempt.incarnation, attempt.claim, attempt.worker, attempt.started_at,
                attempt.ended_at, attempt.outcome, attempt.exit_number, attempt.message, attempt.charged,
                attempt.cpu_user_ms, attempt.cpu_system_ms, attempt.max_rss_kib, attempt.leftovers_killed
         FROM attempt JOIN job ON job.seq = attempt.job
         WHERE job.id = ?1 AND attempt.number BETWEEN ?2 AND ?3 ORDER BY attempt.number",
    )?;
    let (from, to) = number.map_or((0, i64::MAX), |number| (i64::from(number), i64::from(number)));
    let rows: Vec<(i64, Option<Attempt>)> =
        statement.query_map((id.as_str(), from, to), attempt)?.collect::<Result<_, _>>()?;
    let mut attempts = Vec::with_capacity(rows.len());
    for (seq, attempt) in rows {
        let mut attempt =
            attempt.ok_or_else(|| damaged(format!("an attempt of {id} has no known outcome")))?;
        attempt.stdout = output(connection, seq, attempt.number, Stream::Stdout, outputs)?;
        attempt.stderr = output(connection, seq, attempt.number, Stream::Stderr, outputs)?;
        attempts.push(attempt);
    }
    Ok(attempts)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<(i64, Option<Attempt>)> {
    let name: String = row.get(7)?;
    let millis = |column: usize| -> rusqlite::Result<Duration> {
        Ok(Duration::from_millis(row.get::<_, i64>(column)?.max(0) as u64))
    };
    let Some(outcome) = Outcome::from_parts(&name, row.get(8)?, row.get(9)?) else {
        return Ok((row.get(0)?, None));
    };
    let attempt = Attempt {
        number: row.get(1)?,
        claim: token(row.get(2)?, row.get(3)?),
        worker: row.get(4)?,
        started_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
        ended_at: Timestamp::from_millis(row.get(6)?),
        outcome,
        charged: row.get(10)?,
        usage: Usage {
            cpu_user: millis(11)?,
            cpu_system: millis(12)?,
            max_rss_kib: row.get::<_, i64>(13)? as u64,
        },
        stdout: Output::default(),
        stderr: Output::default(),
        leftovers_killed: row.get(14)?,
    };
    Ok((row.get(0)?, Some(attempt)))
}

/// What was kept of a stream; the body only if asked for.
fn output(
    connection: &Connection,
    seq: i64,
    number: u32,
    stream: Stream,
    body: bool,
) -> Result<Output, Failure> {
    let mut statement = connection.prepare_cached(
        "-- output_get
         SELECT bytes_total, bytes_dropped, head_len, sha256, iif(?4, body, NULL), file, file_len
         FROM output WHERE job = ?1 AND number = ?2 AND stream = ?3",
    )?;
    let found = statement
        .query_row((seq, number, stream_name(stream), body), |row| {
            let file: Option<String> = row.get(5)?;
            Ok(Output {
                bytes_total: row.get::<_, i64>(0)? as u64,
                bytes_dropped: row.get::<_, i64>(1)? as u64,
                head_len: row.get::<_, i64>(2)? as u64,
                sha256: row.get(3)?,
                body: match file {
                    Some(name) => {
                        OutputBody::File { name, len: row.get::<_, Option<i64>>(6)?.unwrap_or(0) as u64 }
                    }
                    None => OutputBody::Inline(row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default()),
                },
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}
