//! A look at the whole database.

use std::fs;
use std::path::Path;

use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::Connection;

use crate::digest;
use crate::failure::Failure;
use crate::file::exists;
use crate::open::connect;
use crate::schema;
use crate::suspect::mark_of;

/// Damaged jobs that an examination names.
const NAMED_MAX: usize = 10;

/// What SQLite finds wrong, if anything.
pub fn damage(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
    let found: rusqlite::Result<Vec<String>> = statement.query_map([], |row| row.get(0))?.collect();
    match found.map_err(Failure::from) {
        Ok(found) => Ok(found.into_iter().filter(|line| line != "ok").collect()),
        // The check itself can meet what it looks for.
        Err(Failure(StoreError::Damaged { what })) => Ok(vec![what]),
        Err(failure) => Err(failure),
    }
}

fn kept_outputs(connection: &Connection) -> Result<Vec<KeptOutput>, Failure> {
    let mut statement = connection.prepare(
        "SELECT CAST(id AS TEXT), file, coalesce(file_len, 0), sha256
         FROM output JOIN job ON job.seq = output.job WHERE file IS NOT NULL ORDER BY job.seq, number",
    )?;
    let kept = statement.query_map([], |row| {
        let len = row.get::<_, i64>(2)?.max(0) as u64;
        Ok(KeptOutput { job: row.get(0)?, file: row.get(1)?, len, sha256: row.get(3)? })
    })?;
    Ok(kept.collect::<Result<_, _>>()?)
}

/// The output files that a database names.
pub fn named_outputs(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("SELECT file FROM output WHERE file IS NOT NULL")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    pub schema: i64,
    /// What SQLite finds wrong.
    pub damage: Vec<String>,
    /// When and how the disk failed, and nobody has checked the database since.
    pub suspect: Option<String>,
    /// Queues and states of which the kept count differs from the rows: the count, and what there is.
    pub miscounted: Vec<(String, i64, i64)>,
    /// Jobs that would not be run, for what is stored of their commands is not what was enqueued: some, and how many.
    pub altered: (Vec<String>, u64),
    /// Output files that are named.
    pub outputs: Vec<KeptOutput>,
    /// The latest change of any job, in milliseconds of the epoch.
    pub last_change: Option<i64>,
}

/// An output file as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOutput {
    pub job: String,
    pub file: String,
    pub len: u64,
    pub sha256: Vec<u8>,
}

/// Looks through the whole database. Changes nothing.
pub fn examine(path: &Path) -> StoreResult<Examination> {
    let connection = connect(path)?;
    let look = || -> Result<Examination, Failure> {
        connection.execute_batch("BEGIN")?;
        let schema = connection.query_row("SELECT version FROM meta", [], |row| row.get(0))?;
        let suspect = fs::read_to_string(mark_of(path)).ok().map(|text| text.trim().to_owned());
        let damage = damage(&connection)?;
        if !damage.is_empty() {
            // What is damaged may not even be readable.
            return Ok(Examination { schema, damage, suspect, ..Examination::default() });
        }
        let mut statement = connection.prepare(
            "SELECT queue || ' ' || state, sum(kept), sum(there) FROM (
               SELECT queue, state, n AS kept, 0 AS there FROM counts
               UNION ALL SELECT queue, state, 0, count(*) FROM job
                         WHERE due_at < 1152921504606846976 GROUP BY queue, state)
             GROUP BY queue, state HAVING sum(kept) != sum(there)",
        )?;
        let miscounted = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let altered = digest::altered(&connection, NAMED_MAX)?;
        let outputs = kept_outputs(&connection)?;
        let last_change = connection.query_row("SELECT max(updated_at) FROM job", [], |row| row.get(0))?;
        Ok(Examination { schema, damage, suspect, miscounted, altered, outputs, last_change })
    };
    let examined = look();
    let _ = connection.execute_batch("ROLLBACK");
    examined.map_err(|failure| failure.0)
}

/// The schema of a database, and the one that this program makes. `None` where there is no database.
pub fn schema_versions(path: &Path) -> StoreResult<Option<(i64, i64)>> {
    if !exists(path)? {
        return Ok(None);
    }
    let connection = connect(path)?;
    let version = || -> Result<i64, Failure> {
        if !schema::is_there(&connection)? {
            return Ok(schema::VERSION);
        }
        schema::version(&connection)
    };
    version().map(|version| Some((version, schema::VERSION))).map_err(|failure| failure.0)
}
