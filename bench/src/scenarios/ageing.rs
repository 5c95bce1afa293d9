//! `ageing`: what claims, enqueues and looks cost in a store with a long history, beside a store without one.

use std::cell::RefCell;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;

use queuectl::core::environment::Environment;
use queuectl::core::id::JobId;
use queuectl::core::store::encoding::{decode_environment, digest_spec};
use rusqlite::{Connection, OptionalExtension};
use tempfile::TempDir;

use super::library::{Library, quantile};
use crate::clock::now;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const CLAIM: &str = "claim";
const ENQUEUE: &str = "enqueue";
const STATUS: &str = "status";
const LIST: &str = "list -n 50";
/// Rows of history written in one transaction.
const STEP: usize = 100_000;
/// Turns of each store in a round: what the machine does besides hits all of them alike.
const TURNS: usize = 10;

/// How many jobs of each kind a store has.
#[derive(Clone, Copy)]
struct History {
    finished: usize,
    dead: usize,
    waiting: usize,
}

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let times: usize = stand.scale.pick(3, 50, 200);
    let unit = stand.scale.pick(10, 2_000, 1_000_000);
    let about = format!("a store with 0, {unit} and {} finished jobs; medians of {times}", 10 * unit);
    let figures = [(CLAIM, "ms"), (ENQUEUE, "ms"), (STATUS, "ms"), (LIST, "ms")];
    let mut plan = Plan::new("ageing", about, &figures);
    let round = Rc::new(RefCell::new(Round { times, ..Round::default() }));
    for (at, (name, setting, history)) in [
        ("empty", "nothing but what is claimed", History { finished: 0, dead: 0, waiting: times }),
        ("aged", "1M finished", History { finished: unit, dead: 0, waiting: times }),
        (
            "old",
            "10M finished, 1M dead, 1M waiting",
            History { finished: 10 * unit, dead: unit, waiting: unit.max(times) },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir()?;
        round.borrow_mut().queues.push(aged(stand, &dir, history)?);
        let setting = format!(
            "{setting} (at full scale); claim and enqueue by the library, each a synced commit; by turns with the others"
        );
        let round = round.clone();
        let run = move |_: &Path| round.borrow_mut().sample(at);
        plan.contender(Contender::new(Role::Ours, name, "synced in full", setting, run));
        plan.keeps(dir);
    }
    for figure in [CLAIM, ENQUEUE, STATUS, LIST] {
        plan.goal(Goal::ratio(figure, "aged", "empty", Want::AtMost(1.2)));
        plan.goal(Goal::ratio(figure, "old", "empty", Want::AtMost(1.2)));
    }
    plan.goal(Goal::bound(STATUS, "old", Want::AtMost(10.0)));
    plan.goal(Goal::bound(LIST, "old", Want::AtMost(20.0)));
    Ok(plan)
}

/// All stores are measured together: the first of them that is asked for its sample in a round has all of them measured.
#[derive(Default)]
struct Round {
    queues: Vec<Queue>,
    times: usize,
    /// Of this round, those that nobody has asked for yet.
    samples: Vec<Option<Sample>>,
}

impl Round {
    fn sample(&mut self, at: usize) -> Result<Sample, Fault> {
        if !matches!(self.samples.get(at), Some(Some(_))) {
            self.samples = self.measured()?;
        }
        Ok(self.samples[at].take().expect("just measured"))
    }

    fn measured(&self) -> Result<Vec<Option<Sample>>, Fault> {
        let turns = TURNS.min(self.times);
        let mut seconds: Vec<Seconds> = self.queues.iter().map(|_| Seconds::default()).collect();
        for turn in 0..turns {
            for at in 0..self.queues.len() {
                let at = (at + turn) % self.queues.len();
                seconds[at].measure(&self.queues[at], self.times / turns)?;
            }
        }
        Ok(seconds.iter().map(|seconds| Some(seconds.sample())).collect())
    }
}

/// What each call on one store took.
#[derive(Default)]
struct Seconds {
    claims: Vec<f64>,
    enqueues: Vec<f64>,
    statuses: Vec<f64>,
    lists: Vec<f64>,
}

impl Seconds {
    /// One turn. The first call of each kind in it finds a connection that has read nothing yet, as a new process does.
    fn measure(&mut self, queue: &Queue, times: usize) -> Result<(), Fault> {
        let library = Library::open(&queue.database)?;
        self.claims.extend(library.claims(times)?);
        self.enqueues.extend(timed(times, || library.enqueue(&["true"]))?);
        drop(library);
        let looks = times.min(10);
        let look =
            |arguments: &[&str]| timed(looks, || succeed(queue.command(arguments).stdout(Stdio::null())));
        self.statuses.extend(look(&["status", "--json"])?);
        self.lists.extend(look(&["list", "-n", "50", "--json"])?);
        Ok(())
    }

    fn sample(&self) -> Sample {
        let median_ms = |seconds: &[f64]| quantile(seconds, 0.5) * 1e3;
        Sample::of(CLAIM, median_ms(&self.claims))
            .and(ENQUEUE, median_ms(&self.enqueues))
            .and(STATUS, median_ms(&self.statuses))
            .and(LIST, median_ms(&self.lists))
    }
}

/// The seconds that each of so many calls took.
pub fn timed(times: usize, mut run: impl FnMut() -> Result<(), Fault>) -> Result<Vec<f64>, Fault> {
    let one = |_| {
        let begin = now();
        run()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    (0..times).map(one).collect()
}

/// A store with a history: one finished and one dead job are run, and copied; what waits is enqueued.
fn aged(stand: &Stand, dir: &TempDir, history: History) -> Result<Queue, Fault> {
    let queue = Queue::new(stand, dir.path())?;
    if history.finished > 0 {
        queue.does(&["enqueue", "--id", "finished", "-c", "echo hi"])?;
        queue.does(&["enqueue", "--id", "dead", "-r", "1", "-c", "exit 3"])?;
        queue.does(&["worker", "start", "--drain"])?;
        copy(&queue.database, "finished", history.finished)?;
        copy(&queue.database, "dead", history.dead)?;
    }
    queue.enqueue((0..history.waiting).map(|n| format!(r#"{{"id":"waiting-{n}","args":["true"]}}"#)))?;
    Ok(queue)
}

/// Makes so many more jobs like one, with its attempt and what it printed.
fn copy(database: &Path, id: &str, times: usize) -> Result<(), Fault> {
    let mut connection = Connection::open(database)?;
    connection.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY;
         CREATE TEMP TABLE fresh (id TEXT NOT NULL, digest BLOB NOT NULL)",
    )?;
    let one = One::find(&connection, id)?;
    let mut done = 0;
    while done < times {
        let count = STEP.min(times - done);
        let transaction = connection.transaction()?;
        one.copy(&transaction, done..done + count)?;
        transaction.commit()?;
        done += count;
    }
    Ok(())
}

/// A job to be copied, and what its digest covers.
struct One {
    id: String,
    seq: i64,
    kind: String,
    command: Option<String>,
    spec: String,
    environment: Environment,
}

impl One {
    fn find(connection: &Connection, id: &str) -> Result<One, Fault> {
        let variables: Option<String> = connection
            .query_row(
                "SELECT variables FROM environment WHERE id = (SELECT environment FROM job WHERE id = ?)",
                [id],
                |row| row.get(0),
            )
            .optional()?;
        let environment = variables.map(|text| decode_environment(&text)).transpose()?.unwrap_or_default();
        let sql = "SELECT seq, kind, command, spec FROM job WHERE id = ?";
        Ok(connection.query_row(sql, [id], |row| {
            let (seq, kind, command, spec) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(One { id: id.to_owned(), seq, kind, command, spec, environment })
        })?)
    }

    fn copy(&self, connection: &Connection, numbers: std::ops::Range<usize>) -> Result<(), Fault> {
        let last: i64 = connection.query_row("SELECT max(seq) FROM job", [], |row| row.get(0))?;
        let names = columns(connection, "job", &["seq", "id", "digest"])?;
        let mut fresh = connection.prepare("INSERT INTO fresh (id, digest) VALUES (?, ?)")?;
        for number in numbers {
            let id = JobId::new(format!("{}-{number}", self.id))?;
            let digest = digest_spec(&id, &self.kind, self.command.as_deref(), &self.spec, &self.environment);
            fresh.execute((id.as_str(), digest))?;
        }
        // One statement for all: SQLite winds back its list of saved pages after each that a trigger follows.
        connection.execute(
            &format!(
                "INSERT INTO job (id, digest, {names})
                 SELECT fresh.id, fresh.digest, {names} FROM fresh, job WHERE job.seq = ?"
            ),
            [self.seq],
        )?;
        connection.execute("DELETE FROM fresh", [])?;
        for table in ["attempt", "output"] {
            let names = columns(connection, table, &["job"])?;
            let of_one = format!("one.{}", names.replace(", ", ", one."));
            connection.execute(
                &format!(
                    "INSERT INTO {table} (job, {names}) SELECT job.seq, {of_one} FROM job, {table} one
                     WHERE job.seq > ? AND one.job = ?"
                ),
                (last, self.seq),
            )?;
        }
        Ok(())
    }
}

fn columns(connection: &Connection, table: &str, without: &[&str]) -> rusqlite::Result<String> {
    let names: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info(?)")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = names.into_iter().filter(|name| !without.contains(&name.as_str())).collect();
    Ok(names.join(", "))
}
