//! Jobs that wait for their time: when the next of them is due, and what becomes of those that are.

use queuectl_core::limits::PROMOTE_MAX;
use queuectl_core::store::Take;
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::batches;
use crate::failure::Failure;
use crate::lanes::{Lanes, open_queues};
use crate::line;

/// Jobs that are not for the worker, and are due before one that is, of which it hears no more than this.
const LOOKED_PAST_MAX: usize = 64;

/// The earliest time that a job which the worker takes waits for, or an earlier one: with many jobs of others in front
/// it looks again when those are due, which promotes them.
pub fn next_due(connection: &Connection, take: &Take) -> Result<Option<Timestamp>, Failure> {
    if let Some(id) = &take.only {
        let due: Option<i64> = connection
            .prepare_cached(
                "-- waiting_only_due
                 SELECT due_at FROM job WHERE id = ? AND state = 'pending' AND ready = 0 AND due_at < 1152921504606846976",
            )?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        return Ok(due.map(Timestamp::from_millis));
    }
    let mut statement = connection.prepare_cached(
        "-- waiting_next_due
         SELECT due_at, queue, kind FROM job INDEXED BY job_due
         WHERE state = 'pending' AND ready = 0 AND due_at < 1152921504606846976 ORDER BY due_at",
    )?;
    let lanes = Lanes::new(connection, take);
    let mut rows = statement.query([])?;
    let mut passed = 0;
    while let Some(row) = rows.next()? {
        let (queue, kind): (String, String) = (row.get(1)?, row.get(2)?);
        if passed >= LOOKED_PAST_MAX || runs(take, &kind) && lanes.is_open(&queue)? {
            return Ok(Some(Timestamp::from_millis(row.get(0)?)));
        }
        passed += 1;
    }
    Ok(None)
}

/// Marks due jobs as ready, a bounded number, whoever is to run them; returns how many.
pub fn promote(connection: &Connection, now: Timestamp) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(
        "-- waiting_promote
         UPDATE job SET ready = 1 WHERE seq IN (
           SELECT seq FROM job INDEXED BY job_due
           WHERE state = 'pending' AND ready = 0 AND due_at <= ? ORDER BY due_at LIMIT ?)",
    )?;
    Ok(statement.execute((now.millis(), PROMOTE_MAX as i64))?)
}

/// Nothing of the worker's kinds is ready, backing off or due in the open queues.
pub fn is_drained(connection: &Connection, take: &Take, now: Timestamp) -> Result<bool, Failure> {
    if line::is_any_ready(connection, take)? || is_any_due(connection, take, now)? {
        return Ok(false);
    }
    let lanes = Lanes::new(connection, take);
    if batches::any_left(connection, |queue| lanes.is_open(queue))? {
        return Ok(false);
    }
    // Asked only where the counts say that there may be one.
    let mut statement = connection.prepare_cached(
        "-- waiting_retrying
         SELECT DISTINCT kind FROM job INDEXED BY job_retrying
         WHERE state = 'pending' AND ready = 0 AND retrying = 1 AND queue = ?",
    )?;
    for queue in open_queues(connection, take)?.iter().filter(|queue| queue.retrying > 0) {
        let mut rows = statement.query([&queue.name])?;
        while let Some(row) = rows.next()? {
            if runs(take, row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Something that the worker takes is due and nobody has promoted it yet.
fn is_any_due(connection: &Connection, take: &Take, now: Timestamp) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "-- waiting_due
         SELECT queue, kind FROM job INDEXED BY job_due
         WHERE state = 'pending' AND ready = 0 AND due_at <= ?",
    )?;
    let lanes = Lanes::new(connection, take);
    let mut rows = statement.query([now.millis()])?;
    while let Some(row) = rows.next()? {
        let (queue, kind): (String, String) = (row.get(0)?, row.get(1)?);
        if runs(take, &kind) && lanes.is_open(&queue)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn runs(take: &Take, kind: &str) -> bool {
    take.kinds.is_empty() || take.kinds.iter().any(|one| one == kind)
}
