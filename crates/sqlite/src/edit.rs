//! Changes of waiting jobs.

use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::Job;
use queuectl_core::store::encoding::encode_spec;
use queuectl_core::store::{EditOne, EditRefusal};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::batches::{self, IS_THERE};
use crate::digest::{Environments, digest, is_unreadable, sealed_columns, sealed_job};
use crate::failure::{Failure, damaged};
use crate::insert::ensure_queue;

/// Changes all of these; returns those that could not be, and then the rest must be undone.
pub fn edit_all(
    connection: &Connection,
    edits: &[EditOne],
    now: Timestamp,
) -> Result<Vec<(JobId, EditRefusal)>, Failure> {
    let mut refused = Vec::new();
    for one in edits {
        let job = find_whole(connection, &one.id)?;
        match (one.refusal(job.as_ref(), now), job) {
            (None, Some(mut job)) => {
                batches::promote_one(connection, job.seq, now)?;
                one.edit.apply(&mut job, now);
                write(connection, &job)?;
            }
            (refusal, _) => refused.extend(refusal.map(|refusal| (one.id.clone(), refusal))),
        }
    }
    Ok(refused)
}

/// The job with its environment. What is not what was enqueued is not changed: its new digest would say that it is.
fn find_whole(connection: &Connection, id: &JobId) -> Result<Option<Job>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "-- edit_find
         SELECT {} FROM job WHERE id = ? AND {IS_THERE}",
        sealed_columns()
    ))?;
    let found = match statement.query_row([id.as_str()], sealed_job).optional() {
        Ok(None) => return Ok(None),
        Ok(Some(sealed)) => sealed.unsealed(&mut Environments::new(connection))?,
        Err(error) if is_unreadable(&error) => None,
        Err(error) => return Err(error.into()),
    };
    found.map(Some).ok_or_else(|| {
        damaged(format!(
            "what is stored of job {id} is not what was enqueued; enqueue it anew and delete this one"
        ))
    })
}

fn write(connection: &Connection, job: &Job) -> Result<(), Failure> {
    let spec = &job.spec;
    let text = encode_spec(spec);
    let digest = digest(&job.id, spec, &text);
    ensure_queue(connection, &spec.queue)?;
    connection
        .prepare_cached(
            "-- job_edit
             UPDATE job SET queue = ?1, priority = ?2, ready = ?3, due_at = ?4, run_at = ?5, updated_at = ?6,
                            command = ?7, spec = ?8, digest = ?9
             WHERE seq = ?10",
        )?
        .execute((
            spec.queue.as_str(),
            spec.priority,
            job.ready,
            job.due_at.millis(),
            job.run_at.map(Timestamp::millis),
            job.updated_at.millis(),
            spec.command.as_ref().map(Command::display),
            text,
            digest,
            job.seq,
        ))?;
    Ok(())
}
