//! What a worker could take: the queues open to it, what is due in them, and the claims themselves.
//!
//! Claim order lives here alone: priority (higher first), then due time, then age, over all open queues together.

use std::cmp::Reverse;

use queuectl_core::id::JobId;
use queuectl_core::limits::PROMOTE_MAX;
use queuectl_core::settings::find_key;
use queuectl_core::state::{Event, State, transition};
use queuectl_core::store::{Claim, ExchangeRequest, Take};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tracing::error;

use crate::batches;
use crate::digest::{ALTERED, is_unreadable, sealed_columns, sealed_job};
use crate::failure::{Failure, damaged};
use crate::rows::token;
use crate::settings::load_setting;

/// A queue with waiting jobs that is not paused and that the worker takes.
#[derive(Debug)]
pub struct OpenQueue {
    name: String,
    ready: i64,
    /// Waiting for their time: delayed or backing off.
    waiting: i64,
    retrying: i64,
    /// How many more may run under its `max-running`.
    room: usize,
}

impl OpenQueue {
    /// Whether jobs wait here for room under a limit that was used up before so many runs ended.
    pub fn has_new_room(&self, ended: usize) -> bool {
        self.ready > 0 && (1..=ended).contains(&self.room)
    }
}

/// The open queues that have anything waiting.
pub fn open_queues(connection: &Connection, take: &Take) -> Result<Vec<OpenQueue>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- take_open_queues
         SELECT counts.queue,
                sum(n) FILTER (WHERE state = 'pending' AND ready = 1),
                sum(n) FILTER (WHERE state = 'pending' AND ready = 0),
                sum(n) FILTER (WHERE state = 'pending' AND retrying = 1),
                sum(n) FILTER (WHERE state = 'processing')
         FROM counts JOIN queue ON queue.name = counts.queue
         WHERE n > 0 AND queue.paused = 0 GROUP BY counts.queue",
    )?;
    let number = |n: Option<i64>| n.unwrap_or(0);
    let rows: Vec<(OpenQueue, i64)> = statement
        .query_map([], |row| {
            let queue = OpenQueue {
                name: row.get(0)?,
                ready: number(row.get(1)?),
                waiting: number(row.get(2)?),
                retrying: number(row.get(3)?),
                room: usize::MAX,
            };
            Ok((queue, number(row.get(4)?)))
        })?
        .collect::<Result<_, _>>()?;
    let mut queues = Vec::new();
    for (mut queue, running) in rows {
        let taken = take.queues.is_empty() || take.queues.iter().any(|name| name.as_str() == queue.name);
        if !taken || queue.ready + queue.waiting == 0 {
            continue;
        }
        let key = find_key("max-running").expect("a key of the table");
        let limit =
            load_setting(connection, &queue.name, key)?.and_then(|text| text.trim().parse::<i64>().ok());
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            queue.room = usize::try_from(limit - running).unwrap_or(0);
        }
        queues.push(queue);
    }
    Ok(queues)
}

/// The earliest time that a job which the worker takes waits for.
pub fn next_due(
    connection: &Connection,
    take: &Take,
    queues: &[OpenQueue],
) -> Result<Option<Timestamp>, Failure> {
    if let Some(id) = &take.only {
        let due: Option<i64> = connection
            .prepare_cached(
                "-- take_only_due
                 SELECT due_at FROM job WHERE id = ? AND state = 'pending' AND ready = 0 AND due_at < 1152921504606846976",
            )?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        return Ok(due.map(Timestamp::from_millis));
    }
    let mut statement = connection.prepare_cached(
        "-- take_next_due
         SELECT due_at FROM job INDEXED BY job_due
         WHERE state = 'pending' AND ready = 0 AND queue = ?1 AND due_at < 1152921504606846976
           AND (?2 = '' OR instr(char(10) || ?2 || char(10), char(10) || kind || char(10)))
         ORDER BY due_at LIMIT 1",
    )?;
    let kinds = take.kinds.join("\n");
    let mut earliest: Option<Timestamp> = None;
    for queue in queues.iter().filter(|queue| queue.waiting > 0) {
        let due: Option<i64> = statement.query_row((&queue.name, &kinds), |row| row.get(0)).optional()?;
        let due = due.map(Timestamp::from_millis);
        earliest = [earliest, due].into_iter().flatten().min();
    }
    Ok(earliest)
}

/// Nothing of the worker's kinds is ready, backing off or due in these queues.
pub fn is_drained(
    connection: &Connection,
    take: &Take,
    queues: &[OpenQueue],
    now: Timestamp,
) -> Result<bool, Failure> {
    if !queues.is_empty() && !batches::opened(connection)?.is_empty() {
        return Ok(false);
    }
    let kinds = take.kinds.join("\n");
    // Each question is asked only where the counts say that it may have an answer: without a retry among them, a
    // million delayed jobs cost nothing.
    let any = |sql: &str, queue: &OpenQueue| -> Result<bool, Failure> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row((&queue.name, &kinds, now.millis()), |row| row.get(0))?)
    };
    for queue in queues {
        let left = (queue.ready > 0 && any(ANY_READY, queue)?)
            || (queue.waiting > 0 && any(ANY_DUE, queue)?)
            || (queue.retrying > 0 && any(ANY_RETRYING, queue)?);
        if left {
            return Ok(false);
        }
    }
    Ok(true)
}

const ANY_READY: &str = "-- take_any_ready
    SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_ready WHERE ready = 1 AND queue = ?1 AND ?3
      AND (?2 = '' OR instr(char(10) || ?2 || char(10), char(10) || kind || char(10))))";
const ANY_DUE: &str = "-- take_any_due
    SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_due
      WHERE state = 'pending' AND ready = 0 AND queue = ?1 AND due_at <= ?3
      AND (?2 = '' OR instr(char(10) || ?2 || char(10), char(10) || kind || char(10))))";
const ANY_RETRYING: &str = "-- take_any_retrying
    SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_due
      WHERE state = 'pending' AND ready = 0 AND queue = ?1 AND retrying = 1 AND ?3
      AND (?2 = '' OR instr(char(10) || ?2 || char(10), char(10) || kind || char(10))))";

/// A claim would find something, or something is due to be promoted.
pub fn has_work(queues: &[OpenQueue], next_due: Option<Timestamp>, now: Timestamp) -> bool {
    let claimable = queues.iter().any(|queue| queue.ready > 0 && queue.room > 0);
    claimable || next_due.is_some_and(|due| due <= now)
}

/// Marks due jobs as ready, a bounded number; returns how many.
pub fn promote(connection: &Connection, queues: &[OpenQueue], now: Timestamp) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(
        "-- take_promote
         UPDATE job SET ready = 1 WHERE seq IN (
           SELECT seq FROM job INDEXED BY job_due
           WHERE state = 'pending' AND ready = 0 AND queue = ? AND due_at <= ? ORDER BY due_at LIMIT ?)",
    )?;
    let mut promoted = 0;
    for queue in queues.iter().filter(|queue| queue.waiting > 0) {
        promoted += statement.execute((&queue.name, now.millis(), (PROMOTE_MAX - promoted) as i64))?;
        if promoted >= PROMOTE_MAX {
            break;
        }
    }
    Ok(promoted)
}

/// Claims up to `want` jobs of these queues.
pub fn claim(
    connection: &Connection,
    request: &ExchangeRequest,
    queues: &[OpenQueue],
    now: Timestamp,
) -> Result<Taken, Failure> {
    if let Some(id) = &request.take.only {
        let chosen: Vec<i64> = only(connection, id, queues, now)?.into_iter().take(request.want).collect();
        return take_all(connection, request, &chosen, now);
    }
    let mut found = Vec::new();
    for queue in queues {
        found.extend(candidates(connection, queue, request)?);
    }
    found.sort_by_key(|one| (Reverse(one.priority), one.due_at, one.seq));
    let chosen: Vec<i64> = found.iter().take(request.want).map(|one| one.seq).collect();
    take_all(connection, request, &chosen, now)
}

/// The one job that the worker is bound to, if it can run now: it is due, and one of these queues has room for it.
pub fn only(
    connection: &Connection,
    id: &JobId,
    queues: &[OpenQueue],
    now: Timestamp,
) -> Result<Option<i64>, Failure> {
    let found: Option<(i64, String)> = connection
        .prepare_cached(
            "-- take_only
             SELECT seq, queue FROM job WHERE id = ? AND state = 'pending' AND due_at <= ?",
        )?
        .query_row((id.as_str(), now.millis()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let has_room = |name: &str| queues.iter().any(|queue| queue.name == name && queue.room > 0);
    Ok(found.filter(|(_, queue)| has_room(queue)).map(|(seq, _)| seq))
}

struct Candidate {
    seq: i64,
    priority: i32,
    due_at: i64,
}

fn candidates(
    connection: &Connection,
    queue: &OpenQueue,
    request: &ExchangeRequest,
) -> Result<Vec<Candidate>, Failure> {
    let kinds = request.take.kinds.join("\n");
    let mut statement = connection.prepare_cached(
        "-- take_candidates
         SELECT seq, priority, due_at FROM job INDEXED BY job_ready
         WHERE ready = 1 AND queue = ?1 AND (?2 = '' OR instr(char(10) || ?2 || char(10), char(10) || kind || char(10)))
         ORDER BY priority DESC, due_at, seq LIMIT ?3",
    )?;
    let limit = request.want.min(queue.room) as i64;
    let found = statement
        .query_map((&queue.name, kinds, limit), |row| {
            Ok(Candidate { seq: row.get(0)?, priority: row.get(1)?, due_at: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// What a look for jobs came to.
#[derive(Debug, Default)]
pub struct Taken {
    pub claims: Vec<Claim>,
    /// Jobs that were not what was enqueued. They are dead now, and there may be others to claim in their place.
    pub buried: usize,
}

/// Gives each of these jobs a claim with the next numbers of the store's counter.
fn take_all(
    connection: &Connection,
    request: &ExchangeRequest,
    jobs: &[i64],
    now: Timestamp,
) -> Result<Taken, Failure> {
    if jobs.is_empty() {
        return Ok(Taken::default());
    }
    let to = transition(State::Pending, Event::Claim).map_err(|e| damaged(e.to_string()))?;
    let (incarnation, last): (i64, i64) = connection
        .prepare_cached(
            "-- take_numbers
             UPDATE meta SET claim_counter = claim_counter + ? RETURNING incarnation, claim_counter",
        )?
        .query_row([jobs.len() as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut number = last - jobs.len() as i64;
    let mut statement = connection.prepare_cached(&format!(
        "-- take_claim
         UPDATE job SET state = ?1, ready = 0, retrying = 0, incarnation = ?2, claim = ?3, owner = ?4, worker = ?5,
                        started_at = ?6, updated_at = ?6
         WHERE seq = ?7 RETURNING {}",
        sealed_columns()
    ))?;
    let mut taken = Taken::default();
    for seq in jobs {
        number += 1;
        let sealed = statement.query_row(
            (to.as_str(), incarnation, number, &request.owner, &request.worker, now.millis(), seq),
            sealed_job,
        );
        let whole = match sealed {
            Ok(sealed) => sealed.unsealed(connection)?,
            Err(error) if is_unreadable(&error) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(job) = whole {
            taken.claims.push(Claim { token: token(incarnation, number), attempt: job.runs + 1, job });
        } else {
            bury(connection, *seq, now)?;
            taken.buried += 1;
        }
    }
    Ok(taken)
}

/// Ends a job that was claimed and must not run. Nothing of it started, so no attempt is recorded.
fn bury(connection: &Connection, seq: i64, now: Timestamp) -> Result<(), Failure> {
    let to = transition(State::Processing, Event::Bury).map_err(|e| damaged(e.to_string()))?;
    let id: Vec<u8> = connection
        .prepare_cached(
            "-- take_bury
             UPDATE job SET state = ?1, cancel_requested = 0, incarnation = NULL, claim = NULL, owner = NULL,
                            worker = NULL, started_at = NULL, updated_at = ?2, completed_at = ?2, last_error = ?3
             WHERE seq = ?4 RETURNING CAST(id AS BLOB)",
        )?
        .query_row((to.as_str(), now.millis(), ALTERED, seq), |row| row.get(0))?;
    error!(
        job.id = %String::from_utf8_lossy(&id),
        "not run, and dead now: what is stored of its command is not what was enqueued; see `queuectl doctor`"
    );
    Ok(())
}
