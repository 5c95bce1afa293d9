//! The claims themselves: each gets the next number of the store's counter, once its job is seen to be what was
//! enqueued. `line.rs` tells whose turn it is.

use queuectl_core::id::JobId;
use queuectl_core::state::{Event, State, transition};
use queuectl_core::store::{Claim, ExchangeRequest, Take};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tracing::error;

use crate::digest::{ALTERED, Environments, is_unreadable, sealed_columns, sealed_job};
use crate::failure::{Failure, damaged};
use crate::lanes::Lanes;
use crate::line;
use crate::rows::token;

/// Claims up to `want` jobs.
pub fn claim(connection: &Connection, request: &ExchangeRequest, now: Timestamp) -> Result<Taken, Failure> {
    let chosen = next(connection, &request.take, request.want, now)?;
    take_all(connection, request, &chosen, now)
}

/// The rows of the jobs that a worker would claim now.
pub fn next(connection: &Connection, take: &Take, want: usize, now: Timestamp) -> Result<Vec<i64>, Failure> {
    match &take.only {
        Some(id) => Ok(only(connection, take, id, now)?.into_iter().take(want).collect()),
        None => line::first(connection, take, want),
    }
}

/// The one job that the worker is bound to, if it can run now: it is due, and its queue is open and has room for it.
fn only(connection: &Connection, take: &Take, id: &JobId, now: Timestamp) -> Result<Option<i64>, Failure> {
    let found: Option<(i64, String)> = connection
        .prepare_cached(
            "-- take_only
             SELECT seq, queue FROM job WHERE id = ? AND state = 'pending' AND due_at <= ?",
        )?
        .query_row((id.as_str(), now.millis()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, queue)) = found else { return Ok(None) };
    let room = *Lanes::new(connection, take).room(&queue)?;
    Ok((room > 0).then_some(seq))
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
    let mut statement = connection.prepare_cached(
        "-- take_claim
         UPDATE OR FAIL job SET state = ?1, ready = 0, retrying = 0, incarnation = ?2, claim = ?3, owner = ?4, worker = ?5,
                        started_at = ?6, updated_at = ?6
         WHERE seq = ?7",
    )?;
    // Read in a statement of its own: for what is returned SQLite would fill a table, made anew for each job.
    let mut row = connection
        .prepare_cached(&format!("-- take_row\nSELECT {} FROM job WHERE seq = ?", sealed_columns()))?;
    let mut environments = Environments::new(connection);
    let mut taken = Taken::default();
    for seq in jobs {
        number += 1;
        let claim = (to.as_str(), incarnation, number, &request.owner, &request.worker, now.millis(), seq);
        statement.execute(claim)?;
        let whole = match row.query_row([seq], sealed_job) {
            Ok(sealed) => sealed.unsealed(&mut environments)?,
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
