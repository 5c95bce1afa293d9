//! `ageing`: what claims, enqueues and looks cost in a store with a long history, beside a store without one.

use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
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
    for (name, setting, history) in [
        ("empty", "nothing but what is claimed", History { finished: 0, dead: 0, waiting: times }),
        ("aged", "1M finished", History { finished: unit, dead: 0, waiting: times }),
        (
            "old",
            "10M finished, 1M dead, 1M waiting",
            History { finished: 10 * unit, dead: unit, waiting: unit.max(times) },
        ),
    ] {
        let dir = tempfile::tempdir()?;
        let queue = aged(stand, &dir, history)?;
        let setting =
            format!("{setting} (at full scale); claim and enqueue by the library, each a synced commit");
        plan.contender(Contender::new(Role::Ours, name, "synced in full", setting, move |_| {
            measure(&queue, times)
        }));
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

fn measure(queue: &Queue, times: usize) -> Result<Sample, Fault> {
    let library = Library::open(&queue.database)?;
    let claims = library.claims(times)?;
    let enqueues = timed(times, || library.enqueue(&["true"]))?;
    drop(library);
    let looks = times.min(20);
    let look = |arguments: &[&str]| timed(looks, || succeed(queue.command(arguments).stdout(Stdio::null())));
    let median_ms = |seconds: &[f64]| quantile(seconds, 0.5) * 1e3;
    Ok(Sample::of(CLAIM, median_ms(&claims))
        .and(ENQUEUE, median_ms(&enqueues))
        .and(STATUS, median_ms(&look(&["status", "--json"])?))
        .and(LIST, median_ms(&look(&["list", "-n", "50", "--json"])?)))
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
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144")?;
    let names = columns(&connection, "job", &["seq", "id"])?;
    let mut done = 0;
    while done < times {
        let count = STEP.min(times - done);
        let transaction = connection.transaction()?;
        let last: i64 = transaction.query_row("SELECT max(seq) FROM job", [], |row| row.get(0))?;
        transaction.execute(
            &format!(
                "WITH RECURSIVE n (i) AS (SELECT ?2 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 + ?3 - 1)
                 INSERT INTO job (id, {names}) SELECT ?1 || '-' || i, {names} FROM n, job WHERE id = ?1"
            ),
            (id, done as i64, count as i64),
        )?;
        for table in ["attempt", "output"] {
            let names = columns(&transaction, table, &["job"])?;
            let of_one = format!("one.{}", names.replace(", ", ", one."));
            transaction.execute(
                &format!(
                    "INSERT INTO {table} (job, {names}) SELECT job.seq, {of_one} FROM job, {table} one
                     WHERE job.seq > ?2 AND one.job = (SELECT seq FROM job WHERE id = ?1)"
                ),
                (id, last),
            )?;
        }
        transaction.commit()?;
        done += count;
    }
    Ok(())
}

fn columns(connection: &Connection, table: &str, without: &[&str]) -> rusqlite::Result<String> {
    let names: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info(?)")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = names.into_iter().filter(|name| !without.contains(&name.as_str())).collect();
    Ok(names.join(", "))
}
