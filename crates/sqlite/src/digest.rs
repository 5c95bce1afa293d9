//! The digest of what a job executes: written with every change of ours, compared before the job is handed out. A row
//! that was damaged, or altered by another program, is told from what was enqueued, and is not run.

use queuectl_core::environment::Environment;
use queuectl_core::id::JobId;
use queuectl_core::job::{Job, JobSpec};
use queuectl_core::store::StoreError;
use queuectl_core::store::encoding::{decode_environment, digest_spec};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::failure::Failure;
use crate::rows::{JOB_COLUMNS, JOB_COLUMNS_LEN, RawJob, raw_job};

/// Why a job that fails the comparison is dead.
pub const ALTERED: &str =
    "what is stored of its command is not what was enqueued, so it was not run; see `queuectl doctor`";

/// The digest of a spec whose stored form is `text`.
pub fn digest(id: &JobId, spec: &JobSpec, text: &str) -> [u8; 32] {
    let command = spec.command.as_ref().map(queuectl_core::command::Command::display);
    digest_spec(id, &spec.kind, command.as_deref(), text, &spec.environment)
}

/// [`JOB_COLUMNS`] with what the comparison needs.
pub fn sealed_columns() -> String {
    format!("{JOB_COLUMNS}, command, digest")
}

/// A row of [`sealed_columns`].
pub struct SealedJob {
    raw: RawJob,
    command: Option<String>,
    digest: Option<Vec<u8>>,
}

/// Reads the columns of [`sealed_columns`].
pub fn sealed_job(row: &Row<'_>) -> rusqlite::Result<SealedJob> {
    let (command, digest) = (row.get(JOB_COLUMNS_LEN)?, row.get(JOB_COLUMNS_LEN + 1)?);
    Ok(SealedJob { raw: raw_job(row)?, command, digest })
}

impl SealedJob {
    /// True if its options read, whether they are what was written or not.
    pub fn reads(&self) -> bool {
        self.raw.options_read()
    }

    /// The job with its environment; `None` if it is not what was written.
    pub fn unsealed(self, environments: &mut Environments<'_>) -> Result<Option<Job>, Failure> {
        let environment = match self.raw.environment {
            None => Some(Environment::default()),
            Some(id) => environments.get(id)?,
        };
        let Some(environment) = environment else { return Ok(None) };
        let (id, kind, spec) = self.raw.sealed();
        let found = digest_spec(&id, kind, self.command.as_deref(), spec, &environment);
        if self.digest.as_deref() != Some(&found[..]) {
            return Ok(None);
        }
        match self.raw.whole_job() {
            Ok(mut job) => {
                job.spec.environment = environment;
                Ok(Some(job))
            }
            Err(Failure(StoreError::Damaged { .. })) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Reads environments within one transaction. Jobs in a row mostly share one, which is then read and digested once.
pub struct Environments<'a> {
    connection: &'a Connection,
    last: Option<(i64, Option<Environment>)>,
}

impl<'a> Environments<'a> {
    pub fn new(connection: &'a Connection) -> Environments<'a> {
        Environments { connection, last: None }
    }

    /// The environment of a row; `None` if it does not read as one.
    fn get(&mut self, id: i64) -> Result<Option<Environment>, Failure> {
        match &self.last {
            Some((last, environment)) if *last == id => Ok(environment.clone()),
            _ => {
                let read = environment(self.connection, id)?;
                self.last = Some((id, read.clone()));
                Ok(read)
            }
        }
    }
}

/// The environment of a row; `None` if it does not read as one.
pub fn environment(connection: &Connection, id: i64) -> Result<Option<Environment>, Failure> {
    let text: Option<Vec<u8>> = connection
        .prepare_cached(
            "-- environment_bytes
             SELECT variables FROM environment WHERE id = ?",
        )?
        .query_row([id], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
        })
        .optional()?;
    Ok(text.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| decode_environment(&text).ok()))
}

/// True if the row of an environment is what was written.
pub fn environment_is_whole(connection: &Connection, id: i64) -> bool {
    let written: rusqlite::Result<Vec<u8>> = connection
        .prepare_cached("SELECT digest FROM environment WHERE id = ?")
        .and_then(|mut statement| statement.query_row([id], |row| row.get(0)));
    match (environment(connection, id), written) {
        (Ok(Some(environment)), Ok(written)) => environment.digest()[..] == written[..],
        _ => false,
    }
}

/// True if a row was read and holds what no row of ours can.
pub fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    )
}

/// The ids of jobs that would not be run, at most so many, and how many there are in all.
pub fn altered(connection: &Connection, named_max: usize) -> Result<(Vec<String>, u64), Failure> {
    let mut statement = connection.prepare(&format!(
        "SELECT {}, CAST(id AS BLOB) AS name FROM job WHERE state IN ('pending', 'blocked', 'dead') ORDER BY seq",
        sealed_columns()
    ))?;
    let mut environments = Environments::new(connection);
    let (mut named, mut total) = (Vec::new(), 0);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let whole = match sealed_job(row) {
            Ok(sealed) => sealed.unsealed(&mut environments)?.is_some(),
            Err(error) if is_unreadable(&error) => false,
            Err(error) => return Err(error.into()),
        };
        if !whole {
            total += 1;
            if named.len() < named_max {
                named.push(
                    String::from_utf8_lossy(row.get_ref("name")?.as_blob().unwrap_or_default()).into_owned(),
                );
            }
        }
    }
    Ok((named, total))
}
