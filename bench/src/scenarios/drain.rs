//! `drain`: jobs that do nothing, run by a function of the process, against claims and completions by hand.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use queuectl::{Access, Client, OnCrash, Worker, WorkerOptions};
use rusqlite::Connection;

use super::floors::text;
use crate::clock::now;
use crate::floors::{COUNT_AT_ONCE, seconds};
use crate::meter::metered;
use crate::peers;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const FLOOR: &str = "raw SQLite, 1,000";
const KIND: &str = "nothing";
const IN_FLIGHT: usize = 1_000;
/// Put in by one transaction.
const STEP: usize = 10_000;

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let jobs: usize = stand.scale.pick(200, 20_000, 200_000);
    let about = format!("{jobs} jobs that do nothing, {IN_FLIGHT} in flight, an attempt's row each");
    let mut plan = Plan::new("drain", about, &[(RATE, "jobs/s")]);
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl",
        "synced in full; every attempt recorded",
        format!("Worker::handler with {IN_FLIGHT} slots, a runtime of one thread, in a process of its own"),
        move |dir| {
            let database = dir.join("queue.db");
            fill(&database, jobs)?;
            let arguments = ["drain-part", &text(&database)?].map(str::to_owned);
            let (seconds, usage) = metered(|| {
                let output = Command::new(&stand.bench).args(&arguments).stderr(Stdio::inherit()).output()?;
                if !output.status.success() {
                    return Err(format!("the drain ended with {}", output.status).into());
                }
                Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()?)
            })?;
            check(&database, jobs)?;
            Ok(Sample::of(RATE, jobs as f64 / seconds).with_usage(jobs, usage))
        },
    ));
    for (name, batch, counts, counting) in [
        (FLOOR, "1000", Some(COUNT_AT_ONCE), "counted once a transaction"),
        ("raw SQLite, 100", "100", Some(COUNT_AT_ONCE), "counted once a transaction"),
        ("raw SQLite, 1,000, triggers", "1000", None, "counted by the triggers, row by row"),
    ] {
        plan.contender(Contender::new(
            Role::Floor,
            name,
            "each transaction synced in full",
            format!(
                "claims and completes on our schema, {counting}; prepared, {batch} a transaction, an attempt's row each"
            ),
            move |dir| {
                let database = dir.join("queue.db");
                fill(&database, jobs)?;
                let store = text(&database)?;
                let arguments: Vec<&str> = ["complete", &store, batch].into_iter().chain(counts).collect();
                let (seconds, usage) = metered(|| seconds(stand, &arguments))?;
                check(&database, jobs)?;
                Ok(Sample::of(RATE, jobs as f64 / seconds).with_usage(jobs, usage))
            },
        ));
    }
    plan.goal(Goal::ratio(RATE, "queuectl", FLOOR, Want::AtLeast(0.5)));
    plan.goal(Goal::ratio(RATE, "queuectl", "raw SQLite, 100", Want::Told));
    plan.goal(Goal::ratio(RATE, "queuectl", "raw SQLite, 1,000, triggers", Want::Told));
    peers::join(&mut plan, stand, "drain", jobs, RATE, "queuectl", &[("bunqueue", 50.0)]);
    Ok(plan)
}

/// A store with so many jobs for the handler.
fn fill(database: &Path, jobs: usize) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = open(database).await?;
        let one = client.task(KIND, queuectl::core::queue::QueueName::default(), None).await?;
        for at in (0..jobs).step_by(STEP) {
            let made = |_| queuectl::core::job::NewJob { id: client.next_id(), ..one.clone() };
            client.insert((0..STEP.min(jobs - at)).map(made).collect()).await?;
        }
        Ok(())
    })
}

/// Every one of them was run, and its attempt recorded.
fn check(database: &Path, jobs: usize) -> Result<(), Fault> {
    let attempts: i64 = Connection::open(database)?.query_row(
        "SELECT count(*) FROM attempt WHERE outcome = 'exited' AND exit_number = 0",
        [],
        |row| row.get(0),
    )?;
    if attempts == jobs as i64 { Ok(()) } else { Err(format!("{attempts} attempts of {jobs} jobs").into()) }
}

/// Drains a store in this process; how long it took.
pub fn run(database: &Path) -> Result<Duration, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = now();
        let worker = Worker::register(open(database).await?, options()).await?;
        let (_stop, stopped) = tokio::sync::watch::channel(None);
        worker.handler(KIND, async |_| Ok(Vec::new())).run(stopped).await?;
        Ok(begin.elapsed())
    })
}

async fn open(database: &Path) -> Result<Client, Fault> {
    Ok(Client::open(database, Access::Write).await?.ok_or("a store that is opened for writing is made")?)
}

fn options() -> WorkerOptions {
    WorkerOptions {
        slots: IN_FLIGHT,
        queues: Vec::new(),
        only: None,
        drain: true,
        environment: Vec::new(),
        home: b"/".to_vec(),
        program: "queuectl".into(),
        umask: 0o022,
        on_crash: OnCrash::Kill,
        host: "bench".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
