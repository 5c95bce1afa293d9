//! What has run lately, found by when its jobs ended.

use async_trait::async_trait;
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::outcome::Outcome;
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::{Ran, Stats, StoreResult, Visitor};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::failure::{Failure, damaged};
use crate::open::SqliteStore;
use crate::rows::queue_name;

const COLUMNS: &str =
    "job.queue, attempt.number, max(job.created_at, coalesce(job.run_at, 0)), attempt.started_at,
    attempt.ended_at, attempt.outcome, attempt.exit_number, attempt.message, job.state, job.runs, job.seq,
    job.completed_at";

/// Where a page of a scan goes on: when the job ended, its row, the attempt.
type Key = (i64, i64, u32);

#[async_trait]
impl Stats for SqliteStore {
    async fn ran_since(
        &self,
        since: Timestamp,
        queue: Option<&QueueName>,
        visit: Visitor<'_>,
    ) -> StoreResult<()> {
        let queue = queue.map(|queue| queue.as_str().to_owned());
        for state in [State::Completed, State::Dead, State::Cancelled] {
            let mut after: Key = (since.millis(), 0, 0);
            loop {
                let queue = queue.clone();
                let page = self
                    .read(move |connection| ended(connection, state, since, queue.as_deref(), after))
                    .await?;
                let full = page.len() == PAGE_ROWS_MAX;
                for (key, ran) in page {
                    after = key;
                    visit(ran);
                }
                if !full {
                    break;
                }
            }
        }
        let open = self.read(move |connection| open(connection, since, queue.as_deref())).await?;
        open.into_iter().for_each(visit);
        Ok(())
    }
}

/// One page of the attempts of jobs that ended in this state.
fn ended(
    connection: &Connection,
    state: State,
    since: Timestamp,
    queue: Option<&str>,
    (at, seq, number): Key,
) -> Result<Vec<(Key, Ran)>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "-- stats_ended
         SELECT {COLUMNS} FROM job INDEXED BY job_ended CROSS JOIN attempt ON attempt.job = job.seq
         WHERE job.state = :state AND job.completed_at >= :at
           AND (job.completed_at, job.seq, attempt.number) > (:at, :seq, :number)
           AND attempt.ended_at >= :since AND (:queue IS NULL OR job.queue = :queue)
         ORDER BY job.completed_at, job.seq, attempt.number LIMIT {PAGE_ROWS_MAX}"
    ))?;
    let mut rows = statement.query(named_params! {
        ":state": state.as_str(), ":at": at, ":seq": seq, ":number": number, ":since": since.millis(), ":queue": queue,
    })?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push(((row.get(11)?, row.get(10)?, row.get(1)?), ran(row)?));
    }
    Ok(page)
}

/// The attempts of jobs that run, or wait for a retry: few, found by their own indexes.
fn open(connection: &Connection, since: Timestamp, queue: Option<&str>) -> Result<Vec<Ran>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "-- stats_open
         SELECT {COLUMNS} FROM job INDEXED BY job_retrying JOIN attempt ON attempt.job = job.seq
         WHERE job.state = 'pending' AND job.ready = 0 AND job.retrying = 1
           AND attempt.ended_at >= :since AND (:queue IS NULL OR job.queue = :queue)
         UNION ALL
         SELECT {COLUMNS} FROM job INDEXED BY job_claim JOIN attempt ON attempt.job = job.seq
         WHERE job.claim IS NOT NULL
           AND attempt.ended_at >= :since AND (:queue IS NULL OR job.queue = :queue)"
    ))?;
    let mut rows = statement.query(named_params! { ":since": since.millis(), ":queue": queue })?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        open.push(ran(row)?);
    }
    Ok(open)
}

fn ran(row: &Row<'_>) -> Result<Ran, Failure> {
    let (name, state): (String, String) = (row.get(5)?, row.get(8)?);
    let outcome = Outcome::from_parts(&name, row.get(6)?, row.get(7)?)
        .ok_or_else(|| damaged(format!("unknown outcome `{name}`")))?;
    let state = State::parse(&state).ok_or_else(|| damaged(format!("unknown state `{state}`")))?;
    let (number, runs): (u32, u32) = (row.get(1)?, row.get(9)?);
    Ok(Ran {
        queue: queue_name(row.get(0)?)?,
        number,
        due_at: Timestamp::from_millis(row.get(2)?),
        started_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        ended_at: Timestamp::from_millis(row.get(4)?),
        outcome,
        ended: Some(state).filter(|state| state.is_terminal() && number == runs),
    })
}
