//! Changes of waiting jobs.

use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::Job;
use queuectl_core::store::encoding::encode_spec;
use queuectl_core::store::{EditOne, EditRefusal};
use queuectl_core::time::Timestamp;
use rusqlite::Connection;

use crate::failure::Failure;
use crate::insert::ensure_queue;
use crate::jobs::find;
use crate::rows::RawJob;

/// Changes all of these; returns those that could not be, and then the rest must be undone.
pub fn edit_all(
    connection: &Connection,
    edits: &[EditOne],
    now: Timestamp,
) -> Result<Vec<(JobId, EditRefusal)>, Failure> {
    let mut refused = Vec::new();
    for one in edits {
        let job = find(connection, &one.id)?.map(RawJob::job).transpose()?;
        match (one.refusal(job.as_ref(), now), job) {
            (None, Some(mut job)) => {
                one.edit.apply(&mut job, now);
                write(connection, &job)?;
            }
            (refusal, _) => refused.extend(refusal.map(|refusal| (one.id.clone(), refusal))),
        }
    }
    Ok(refused)
}

fn write(connection: &Connection, job: &Job) -> Result<(), Failure> {
    let spec = &job.spec;
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
            encode_spec(spec),
            spec.command.as_ref().map(Command::digest),
            job.seq,
        ))?;
    Ok(())
}
