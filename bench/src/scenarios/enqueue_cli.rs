//! `enqueue-cli`: one process a job, durable when it ends, with a worker that holds the store and with none; and how long
//! the smallest command takes.

use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::floors::text;
use crate::clock::now;
use crate::floors::sqlite::insert_sql;
use crate::meter::metered_waited;
use crate::peers;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const START: &str = "start";
const SYNCED: &str = "synced in full before it ends";

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let times = stand.scale.pick(3, 100, 500);
    let about = format!("{times} times one process that enqueues one job, one after the other");
    let mut plan = Plan::new("enqueue-cli", about, &[(RATE, "jobs/s"), (START, "ms")]);
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl, worker",
        SYNCED,
        "enqueue -c true, while a worker has the store open; the queue is paused",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            queue.does(&["enqueue", "-c", "true"])?;
            queue.does(&["queue", "pause", "default"])?;
            let worker = queue.worker(&[])?;
            let sample = repeated(times, || queue.command(&["enqueue", "-c", "true"]))?;
            worker.stop()?;
            Ok(sample)
        },
    ));
    plan.contender(Contender::new(
        Role::Floor,
        "minimal process, held",
        SYNCED,
        "rusqlite: open, one insert of the same row, close, while a connection has the store open",
        move |dir| minimal(stand, dir, times, true),
    ));
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl, alone",
        SYNCED,
        "enqueue -c true, while nobody has the store open",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            repeated(times, || queue.command(&["enqueue", "-c", "true"]))
        },
    ));
    plan.contender(Contender::new(
        Role::Floor,
        "minimal process, alone",
        SYNCED,
        "rusqlite: open, one insert of the same row, close; a log of 100 pages is written back, as ours",
        move |dir| minimal(stand, dir, times, false),
    ));
    for (name, role, program) in [
        ("queuectl --version", Role::Ours, stand.queuectl.clone()),
        ("/bin/true", Role::Floor, "/bin/true".into()),
    ] {
        plan.contender(Contender::new(role, name, "-", "start to end of the process", move |_| {
            let sample = repeated(times, || {
                let mut command = Command::new(&program);
                command.arg("--version");
                command
            })?;
            let rate = sample.figures.first().map_or(f64::NAN, |(_, rate)| *rate);
            Ok(Sample { figures: vec![(START, 1e3 / rate)], ..sample })
        }));
    }
    plan.goal(Goal::ratio(RATE, "queuectl, worker", "minimal process, held", Want::AtLeast(0.8)));
    plan.goal(Goal::ratio(RATE, "queuectl, alone", "minimal process, alone", Want::AtLeast(0.8)));
    peers::join(&mut plan, stand, peers::ENQUEUE, times, RATE, "queuectl, worker", &[("pueue", 1.5)]);
    plan.goal(Goal::bound(START, "queuectl --version", Want::AtMost(3.0)));
    Ok(plan)
}

fn repeated(times: usize, command: impl Fn() -> Command) -> Result<Sample, Fault> {
    let begin = now();
    let (took, usage) = metered_waited(|| {
        for _ in 0..times {
            succeed(command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        }
        Ok(begin.elapsed().as_secs_f64())
    })?;
    Ok(Sample::of(RATE, times as f64 / took).with_usage(times, usage))
}

fn minimal(stand: &Stand, dir: &Path, times: usize, held: bool) -> Result<Sample, Fault> {
    let queue = Queue::new(stand, dir)?;
    queue.does(&["enqueue", "-c", "true"])?;
    let (sql, database) = (insert_sql(&queue.database)?, text(&queue.database)?);
    let holder = Connection::open(&database)?;
    if held {
        holder.query_row("SELECT count(*) FROM job", [], |_| Ok(()))?;
    } else {
        holder.close().map_err(|(_, error)| error)?;
    }
    let program = stand.beside("queuectl-bench-insert");
    let next = std::cell::Cell::new(0);
    repeated(times, || {
        next.set(next.get() + 1);
        let mut command = Command::new(&program);
        command.args([&database, &sql.replace("{id}", &format!("floor-{}", next.get()))]);
        command
    })
}
