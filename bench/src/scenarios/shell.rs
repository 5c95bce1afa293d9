//! `shell` and `shell-argv`: many short commands that were enqueued beforehand, four at once, their output kept. From the
//! first start to the last settle.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::clock::now;
use crate::floors::{self, spawner};
use crate::meter::metered;
use crate::peers;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const WHOLE: &str = "whole process";

pub fn shell(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let jobs = jobs(stand);
    let about =
        format!("{jobs} jobs `echo hi` through /bin/sh -c, four at once, enqueued beforehand, output kept");
    let mut plan = Plan::new("shell", about, &[(RATE, "jobs/s"), (WHOLE, "jobs/s")]);
    plan.contender(ours(stand, r#"{"command":"echo hi"}"#));
    plan.contender(bare_spawner(stand, &["/bin/sh", "-c", "echo hi"]));
    plan.contender(Contender::new(
        Role::Floor,
        "xargs",
        "nothing outlives it but the files, which are not synced",
        "xargs -P4, one shell a job, its output in a file",
        move |dir| xargs(dir, jobs),
    ));
    plan.goal(Goal::ratio(RATE, "bare spawner", "xargs", Want::ValidIfAtLeast(1.0)));
    plan.goal(Goal::ratio(RATE, "queuectl", "bare spawner", Want::AtLeast(0.9)));
    plan.goal(Goal::ratio(RATE, "queuectl", "xargs", Want::AtLeast(0.95)));
    let wanted = [("HyperQueue", 2.0), ("task-spooler", 2.5), ("pueue", 100.0)];
    peers::join(&mut plan, stand, "shell", jobs, RATE, "queuectl", &wanted);
    Ok(plan)
}

pub fn argv(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let jobs = jobs(stand);
    let about =
        format!("{jobs} jobs `/bin/echo hi` as exact argv, four at once, enqueued beforehand, output kept");
    let mut plan = Plan::new("shell-argv", about, &[(RATE, "jobs/s"), (WHOLE, "jobs/s")]);
    plan.contender(ours(stand, r#"{"args":["/bin/echo","hi"]}"#));
    plan.contender(bare_spawner(stand, &["/bin/echo", "hi"]));
    plan.goal(Goal::ratio(RATE, "queuectl", "bare spawner", Want::AtLeast(0.9)));
    Ok(plan)
}

fn jobs(stand: &Stand) -> usize {
    stand.scale.pick(8, 1_000, 4_000)
}

fn ours<'a>(stand: &'a Stand, job: &'static str) -> Contender<'a> {
    Contender::new(
        Role::Ours,
        "queuectl",
        "every claim and settle synced (FULL); every attempt recorded with its output",
        "enqueue -; worker start --count 4 --drain",
        move |dir| run(stand, dir, job),
    )
}

fn run(stand: &Stand, dir: &Path, job: &str) -> Result<Sample, Fault> {
    let jobs = jobs(stand);
    let queue = Queue::new(stand, dir)?;
    // What enqueues uses CPU as well; peers are metered whole.
    let (whole, usage) = metered(|| {
        queue.enqueue((0..jobs).map(|_| job.to_owned()))?;
        let begin = now();
        queue.does(&["worker", "start", "--count", "4", "--drain"])?;
        Ok(begin.elapsed().as_secs_f64())
    })?;
    let ran = queue.ran()?;
    if (ran.attempts, ran.outputs) != (jobs as i64, jobs as i64) {
        return Err(format!("{jobs} jobs became {ran:?}").into());
    }
    let sample = Sample::of(RATE, jobs as f64 / ran.seconds).and(WHOLE, jobs as f64 / whole);
    Ok(sample.with_usage(jobs, usage))
}

fn bare_spawner<'a>(stand: &'a Stand, command: &'static [&'static str]) -> Contender<'a> {
    let jobs = jobs(stand);
    Contender::new(
        Role::Floor,
        "bare spawner",
        "nothing outlives it",
        format!(
            "one thread, {} children at once, posix_spawn, both streams read into memory",
            spawner::AT_ONCE
        ),
        move |_| {
            let count = jobs.to_string();
            let arguments = [&["spawn", &count, "--"], command].concat();
            let (seconds, usage) = metered(|| floors::seconds(stand, &arguments))?;
            Ok(Sample::of(RATE, jobs as f64 / seconds).with_usage(jobs, usage))
        },
    )
}

fn xargs(dir: &Path, jobs: usize) -> Result<Sample, Fault> {
    let names = dir.join("names");
    crate::product::write_lines(&names, (0..jobs).map(|n| n.to_string()))?;
    let begin = now();
    let ((), usage) = metered(|| {
        let mut xargs = Command::new("xargs");
        xargs.args(["-P4", "-I{}", "/bin/sh", "-c", "echo hi > {}"]).current_dir(dir);
        succeed(xargs.stdin(std::fs::File::open(&names)?).stdout(Stdio::null()))
    })?;
    Ok(Sample::of(RATE, jobs as f64 / begin.elapsed().as_secs_f64()).with_usage(jobs, usage))
}
