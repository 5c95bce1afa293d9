//! `idle`: what a worker and its keeper use while there is nothing to do.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::clock::now;
use crate::meter::{descendants, field};
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::Queue;
use crate::stand::{Fault, Stand};

const CPU: &str = "CPU";
const WAKEUPS: &str = "wake-ups";
const RESIDENT: &str = "resident";

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let span = Duration::from_secs(stand.scale.pick(1, 10, 60));
    let about = format!("a worker and its keeper, an empty store, {} s", span.as_secs());
    let mut plan =
        Plan::new("idle", about, &[(CPU, "% of a core"), (WAKEUPS, "a second"), (RESIDENT, "MiB together")]);
    plan.contender(Contender::new(Role::Ours, "queuectl", "-", "worker start --count 4", move |dir| {
        let queue = Queue::new(stand, dir)?;
        let worker = queue.worker(&["--count", "4"])?;
        // It has looked around once, and what a first job needs is there.
        queue.does(&["run", "true"])?;
        thread::sleep(Duration::from_secs(1));
        let pids = descendants();
        let (begin, before) = (now(), Used::of(&pids));
        thread::sleep(span);
        let (after, seconds) = (Used::of(&pids), begin.elapsed().as_secs_f64());
        let resident: u64 = pids.iter().filter_map(|pid| field(*pid, "VmRSS:")).sum();
        worker.stop()?;
        Ok(Sample::of(CPU, (after.cpu_ns - before.cpu_ns) as f64 / 1e9 / seconds * 100.0)
            .and(WAKEUPS, (after.wakeups - before.wakeups) as f64 / seconds)
            .and(RESIDENT, resident as f64 / 1024.0))
    }));
    plan.goal(Goal::bound(CPU, "queuectl", Want::AtMost(0.1)));
    plan.goal(Goal::bound(WAKEUPS, "queuectl", Want::AtMost(2.0)));
    plan.goal(Goal::bound(RESIDENT, "queuectl", Want::AtMost(15.0)));
    Ok(plan)
}

/// What all threads of some processes have used so far.
#[derive(Default)]
struct Used {
    cpu_ns: u64,
    wakeups: u64,
}

impl Used {
    fn of(pids: &[u32]) -> Used {
        let mut used = Used::default();
        for pid in pids {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                used.cpu_ns += number(&task.path().join("schedstat"), "");
                used.wakeups += number(&task.path().join("status"), "voluntary_ctxt_switches:");
            }
        }
        used
    }
}

/// The first number of the line that begins so.
fn number(path: &Path, begin: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found =
        text.lines().find_map(|line| line.strip_prefix(begin)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or_default()
}
