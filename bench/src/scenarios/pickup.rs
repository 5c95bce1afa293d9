//! `pickup` and `loaded-pickup`: how long after its enqueue a job starts. The job is a program that writes down when it
//! was started; this process enqueues.
//!
//! A commit can be seen from neither side, but it lies between the call of the enqueue and its answer. So both are told:
//! from the call, which counts the sync and is too much, and from the answer, which may be too little.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use queuectl::Enqueuer;

use super::floors::text;
use super::library::{Library, quantile, request};
use crate::clock::{epoch_ns, now};
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const P50: &str = "p50 from answer";
const P99: &str = "p99 from answer";
const CALL_P50: &str = "p50 from call";
const CALL_P99: &str = "p99 from call";
const FIGURES: [(&str, &str); 4] = [(P50, "ms"), (P99, "ms"), (CALL_P50, "ms"), (CALL_P99, "ms")];
const STAMP_MAX: Duration = Duration::from_secs(30);
const SYNCED: &str = "every commit synced in full";
const LOAD_PER_SECOND: u32 = 300;

pub fn idle(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let times = stand.scale.pick(3, 50, 200);
    let about =
        format!("{times} times one enqueue, a worker that is idle, and how long until the job has started");
    let mut plan = Plan::new("pickup", about, &FIGURES);
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl",
        SYNCED,
        "enqueued through the library from another process; worker start",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            let worker = queue.worker(&[])?;
            let library = Library::open(&queue.database)?;
            let sample = one_by_one(stand, dir, times, |arguments| library.enqueue(arguments))?;
            drop(library);
            worker.stop()?;
            Ok(sample)
        },
    ));
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl enqueue",
        SYNCED,
        "enqueued by the command; from the start of its process, and from its end",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            let worker = queue.worker(&[])?;
            let sample = one_by_one(stand, dir, times, |arguments| {
                let mut command = queue.command(&["enqueue", "--"]);
                succeed(command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()))
            })?;
            worker.stop()?;
            Ok(sample)
        },
    ));
    plan.contender(Contender::new(
        Role::Floor,
        "bare spawn",
        "nothing outlives it",
        "this process starts the same program; from the call, and from its answer",
        move |dir| {
            let mut children = Vec::new();
            let sample = one_by_one(stand, dir, times, |arguments| {
                let (program, arguments) = arguments.split_first().ok_or("no program")?;
                children.push(Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?);
                Ok(())
            })?;
            for mut child in children {
                child.wait()?;
            }
            Ok(sample)
        },
    ));
    plan.goal(Goal::bound(P50, "queuectl", Want::AtMost(2.0)));
    plan.goal(Goal::bound(P99, "queuectl", Want::AtMost(5.0)));
    plan.goal(Goal::bound(CALL_P50, "queuectl", Want::Told));
    Ok(plan)
}

/// Starts one job after the other, each once the last has been seen and the worker is idle again.
fn one_by_one(
    stand: &Stand,
    dir: &Path,
    times: usize,
    mut start: impl FnMut(&[&str]) -> Result<(), Fault>,
) -> Result<Sample, Fault> {
    let (stamp, file) = (text(&stand.beside("queuectl-bench-stamp"))?, dir.join("stamps"));
    let path = text(&file)?;
    let mut around = Vec::new();
    for n in 0..times {
        let called = epoch_ns();
        start(&[&stamp, &path, &n.to_string()])?;
        around.push((called, epoch_ns()));
        let seen = wait_for_stamps(&file, n + 1);
        seen?;
        // Long enough for its settle.
        thread::sleep(Duration::from_millis(30));
    }
    Ok(sample(&around, &wait_for_stamps(&file, times)?))
}

pub fn loaded(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let seconds = stand.scale.pick(1, 3, 10);
    let times = stand.scale.pick(10, 300 * 3, 300 * 10);
    let about = format!(
        "{LOAD_PER_SECOND} enqueues a second for {seconds} s, and how long until each job has started"
    );
    let mut plan = Plan::new("loaded-pickup", about, &FIGURES);
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl",
        SYNCED,
        "enqueued through the library from another process; worker start --count 4",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            let worker = queue.worker(&["--count", "4"])?;
            let library = Library::open(&queue.database)?;
            let sample = under_load(stand, dir, &library, times)?;
            drop(library);
            worker.stop()?;
            Ok(sample)
        },
    ));
    plan.goal(Goal::bound(P99, "queuectl", Want::AtMost(20.0)));
    plan.goal(Goal::bound(CALL_P99, "queuectl", Want::Told));
    Ok(plan)
}

fn under_load(stand: &Stand, dir: &Path, library: &Library, times: usize) -> Result<Sample, Fault> {
    let (stamp, file) = (text(&stand.beside("queuectl-bench-stamp"))?, dir.join("stamps"));
    let path = text(&file)?;
    let tick = Duration::from_secs(1) / LOAD_PER_SECOND;
    let around = library.block_on(tokio::task::LocalSet::new().run_until(async {
        let mut ticks = tokio::time::interval(tick);
        let mut tasks = Vec::new();
        for n in 0..times {
            ticks.tick().await;
            let (client, job) = (library.client.clone(), request(&[&stamp, &path, &n.to_string()]));
            tasks.push(tokio::task::spawn_local(async move {
                let called = epoch_ns();
                client.enqueue(vec![job], &Enqueuer::default()).await.map(|_| (called, epoch_ns()))
            }));
        }
        let mut around = Vec::new();
        for task in tasks {
            around.push(task.await??);
        }
        Ok::<_, Fault>(around)
    }))?;
    Ok(sample(&around, &wait_for_stamps(&file, times)?))
}

/// When each job was started, by its name.
fn wait_for_stamps(file: &Path, count: usize) -> Result<BTreeMap<usize, u128>, Fault> {
    let begin = now();
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            let stamp = |line: &str| {
                let (name, ns) = line.split_once(' ')?;
                Some((name.parse().ok()?, ns.parse().ok()?))
            };
            return Ok(text.lines().filter_map(stamp).collect());
        }
        if begin.elapsed() > STAMP_MAX {
            return Err(format!("{} of {count} jobs started", text.lines().count()).into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn sample(around: &[(u128, u128)], stamps: &BTreeMap<usize, u128>) -> Sample {
    let after = |pick: fn(&(u128, u128)) -> u128| -> Vec<f64> {
        let ms = |(n, stamp): (&usize, &u128)| Some((*stamp as f64 - pick(around.get(*n)?) as f64) / 1e6);
        stamps.iter().filter_map(ms).collect()
    };
    let (from_call, from_answer) = (after(|(call, _)| *call), after(|(_, answer)| *answer));
    Sample::of(P50, quantile(&from_answer, 0.5))
        .and(P99, quantile(&from_answer, 0.99))
        .and(CALL_P50, quantile(&from_call, 0.5))
        .and(CALL_P99, quantile(&from_call, 0.99))
}
