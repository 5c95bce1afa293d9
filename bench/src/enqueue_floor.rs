//! `enqueue -` against its floor: a prepared insert of the same rows into the same tables with the same triggers, 10,000
//! a transaction, each synced in full. The floor reads no JSON, checks nothing, and has its rows in memory.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// What the target of the enqueue is, times the floor.
const TARGET: f64 = 3.0;
const ROWS_PER_TRANSACTION: usize = 10_000;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Lines of the input
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,
    /// Measured pairs
    #[arg(long, default_value_t = 5)]
    pairs: usize,
}

/// Medians over the pairs.
pub struct Measured {
    jobs: usize,
    pairs: usize,
    enqueue: Duration,
    floor: Duration,
    ratio: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { jobs, pairs, enqueue, floor, ratio } = self;
        let rate = |time: &Duration| *jobs as f64 / time.as_secs_f64();
        writeln!(f, "{jobs} jobs, medians of {pairs} pairs")?;
        writeln!(f, "enqueue  {enqueue:>10.3?}  {:>10.0} jobs/s", rate(enqueue))?;
        writeln!(f, "floor    {floor:>10.3?}  {:>10.0} rows/s", rate(floor))?;
        write!(f, "ratio    {ratio:>10.2}  (at most {TARGET})")
    }
}

pub fn run(queuectl: &Path, arguments: &Arguments) -> Result<Measured, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let input = dir.path().join("input.jsonl");
    let mut lines = BufWriter::new(File::create(&input)?);
    for n in 0..arguments.jobs {
        writeln!(lines, r#"{{"id":"job-{n}","command":"echo {n}"}}"#)?;
    }
    lines.flush()?;
    let mut pairs = Vec::new();
    for n in 0..arguments.pairs {
        let place = dir.path().join(n.to_string());
        fs::create_dir(&place)?;
        let (enqueue, rows) = enqueue(queuectl, &place, &input)?;
        let floor = floor(queuectl, &place, &rows)?;
        pairs.push((enqueue, floor));
        fs::remove_dir_all(&place)?;
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let seconds = |time: f64| Duration::from_secs_f64(time);
    Ok(Measured {
        jobs: arguments.jobs,
        pairs: arguments.pairs,
        enqueue: seconds(median(pairs.iter().map(|(enqueue, _)| enqueue.as_secs_f64()).collect())),
        floor: seconds(median(pairs.iter().map(|(_, floor)| floor.as_secs_f64()).collect())),
        ratio: median(pairs.iter().map(|(e, f)| e.as_secs_f64() / f.as_secs_f64()).collect()),
    })
}

/// The tables that a new store has, and the rows that the enqueue made.
struct Rows {
    columns: Vec<String>,
    jobs: Vec<Vec<Value>>,
    environments: Vec<Vec<Value>>,
}

/// Enqueues into a new store, and reads what became of it.
fn enqueue(queuectl: &Path, place: &Path, input: &Path) -> Result<(Duration, Rows), Box<dyn Error>> {
    let database = place.join("enqueue.db");
    let mut command = Command::new(queuectl);
    command.args(["enqueue", "-"]).env("QUEUECTL_DB", &database).stdin(File::open(input)?);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begin = now();
    let status = command.status()?;
    let took = begin.elapsed();
    if !status.success() {
        return Err(format!("{} failed: {status}", queuectl.display()).into());
    }
    let connection = Connection::open(&database)?;
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('job') WHERE name NOT IN ('seq', 'batch')")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let read = |sql: &str| -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = connection.prepare(sql)?;
        let width = statement.column_count();
        statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect())?.collect()
    };
    let jobs = read(&format!("SELECT {} FROM job ORDER BY seq", columns.join(", ")))?;
    let environments = read("SELECT * FROM environment")?;
    Ok((took, Rows { columns, jobs, environments }))
}

/// Inserts the same rows into another new store, the plain way.
fn floor(queuectl: &Path, place: &Path, rows: &Rows) -> Result<Duration, Box<dyn Error>> {
    let database = place.join("floor.db");
    let status = Command::new(queuectl)
        .arg("init")
        .env("QUEUECTL_DB", &database)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{} init failed: {status}", queuectl.display()).into());
    }
    let marks = vec!["?"; rows.columns.len()].join(", ");
    let sql = format!("INSERT INTO job ({}) VALUES ({marks})", rows.columns.join(", "));
    let begin = now();
    let mut connection = Connection::open(&database)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384")?;
    for environment in &rows.environments {
        connection.execute("INSERT INTO environment VALUES (?, ?, ?)", params_from_iter(environment))?;
    }
    for step in rows.jobs.chunks(ROWS_PER_TRANSACTION) {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(&sql)?;
            for row in step {
                insert.execute(params_from_iter(row))?;
            }
        }
        transaction.commit()?;
    }
    drop(connection);
    Ok(begin.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}
