//! New jobs.

use std::collections::{HashMap, HashSet};

use queuectl_core::id::JobId;
use queuectl_core::job::{Due, NewJob};
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::BatchId;
use queuectl_core::store::encoding::{encode_environment, encode_spec};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::batches::STAGED;
use crate::digest::digest;
use crate::failure::Failure;

/// Inserts jobs of one transaction, remembering the queues and environments that it has seen.
pub struct Inserter<'a> {
    connection: &'a Connection,
    now: Timestamp,
    queues: HashSet<QueueName>,
    environments: HashMap<[u8; 32], i64>,
    batch: Option<BatchId>,
}

impl<'a> Inserter<'a> {
    pub fn new(connection: &'a Connection, now: Timestamp) -> Inserter<'a> {
        Inserter { connection, now, queues: HashSet::new(), environments: HashMap::new(), batch: None }
    }

    /// Stages jobs in a batch instead.
    pub fn into_batch(connection: &'a Connection, now: Timestamp, batch: BatchId) -> Inserter<'a> {
        Inserter { batch: Some(batch), ..Inserter::new(connection, now) }
    }

    /// Inserts one; false if its id exists already.
    pub fn insert(&mut self, job: &NewJob) -> Result<bool, Failure> {
        let (due, run_at) = match job.due {
            Due::Now => (self.now, None),
            Due::After(delay) if delay.is_zero() => (self.now, None),
            Due::After(delay) => (self.now.after(delay), Some(self.now.after(delay))),
            Due::At(at) if at <= self.now => (self.now, None),
            Due::At(at) => (at, Some(at)),
        };
        let spec = &job.spec;
        let environment = self.environment(job)?;
        let text = encode_spec(spec);
        let digest = digest(&job.id, spec, &text);
        let inserted = self
            .connection
            .prepare_cached(
                "-- job_insert
                 INSERT OR FAIL INTO job (id, generated, kind, queue, priority, state, ready, retrying, due_at, run_at,
                                  created_at, updated_at, command, spec, digest, environment, batch)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?10, ?11, ?12, ?13, ?14, ?15)
                 ON CONFLICT (id) DO NOTHING",
            )?
            .execute((
                job.id.as_str(),
                job.generated,
                &spec.kind,
                spec.queue.as_str(),
                spec.priority,
                State::Pending.as_str(),
                self.batch.is_none() && due <= self.now,
                self.batch.map_or(due.millis(), |batch| STAGED + batch.0),
                run_at.map(Timestamp::millis),
                self.now.millis(),
                spec.command.as_ref().map(queuectl_core::command::Command::display),
                text,
                digest,
                environment,
                self.batch.map(|batch| batch.0),
            ))?;
        if inserted == 0 {
            return Ok(false);
        }
        self.queue(&spec.queue)?;
        Ok(true)
    }

    fn queue(&mut self, queue: &QueueName) -> Result<(), Failure> {
        if self.queues.insert(queue.clone()) {
            ensure_queue(self.connection, queue)?;
        }
        Ok(())
    }

    fn environment(&mut self, job: &NewJob) -> Result<Option<i64>, Failure> {
        let environment = &job.spec.environment;
        if environment.is_empty() {
            return Ok(None);
        }
        let digest = environment.digest();
        if let Some(id) = self.environments.get(&digest) {
            return Ok(Some(*id));
        }
        let variables = encode_environment(environment);
        let known: Option<(i64, bool)> = self
            .connection
            .prepare_cached(
                "-- environment_find
                 SELECT id, variables = ?2 FROM environment WHERE digest = ?1",
            )?
            .query_row((digest, &variables), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let id = match known {
            Some((id, true)) => id,
            // Damaged: what it was is known again, for this job and for all that share it.
            Some((id, false)) => {
                self.connection
                    .prepare_cached(
                        "-- environment_mend
                         UPDATE environment SET variables = ? WHERE id = ?",
                    )?
                    .execute((&variables, id))?;
                id
            }
            None => self
                .connection
                .prepare_cached(
                    "-- environment_insert
                     INSERT INTO environment (digest, variables) VALUES (?, ?)",
                )?
                .insert((digest, &variables))?,
        };
        self.environments.insert(digest, id);
        Ok(Some(id))
    }
}

/// Inserts all or says which id was there already.
pub fn insert_all(
    connection: &Connection,
    jobs: &[NewJob],
    now: Timestamp,
) -> Result<Option<JobId>, Failure> {
    let mut inserter = Inserter::new(connection, now);
    for job in jobs {
        if !inserter.insert(job)? {
            return Ok(Some(job.id.clone()));
        }
    }
    Ok(None)
}

/// Gives a queue its row.
pub fn ensure_queue(connection: &Connection, queue: &QueueName) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "-- queue_ensure
             INSERT INTO queue (name) VALUES (?) ON CONFLICT DO NOTHING",
        )?
        .execute([queue.as_str()])?;
    Ok(())
}
