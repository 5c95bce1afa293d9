//! Batches: jobs that are staged until their batch is opened.
//!
//! A staged job is pending, and due at an instant that never comes: [`STAGED`] plus the number of its batch. So the
//! index of due times finds the jobs of a batch, and no claim and no promotion ever meets them. An opened batch's jobs
//! are there at once, for everybody reads such an instant as "due when it was put in"; promotion writes it down, and
//! counts them.

use async_trait::async_trait;
use queuectl_core::job::NewJob;
use queuectl_core::store::{BatchId, Batches, Inserted, Loading, StoreResult};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Rows};

use crate::failure::{Failure, damaged};
use crate::insert::Inserter;
use crate::jobs::delete_one;
use crate::open::SqliteStore;
use crate::writer::Verdict;

/// Far beyond any date that a job can be due at.
pub const STAGED: i64 = 1 << 60;

/// Holds for jobs that are there: not staged, or their batch is open.
pub const IS_THERE: &str = "(job.due_at < 1152921504606846976
    OR EXISTS (SELECT 1 FROM batch WHERE batch.id = job.batch AND batch.open = 1))";

#[async_trait]
impl Batches for SqliteStore {
    async fn begin_batch(&self, loader: &str) -> StoreResult<BatchId> {
        let (loader, clock) = (loader.to_owned(), self.clock.clone());
        self.write(move |connection, _| {
            let id = connection
                .prepare_cached(
                    "-- batch_begin
                     INSERT INTO batch (open, loader, created_at) VALUES (0, ?, ?)",
                )?
                .insert((loader, clock.now().millis()))?;
            Ok(Verdict::Keep(BatchId(id)))
        })
        .await
    }

    async fn stage(&self, batch: BatchId, jobs: Vec<NewJob>) -> StoreResult<Inserted> {
        let clock = self.clock.clone();
        self.write(move |connection, _| {
            if !is_loading(connection, batch)? {
                return Err(damaged(format!("batch {} is not being loaded", batch.0)));
            }
            let mut inserter = Inserter::into_batch(connection, clock.now(), batch);
            for job in &jobs {
                if !inserter.insert(job)? {
                    return Ok(Verdict::Undo(Inserted::Duplicate(job.id.clone())));
                }
            }
            Ok(Verdict::Keep(Inserted::All))
        })
        .await
    }

    async fn open_batch(&self, batch: BatchId) -> StoreResult<bool> {
        self.write(move |connection, rings| {
            let opened = connection
                .prepare_cached(
                    "-- batch_open
                     UPDATE batch SET open = 1 WHERE id = ? AND open = 0 AND loader IS NOT NULL",
                )?
                .execute([batch.0])?;
            rings.work = opened > 0;
            Ok(Verdict::Keep(opened > 0))
        })
        .await
    }

    async fn promote_batches(&self, limit: usize) -> StoreResult<usize> {
        let clock = self.clock.clone();
        self.write(move |connection, rings| {
            let promoted = promote(connection, limit, clock.now())?;
            rings.work = promoted > 0;
            Ok(Verdict::Keep(promoted))
        })
        .await
    }

    async fn drop_batch(&self, batch: BatchId, limit: usize) -> StoreResult<usize> {
        self.write(move |connection, _| {
            if !is_loading(connection, batch)? {
                return Ok(Verdict::Keep(0));
            }
            let staged = staged(connection, batch, limit)?;
            let mut files = Vec::new();
            for (seq, environment) in &staged {
                delete_one(connection, *seq, *environment, &mut files)?;
            }
            if staged.len() < limit {
                finish(connection, batch)?;
            }
            Ok(Verdict::Keep(staged.len()))
        })
        .await
    }

    async fn loading(&self) -> StoreResult<Vec<Loading>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "-- batch_loading
                     SELECT id, loader FROM batch WHERE open = 0 AND loader IS NOT NULL ORDER BY id",
            )?;
            let rows = statement
                .query_map([], |row| Ok(Loading { batch: BatchId(row.get(0)?), loader: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn is_loading(connection: &Connection, batch: BatchId) -> Result<bool, Failure> {
    let found: Option<i64> = connection
        .prepare_cached(
            "-- batch_is_loading
             SELECT 1 FROM batch WHERE id = ? AND open = 0 AND loader IS NOT NULL",
        )?
        .query_row([batch.0], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

/// Of an opened batch: all of its jobs are promoted. Of one that was never opened: all are gone.
fn finish(connection: &Connection, batch: BatchId) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "-- batch_finish
             UPDATE batch SET loader = NULL WHERE id = ?",
        )?
        .execute([batch.0])?;
    Ok(())
}

/// Up to `limit` jobs that are still staged, with the rows of their environments.
fn staged(connection: &Connection, batch: BatchId, limit: usize) -> Result<Vec<(i64, Option<i64>)>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- batch_staged
         SELECT seq, environment FROM job INDEXED BY job_due
         WHERE state = 'pending' AND ready = 0 AND due_at = ? LIMIT ?",
    )?;
    let rows = statement
        .query_map((STAGED + batch.0, limit as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The batches that are open and have jobs left to promote.
pub fn opened(connection: &Connection) -> Result<Vec<BatchId>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- batch_opened
         SELECT id FROM batch WHERE loader IS NOT NULL AND open = 1 ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| Ok(BatchId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes down for up to `limit` jobs of opened batches when they are due; returns how many.
pub fn promote(connection: &Connection, limit: usize, now: Timestamp) -> Result<usize, Failure> {
    let mut promoted = 0;
    for batch in opened(connection)? {
        // One statement for all: SQLite winds back its list of saved pages after each, and that list is long here.
        let mut statement = connection.prepare_cached(
            "-- batch_promote
             UPDATE job SET due_at = coalesce(run_at, created_at), ready = coalesce(run_at, created_at) <= ?
             WHERE seq IN (
               SELECT seq FROM job INDEXED BY job_due
               WHERE state = 'pending' AND ready = 0 AND due_at = ? LIMIT ?)
             RETURNING queue, ready",
        )?;
        let rows = statement.query((now.millis(), STAGED + batch.0, (limit - promoted) as i64))?;
        promoted += count_promoted(connection, rows)?;
        if promoted >= limit {
            break;
        }
        finish(connection, batch)?;
    }
    Ok(promoted)
}

/// The same for one job, which is to be changed.
pub fn promote_one(connection: &Connection, seq: i64, now: Timestamp) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "-- batch_promote_one
         UPDATE job SET due_at = coalesce(run_at, created_at), ready = coalesce(run_at, created_at) <= ?
         WHERE seq = ? AND due_at >= ? RETURNING queue, ready",
    )?;
    let rows = statement.query((now.millis(), seq, STAGED))?;
    count_promoted(connection, rows)?;
    Ok(())
}

/// Counts jobs that were staged before, which no trigger does; returns how many.
fn count_promoted(connection: &Connection, mut rows: Rows<'_>) -> Result<usize, Failure> {
    let mut sums: Vec<(String, bool, usize)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (queue, ready) = (row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, row.get(1)?);
        // They come in the order of their queues.
        match sums.last_mut() {
            Some((last, is_ready, n)) if last == queue && *is_ready == ready => *n += 1,
            _ => sums.push((queue.to_owned(), ready, 1)),
        }
    }
    drop(rows);
    let mut statement = connection.prepare_cached(
        "-- batch_count
         INSERT INTO counts (queue, state, ready, retrying, n) VALUES (?, 'pending', ?, 0, ?)
           ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for (queue, ready, n) in &sums {
        statement.execute((queue, ready, *n as i64))?;
    }
    Ok(sums.iter().map(|(_, _, n)| n).sum())
}

/// How many jobs of each queue are there that no count has: those of opened batches that are not promoted.
pub fn uncounted(connection: &Connection) -> Result<Vec<(String, i64)>, Failure> {
    let mut uncounted = Vec::new();
    let mut statement = connection.prepare_cached(
        "-- batch_uncounted
         SELECT queue, count(*) FROM job INDEXED BY job_due
         WHERE state = 'pending' AND ready = 0 AND due_at = ? GROUP BY queue",
    )?;
    for batch in opened(connection)? {
        let rows = statement.query_map([STAGED + batch.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            uncounted.push(row?);
        }
    }
    Ok(uncounted)
}

/// True if an opened batch has a job left in a queue of which `is_open` says that it matters.
pub fn any_left(
    connection: &Connection,
    is_open: impl Fn(&str) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "-- batch_left
         SELECT queue FROM job INDEXED BY job_due WHERE state = 'pending' AND ready = 0 AND due_at = ?",
    )?;
    for batch in opened(connection)? {
        let mut rows = statement.query([STAGED + batch.0])?;
        while let Some(row) = rows.next()? {
            if is_open(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
