//! Rows and their domain types.

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::id::JobId;
use queuectl_core::job::{Job, JobSpec};
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::encoding::{SpecColumns, decode_spec};
use queuectl_core::time::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::batches::STAGED;
use crate::digest;
use crate::failure::{Failure, damaged};

/// The columns that [`job`] reads, in its order.
pub const JOB_COLUMNS: &str = "seq, id, generated, kind, queue, priority, state, ready, retrying, due_at, run_at, \
     attempts, runs, interruptions, cancel_requested, incarnation, claim, owner, worker, created_at, updated_at, \
     started_at, completed_at, last_error, exit_code, spec, environment";

/// How many they are: as many as the commas between them, and one.
pub const JOB_COLUMNS_LEN: usize = {
    let (columns, mut at, mut len) = (JOB_COLUMNS.as_bytes(), 0, 1);
    while at < columns.len() {
        if columns[at] == b',' {
            len += 1;
        }
        at += 1;
    }
    len
};

/// A row of [`JOB_COLUMNS`] as it came, before its texts are read.
pub struct RawJob {
    job: JobParts,
    spec: String,
    /// The row of its environment.
    pub environment: Option<i64>,
}

struct JobParts {
    seq: i64,
    id: String,
    generated: bool,
    kind: String,
    queue: String,
    priority: i32,
    state: String,
    ready: bool,
    retrying: bool,
    due_at: i64,
    run_at: Option<i64>,
    attempts: u32,
    runs: u32,
    interruptions: u32,
    cancel_requested: bool,
    claim: Option<ClaimToken>,
    owner: Option<String>,
    worker: Option<String>,
    created_at: i64,
    updated_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    last_error: Option<String>,
    exit_code: Option<i32>,
}

/// Reads the columns of [`JOB_COLUMNS`].
pub fn raw_job(row: &Row<'_>) -> rusqlite::Result<RawJob> {
    let claim = match (row.get::<_, Option<i64>>(15)?, row.get::<_, Option<i64>>(16)?) {
        (Some(incarnation), Some(number)) => Some(token(incarnation, number)),
        _ => None,
    };
    Ok(RawJob {
        job: JobParts {
            seq: row.get(0)?,
            id: text(row, 1)?.unwrap_or_default(),
            generated: row.get(2)?,
            kind: row.get(3)?,
            queue: row.get(4)?,
            priority: row.get(5)?,
            state: row.get(6)?,
            ready: row.get(7)?,
            retrying: row.get(8)?,
            due_at: row.get(9)?,
            run_at: row.get(10)?,
            attempts: row.get(11)?,
            runs: row.get(12)?,
            interruptions: row.get(13)?,
            cancel_requested: row.get(14)?,
            claim,
            owner: row.get(17)?,
            worker: row.get(18)?,
            created_at: row.get(19)?,
            updated_at: row.get(20)?,
            started_at: row.get(21)?,
            completed_at: row.get(22)?,
            last_error: text(row, 23)?,
            exit_code: row.get(24)?,
        },
        spec: text(row, 25)?.unwrap_or_default(),
        environment: row.get(26)?,
    })
}

/// A text as far as it is one: damage is found by the digest, and shown rather than refused.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

impl RawJob {
    /// What its digest covers of these columns: its id, its kind, its stored spec.
    pub fn sealed(&self) -> (JobId, &str, &str) {
        (JobId::from_store(self.job.id.clone()), &self.job.kind, &self.spec)
    }

    /// The job, without its environment. Options that do not read are the defaults, without a command: such a job never
    /// runs, for its digest is compared before, and it must keep nobody from seeing, settling or deleting it.
    pub fn job(self) -> Result<Job, Failure> {
        let columns = self.columns()?;
        let spec = decode_spec(columns.clone(), &self.spec).unwrap_or_else(|_| JobSpec {
            kind: columns.kind,
            queue: columns.queue,
            priority: columns.priority,
            ..JobSpec::default()
        });
        self.with(spec)
    }

    /// The job, without its environment, if its options read.
    pub fn whole_job(self) -> Result<Job, Failure> {
        let spec = decode_spec(self.columns()?, &self.spec)?;
        self.with(spec)
    }

    /// True if its options read.
    pub fn options_read(&self) -> bool {
        self.columns().is_ok_and(|columns| decode_spec(columns, &self.spec).is_ok())
    }

    fn columns(&self) -> Result<SpecColumns, Failure> {
        let row = &self.job;
        Ok(SpecColumns {
            kind: row.kind.clone(),
            queue: queue_name(row.queue.clone())?,
            priority: row.priority,
        })
    }

    fn with(self, spec: JobSpec) -> Result<Job, Failure> {
        let row = self.job;
        // Opened, and not promoted yet.
        let due_at = if row.due_at >= STAGED { row.run_at.unwrap_or(row.created_at) } else { row.due_at };
        let state = State::parse(&row.state)
            .ok_or_else(|| damaged(format!("job {} has the unknown state `{}`", row.id, row.state)))?;
        Ok(Job {
            id: JobId::from_store(row.id),
            generated: row.generated,
            seq: row.seq,
            spec,
            state,
            ready: row.ready,
            retrying: row.retrying,
            due_at: Timestamp::from_millis(due_at),
            run_at: row.run_at.map(Timestamp::from_millis),
            attempts: row.attempts,
            runs: row.runs,
            interruptions: row.interruptions,
            cancel_requested: row.cancel_requested,
            claim: row.claim,
            owner: row.owner,
            worker: row.worker,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            started_at: row.started_at.map(Timestamp::from_millis),
            completed_at: row.completed_at.map(Timestamp::from_millis),
            last_error: row.last_error,
            exit_code: row.exit_code,
        })
    }

    /// The job with its environment.
    pub fn job_with_environment(self, connection: &Connection) -> Result<Job, Failure> {
        let environment = self.environment;
        let mut job = self.job()?;
        if let Some(id) = environment {
            job.spec.environment = digest::environment(connection, id)?.unwrap_or_default();
        }
        Ok(job)
    }
}

/// A claim's token from its two columns.
pub fn token(incarnation: i64, number: i64) -> ClaimToken {
    ClaimToken { incarnation: Incarnation(incarnation as u64), number: number as u64 }
}

pub fn queue_name(name: String) -> Result<QueueName, Failure> {
    QueueName::new(name).map_err(|e| damaged(e.to_string()))
}

/// The jobs that are processing, of one owner or of all, with their environments.
pub fn processing(connection: &Connection, owner: Option<&str>) -> Result<Vec<Job>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "-- rows_processing
         SELECT {JOB_COLUMNS} FROM job WHERE state = 'processing' AND (?1 IS NULL OR owner = ?1) ORDER BY seq"
    ))?;
    let raw: Vec<RawJob> = statement.query_map([owner], raw_job)?.collect::<Result<_, _>>()?;
    raw.into_iter().map(|raw| raw.job_with_environment(connection)).collect()
}
