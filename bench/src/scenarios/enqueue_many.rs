//! `enqueue-many`: sixteen enqueuing processes at once beside a worker that works, and one alone beside the same.

use std::path::Path;
use std::process::Stdio;
use std::thread;

use super::library::quantile;
use crate::clock::now;
use crate::meter::metered_waited;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const P50: &str = "p50";
const P99: &str = "p99";
const MANY: usize = 16;

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let jobs = stand.scale.pick(16, 160, 1_600);
    let about = format!("{jobs} jobs, a process each, beside a worker that runs them");
    let mut plan = Plan::new("enqueue-many", about, &[(RATE, "jobs/s"), (P50, "ms"), (P99, "ms")]);
    for (name, at_once) in [("sixteen at once", MANY), ("one alone", 1)] {
        plan.contender(Contender::new(
            Role::Ours,
            name,
            "synced in full before each process ends",
            "enqueue -- true; worker start --count 2",
            move |dir| run(stand, dir, at_once, jobs),
        ));
    }
    plan.goal(Goal::ratio(RATE, "sixteen at once", "one alone", Want::AtLeast(1.3)));
    plan.goal(Goal::bound(P99, "sixteen at once", Want::AtMost(50.0)));
    Ok(plan)
}

fn run(stand: &Stand, dir: &Path, at_once: usize, jobs: usize) -> Result<Sample, Fault> {
    let queue = Queue::new(stand, dir)?;
    let worker = queue.worker(&["--count", "2"])?;
    let each = || -> Result<Vec<f64>, Fault> {
        let one = |_| -> Result<f64, Fault> {
            let begin = now();
            let mut command = queue.command(&["enqueue", "--", "true"]);
            succeed(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
            Ok(begin.elapsed().as_secs_f64() * 1e3)
        };
        (0..jobs / at_once).map(one).collect()
    };
    let begin = now();
    let (times, usage) = metered_waited(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(each)).collect();
            let mut times = Vec::new();
            for thread in threads {
                times.extend(thread.join().map_err(|_| "an enqueuing thread panicked")??);
            }
            Ok(times)
        })
    })?;
    let took = begin.elapsed().as_secs_f64();
    worker.stop()?;
    let sample = Sample::of(RATE, times.len() as f64 / took);
    Ok(sample.and(P50, quantile(&times, 0.5)).and(P99, quantile(&times, 0.99)).with_usage(times.len(), usage))
}
