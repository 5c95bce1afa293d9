//! `bulk`: very many jobs as lines of JSON on standard input, against an insert of the same rows that are in memory.

use std::fs::File;
use std::process::Stdio;

use super::floors::text;
use crate::clock::now;
use crate::floors::{COUNT_AT_ONCE, seconds};
use crate::meter::metered;
use crate::peers;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed, write_lines};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const FLOOR: &str = "raw SQLite, 1,000";

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let jobs: usize = stand.scale.pick(100, 20_000, 1_000_000);
    let about = format!("{jobs} jobs with ids of their own as JSON lines on standard input");
    let mut plan = Plan::new("bulk", about, &[(RATE, "jobs/s")]);
    // One input and one store to take the rows from, for all rounds.
    let shared = tempfile::tempdir()?;
    let input = shared.path().join("jobs");
    write_lines(&input, (0..jobs).map(|n| format!(r#"{{"id":"job-{n}","command":"echo {n}"}}"#)))?;
    let source = Queue::new(stand, shared.path())?;
    succeed(source.command(&["enqueue", "-"]).stdin(File::open(&input)?).stdout(Stdio::null()))?;
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl",
        "all or none, synced in full",
        "enqueue - < file; into a new store",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            let mut command = queue.command(&["enqueue", "-"]);
            command.stdin(File::open(&input)?).stdout(Stdio::null()).stderr(Stdio::null());
            let begin = now();
            let ((), usage) = metered(|| succeed(&mut command))?;
            Ok(Sample::of(RATE, jobs as f64 / begin.elapsed().as_secs_f64()).with_usage(jobs, usage))
        },
    ));
    let from = text(&source.database)?;
    for (name, batch, counts, counting) in [
        (FLOOR, "1000", Some(COUNT_AT_ONCE), "counted once a transaction"),
        ("raw SQLite, 10,000", "10000", Some(COUNT_AT_ONCE), "counted once a transaction"),
        ("raw SQLite, 1,000, triggers", "1000", None, "counted by the triggers, row by row"),
    ] {
        let from = from.clone();
        plan.contender(Contender::new(
            Role::Floor,
            name,
            "each transaction synced in full",
            format!("the same rows and indexes, {counting}; prepared, {batch} a transaction"),
            move |dir| {
                let into = text(&Queue::new(stand, dir)?.database)?;
                let arguments: Vec<&str> =
                    ["insert", &from, &into, batch].into_iter().chain(counts).collect();
                let (seconds, usage) = metered(|| seconds(stand, &arguments))?;
                Ok(Sample::of(RATE, jobs as f64 / seconds).with_usage(jobs, usage))
            },
        ));
    }
    plan.keeps(shared);
    plan.goal(Goal::ratio(RATE, "queuectl", FLOOR, Want::AtLeast(0.5)));
    plan.goal(Goal::ratio(RATE, "queuectl", "raw SQLite, 10,000", Want::Told));
    plan.goal(Goal::ratio(RATE, "queuectl", "raw SQLite, 1,000, triggers", Want::Told));
    peers::join(&mut plan, stand, "bulk", jobs, RATE, "queuectl", &[("bunqueue", 5.0)]);
    Ok(plan)
}
