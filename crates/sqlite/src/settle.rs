//! Settling: a patch lands on the job that its claim fences, with the attempt's row and what it printed.

use queuectl_core::claim::ClaimToken;
use queuectl_core::outcome::{Output, OutputBody, Stream};
use queuectl_core::settle::Patch;
use queuectl_core::state::{Event, State, transition};
use queuectl_core::store::Settle;
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::failure::{Failure, damaged};
use crate::insert::Inserter;

/// Settles one outcome; the queue of its job, or `None` if the claim does not hold any more.
pub fn settle_one(
    connection: &Connection,
    settle: &Settle,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let Some(job) = find_claim(connection, settle.claim)? else { return Ok(None) };
    // Refused before anything else looks at it: the patch comes from outside.
    transition(State::Processing, settle.patch.event).map_err(|e| damaged(e.to_string()))?;
    let patch = settle.patch.clone().landing(job.cancel_requested);
    let ended_at = now.before(settle.attempt.ended_ago);
    apply(connection, &job, &patch, Some(settle), ended_at, now)?;
    insert_attempt(connection, &job, settle, &patch, ended_at, now)?;
    if patch.event == settle.patch.event {
        let mut inserter = Inserter::new(connection, now);
        for job in &settle.inserts {
            inserter.insert(job)?;
        }
    }
    Ok(Some(job.queue))
}

/// Gives a claim back of which nothing started; the queue of its job, or `None` if it does not hold any more.
pub fn release_one(
    connection: &Connection,
    claim: ClaimToken,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let Some(job) = find_claim(connection, claim)? else { return Ok(None) };
    let patch = Patch::release().landing(job.cancel_requested);
    apply(connection, &job, &patch, None, now, now)?;
    Ok(Some(job.queue))
}

/// What a settle needs to know of the job that its claim holds.
struct HeldJob {
    seq: i64,
    queue: String,
    due_at: Timestamp,
    attempts: u32,
    runs: u32,
    interruptions: u32,
    cancel_requested: bool,
    worker: Option<String>,
    started_at: Option<Timestamp>,
}

/// The fence: the job that is processing under exactly this claim.
fn find_claim(connection: &Connection, claim: ClaimToken) -> Result<Option<HeldJob>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- settle_fence
         SELECT seq, queue, due_at, attempts, runs, interruptions, cancel_requested, worker, started_at
         FROM job WHERE claim = ? AND incarnation = ? AND state = 'processing'",
    )?;
    let held = statement.query_row((claim.number as i64, claim.incarnation.0 as i64), |row| {
        Ok(HeldJob {
            seq: row.get(0)?,
            queue: row.get(1)?,
            due_at: Timestamp::from_millis(row.get(2)?),
            attempts: row.get(3)?,
            runs: row.get(4)?,
            interruptions: row.get(5)?,
            cancel_requested: row.get(6)?,
            worker: row.get(7)?,
            started_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        })
    });
    Ok(held.optional()?)
}

/// Writes a landed patch into the job's row. `settle` is none for a release, of which no attempt is recorded.
fn apply(
    connection: &Connection,
    job: &HeldJob,
    patch: &Patch,
    settle: Option<&Settle>,
    ended_at: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let to = transition(State::Processing, patch.event).map_err(|e| damaged(e.to_string()))?;
    let due_at = patch.delay.map_or(job.due_at, |delay| ended_at.after(delay));
    let ready = to == State::Pending && due_at <= now;
    let started_at = match settle {
        None => None,
        Some(settle) => settle.attempt.started_ago.map(|ago| now.before(ago)).or(job.started_at),
    };
    connection
        .prepare_cached(
            "-- settle_apply
             UPDATE OR FAIL job SET state = ?1, ready = ?2, retrying = ?3, due_at = ?4, attempts = ?5, runs = ?6,
                            interruptions = ?7, cancel_requested = 0, incarnation = NULL, claim = NULL, owner = NULL,
                            updated_at = ?8, started_at = ?9, completed_at = ?10,
                            last_error = iif(?11, last_error, ?12), exit_code = iif(?11, exit_code, ?13)
             WHERE seq = ?14",
        )?
        .execute(rusqlite::params![
            to.as_str(),
            ready,
            patch.event == Event::Backoff,
            due_at.millis(),
            job.attempts + u32::from(patch.charged),
            job.runs + u32::from(settle.is_some()),
            job.interruptions + u32::from(patch.interruption),
            now.millis(),
            started_at.map(Timestamp::millis),
            to.is_terminal().then(|| ended_at.millis()),
            // A success clears the last error; a release says nothing about it.
            settle.is_none(),
            patch.last_error,
            patch.exit_code,
            job.seq,
        ])?;
    Ok(())
}

fn insert_attempt(
    connection: &Connection,
    job: &HeldJob,
    settle: &Settle,
    patch: &Patch,
    ended_at: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let attempt = &settle.attempt;
    let number = job.runs + 1;
    let started_at = attempt.started_ago.map(|ago| now.before(ago));
    connection
        .prepare_cached(
            "-- attempt_insert
             INSERT INTO attempt (job, number, incarnation, claim, worker, started_at, ended_at, outcome,
               exit_number, message, charged, cpu_user_ms, cpu_system_ms, max_rss_kib, leftovers_killed)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(rusqlite::params![
            job.seq,
            number,
            settle.claim.incarnation.0 as i64,
            settle.claim.number as i64,
            job.worker,
            started_at.map(Timestamp::millis),
            ended_at.millis(),
            attempt.outcome.name(),
            attempt.outcome.number(),
            attempt.outcome.message(),
            patch.charged,
            attempt.usage.cpu_user.as_millis() as i64,
            attempt.usage.cpu_system.as_millis() as i64,
            attempt.usage.max_rss_kib as i64,
            attempt.leftovers_killed,
        ])?;
    insert_output(connection, job.seq, number, Stream::Stdout, &attempt.stdout)?;
    insert_output(connection, job.seq, number, Stream::Stderr, &attempt.stderr)
}

fn insert_output(
    connection: &Connection,
    seq: i64,
    number: u32,
    stream: Stream,
    output: &Output,
) -> Result<(), Failure> {
    if output.bytes_total == 0 {
        return Ok(());
    }
    let (body, file, file_len) = match &output.body {
        OutputBody::Inline(bytes) => (Some(bytes.as_slice()), None, None),
        OutputBody::File { name, len } => (None, Some(name.as_str()), Some(*len as i64)),
    };
    connection
        .prepare_cached(
            "-- output_insert
             INSERT INTO output (job, number, stream, bytes_total, bytes_dropped, head_len, sha256, body, file,
               file_len)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(rusqlite::params![
            seq,
            number,
            stream_name(stream),
            output.bytes_total as i64,
            output.bytes_dropped as i64,
            output.head_len as i64,
            output.sha256,
            body,
            file,
            file_len,
        ])?;
    Ok(())
}

/// A stream's name in the table.
pub fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
