//! Jobs: put in, looked at, cancelled, brought back, deleted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use queuectl_core::id::JobId;
use queuectl_core::job::{Job, NewJob};
use queuectl_core::query::{Filter, Page};
use queuectl_core::queue::QueueName;
use queuectl_core::state::{Event, Shown, State, transition};
use queuectl_core::store::{
    Cancelled, Count, Deleted, EditOne, Edited, Inserted, Jobs, Retried, RetryScope, Selection, StoreResult,
};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::batches::{self, IS_THERE};
use crate::edit::edit_all;
use crate::failure::{Failure, damaged};
use crate::insert::insert_all;
use crate::listing::{deletable, list};
use crate::open::SqliteStore;
use crate::rows::{JOB_COLUMNS, RawJob, queue_name, raw_job};
use crate::writer::Verdict;

#[async_trait]
impl Jobs for SqliteStore {
    async fn now(&self) -> StoreResult<Timestamp> {
        Ok(self.clock.now())
    }

    async fn insert(&self, jobs: Vec<NewJob>) -> StoreResult<Inserted> {
        let clock = self.clock.clone();
        self.write(move |connection, rings| {
            if let Some(id) = insert_all(connection, &jobs, clock.now())? {
                return Ok(Verdict::Undo(Inserted::Duplicate(id)));
            }
            rings.work = true;
            Ok(Verdict::Keep(Inserted::All))
        })
        .await
    }

    async fn get(&self, id: &JobId) -> StoreResult<Option<Job>> {
        let id = id.clone();
        self.read(move |connection| {
            find(connection, &id)?.map(|raw| raw.job_with_environment(connection)).transpose()
        })
        .await
    }

    async fn states(&self, ids: &[JobId]) -> StoreResult<Vec<Option<State>>> {
        let ids = ids.to_vec();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "-- job_states
                     SELECT state FROM job WHERE id = ? AND {IS_THERE}"
            ))?;
            let mut state = |id: &JobId| -> Result<Option<State>, Failure> {
                let name: Option<String> = statement.query_row([id.as_str()], |row| row.get(0)).optional()?;
                name.map(|name| State::parse(&name).ok_or_else(|| damaged(format!("unknown state `{name}`"))))
                    .transpose()
            };
            ids.iter().map(&mut state).collect()
        })
        .await
    }

    async fn list(&self, filter: &Filter, page: Page) -> StoreResult<Vec<Job>> {
        let (filter, clock) = (filter.clone(), self.clock.clone());
        self.read(move |connection| list(connection, &filter, page, clock.now())).await
    }

    async fn find_prefix(&self, prefix: &str, limit: usize) -> StoreResult<Vec<JobId>> {
        let prefix = prefix.to_owned();
        self.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "-- job_find_prefix
                     SELECT id FROM job
                     WHERE id >= ?1 AND id < ?1 || char(1114111) AND generated = 1 AND {IS_THERE} ORDER BY id LIMIT ?2"
                ))?;
                let ids = statement
                    .query_map((prefix, limit as i64), |row| Ok(JobId::from_store(row.get(0)?)))?
                    .collect::<Result<_, _>>()?;
                Ok(ids)
            })
            .await
    }

    async fn counts(&self) -> StoreResult<Vec<Count>> {
        let clock = self.clock.clone();
        self.read(move |connection| counts(connection, clock.now())).await
    }

    async fn cancel(&self, ids: &[JobId]) -> StoreResult<Vec<Cancelled>> {
        let (ids, clock) = (ids.to_vec(), self.clock.clone());
        self.write(move |connection, rings| {
            let now = clock.now();
            let results = ids.iter().map(|id| cancel(connection, id, now)).collect::<Result<Vec<_>, _>>()?;
            rings.work |= results.iter().any(|what| matches!(what, Cancelled::Requested { .. }));
            rings.outcome |= results.contains(&Cancelled::Now);
            Ok(Verdict::Keep(results))
        })
        .await
    }

    async fn retry(&self, ids: &[JobId], scope: RetryScope) -> StoreResult<Vec<Retried>> {
        let (ids, clock) = (ids.to_vec(), self.clock.clone());
        self.write(move |connection, rings| {
            let now = clock.now();
            let results =
                ids.iter().map(|id| retry(connection, id, scope, now)).collect::<Result<Vec<_>, _>>()?;
            rings.work |=
                results.iter().any(|what| matches!(what, Retried::Revived { .. } | Retried::Hastened));
            Ok(Verdict::Keep(results))
        })
        .await
    }

    async fn edit(&self, edits: &[EditOne]) -> StoreResult<Edited> {
        let (edits, clock) = (edits.to_vec(), self.clock.clone());
        self.write(move |connection, rings| {
            let refused = edit_all(connection, &edits, clock.now())?;
            if !refused.is_empty() {
                return Ok(Verdict::Undo(Edited::Refused(refused)));
            }
            rings.work = true;
            Ok(Verdict::Keep(Edited::All))
        })
        .await
    }

    async fn delete(&self, selection: Selection) -> StoreResult<Deleted> {
        let clock = self.clock.clone();
        self.write(move |connection, rings| {
            rings.outcome = true;
            Ok(Verdict::Keep(delete(connection, &selection, clock.now())?))
        })
        .await
    }
}

/// One job's row.
pub fn find(connection: &Connection, id: &JobId) -> Result<Option<RawJob>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "-- job_find
         SELECT {JOB_COLUMNS} FROM job WHERE id = ? AND {IS_THERE}"
    ))?;
    Ok(statement.query_row([id.as_str()], raw_job).optional()?)
}

pub fn counts(connection: &Connection, now: Timestamp) -> Result<Vec<Count>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- counts_get
         SELECT queue, state, retrying, sum(n), coalesce(sum(n) FILTER (WHERE ready = 1), 0)
         FROM counts WHERE n > 0 GROUP BY queue, state, retrying",
    )?;
    let mut due = connection.prepare_cached(
        "-- counts_due
         SELECT count(*) FROM job INDEXED BY job_retrying
         WHERE state = 'pending' AND ready = 0 AND queue = ? AND due_at <= ? AND retrying = 1",
    )?;
    let mut counts: BTreeMap<(QueueName, Shown), i64> = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, state, retrying): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (n, ready): (i64, i64) = (row.get(3)?, row.get(4)?);
        let state = State::parse(&state).ok_or_else(|| damaged(format!("unknown state `{state}`")))?;
        let queue = queue_name(name)?;
        if state == State::Pending && retrying {
            // Of those that wait for a retry, the ones that nobody has promoted yet but that are due show as pending;
            // promoted ones are not retrying any more as far as people are concerned.
            let late: i64 = due.query_row((queue.as_str(), now.millis()), |row| row.get(0))?;
            *counts.entry((queue.clone(), Shown::Failed)).or_default() += n - ready - late;
            *counts.entry((queue, Shown::Pending)).or_default() += ready + late;
        } else {
            *counts.entry((queue, state.shown(false, now, now))).or_default() += n;
        }
    }
    for (queue, n) in batches::uncounted(connection)? {
        *counts.entry((queue_name(queue)?, Shown::Pending)).or_default() += n;
    }
    let counted = counts.into_iter().filter(|(_, jobs)| *jobs > 0);
    Ok(counted.map(|((queue, shown), jobs)| Count { queue, shown, jobs: jobs as u64 }).collect())
}

pub fn cancel(connection: &Connection, id: &JobId, now: Timestamp) -> Result<Cancelled, Failure> {
    let Some(job) = find(connection, id)?.map(RawJob::job).transpose()? else { return Ok(Cancelled::Absent) };
    if job.state == State::Processing {
        connection
            .prepare_cached(
                "-- job_request_cancel
                 UPDATE job SET cancel_requested = 1, updated_at = ? WHERE seq = ?",
            )?
            .execute((now.millis(), job.seq))?;
        return Ok(Cancelled::Requested { worker: job.worker });
    }
    let Ok(to) = transition(job.state, Event::Cancel) else { return Ok(Cancelled::Ended(job.state)) };
    batches::promote_one(connection, job.seq, now)?;
    connection
        .prepare_cached(
            "-- job_cancel
             UPDATE job SET state = ?1, ready = 0, retrying = 0, updated_at = ?2, completed_at = ?2 WHERE seq = ?3",
        )?
        .execute((to.as_str(), now.millis(), job.seq))?;
    Ok(Cancelled::Now)
}

pub fn retry(
    connection: &Connection,
    id: &JobId,
    scope: RetryScope,
    now: Timestamp,
) -> Result<Retried, Failure> {
    let Some(job) = find(connection, id)?.map(RawJob::job).transpose()? else { return Ok(Retried::Absent) };
    let shown = job.shown(now);
    if scope == RetryScope::DeadOnly && job.state != State::Dead {
        return Ok(Retried::Refused(shown));
    }
    if let Ok(to) = transition(job.state, Event::Revive) {
        connection
            .prepare_cached(
                "-- job_revive
                 UPDATE job SET state = ?1, ready = 1, retrying = 0, due_at = ?2, attempts = 0, interruptions = 0,
                                cancel_requested = 0, completed_at = NULL, updated_at = ?2
                 WHERE seq = ?3",
            )?
            .execute((to.as_str(), now.millis(), job.seq))?;
        return Ok(Retried::Revived { from: job.state });
    }
    if shown == Shown::Failed && transition(job.state, Event::Hasten).is_ok() {
        connection
            .prepare_cached(
                "-- job_hasten
                 UPDATE job SET ready = 1, due_at = ?1, updated_at = ?1 WHERE seq = ?2",
            )?
            .execute((now.millis(), job.seq))?;
        return Ok(Retried::Hastened);
    }
    Ok(Retried::Refused(shown))
}

fn delete(connection: &Connection, selection: &Selection, now: Timestamp) -> Result<Deleted, Failure> {
    let mut deleted = Deleted::default();
    match selection {
        Selection::Ids(ids) => {
            for id in ids {
                match find(connection, id)? {
                    None => deleted.absent.push(id.clone()),
                    Some(raw) => {
                        let environment = raw.environment;
                        let job = raw.job()?;
                        if job.state == State::Processing {
                            deleted.running.push(id.clone());
                        } else {
                            delete_one(connection, job.seq, environment, &mut deleted.files)?;
                            deleted.deleted.push(id.clone());
                        }
                    }
                }
            }
        }
        Selection::Filter { filter, limit } => {
            for (seq, id, environment) in deletable(connection, filter, *limit, now)? {
                delete_one(connection, seq, environment, &mut deleted.files)?;
                deleted.deleted.push(id);
            }
        }
    }
    Ok(deleted)
}

pub fn delete_one(
    connection: &Connection,
    seq: i64,
    environment: Option<i64>,
    files: &mut Vec<String>,
) -> Result<(), Failure> {
    let mut outputs = connection.prepare_cached(
        "-- output_files
         SELECT file FROM output WHERE job = ? AND file IS NOT NULL",
    )?;
    for file in outputs.query_map([seq], |row| row.get(0))? {
        files.push(file?);
    }
    connection
        .prepare_cached(
            "-- job_delete
             DELETE FROM job WHERE seq = ?",
        )?
        .execute([seq])?;
    if let Some(environment) = environment {
        connection
            .prepare_cached(
                "-- environment_delete_unused
                 DELETE FROM environment
                 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM job WHERE environment = ?1)",
            )?
            .execute([environment])?;
    }
    Ok(())
}
