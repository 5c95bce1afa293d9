//! `idle`: what a worker and its keeper use while there is nothing to do.

use std::collections::HashMap;
use std::ffi::OsString;
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
        let (begin, before) = (now(), threads(&pids));
        thread::sleep(span);
        let (used, seconds) = (used(&before, &threads(&pids)), begin.elapsed().as_secs_f64());
        let resident: u64 = pids.iter().filter_map(|pid| field(*pid, "VmRSS:")).sum();
        worker.stop()?;
        Ok(Sample::of(CPU, used.cpu_ns as f64 / 1e9 / seconds * 100.0)
            .and(WAKEUPS, used.wakeups as f64 / seconds)
            .and(RESIDENT, resident as f64 / 1024.0))
    }));
    plan.goal(Goal::bound(CPU, "queuectl", Want::AtMost(0.1)));
    plan.goal(Goal::bound(WAKEUPS, "queuectl", Want::AtMost(2.0)));
    plan.goal(Goal::bound(RESIDENT, "queuectl", Want::AtMost(15.0)));
    Ok(plan)
}

/// What a thread has used so far.
#[derive(Clone, Copy, Default)]
struct Used {
    cpu_ns: u64,
    wakeups: u64,
}

/// All threads of some processes, by their ids.
fn threads(pids: &[u32]) -> HashMap<OsString, Used> {
    let tasks = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten();
    let used = |task: &Path| Used {
        cpu_ns: number(&task.join("schedstat"), ""),
        wakeups: number(&task.join("status"), "voluntary_ctxt_switches:"),
    };
    tasks.flatten().map(|task| (task.file_name(), used(&task.path()))).collect()
}

/// What they have used between. A thread that has ended meanwhile takes with it what it used, before too.
fn used(before: &HashMap<OsString, Used>, after: &HashMap<OsString, Used>) -> Used {
    after.iter().fold(Used::default(), |sum, (id, now)| {
        let then = before.get(id).copied().unwrap_or_default();
        Used {
            cpu_ns: sum.cpu_ns + now.cpu_ns.saturating_sub(then.cpu_ns),
            wakeups: sum.wakeups + now.wakeups.saturating_sub(then.wakeups),
        }
    })
}

/// The first number of the line that begins so.
fn number(path: &Path, begin: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found =
        text.lines().find_map(|line| line.strip_prefix(begin)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_hides_nothing_of_the_others() {
        let of = |threads: &[(&str, u64)]| -> HashMap<OsString, Used> {
            let used = |wakeups: u64| Used { cpu_ns: 10 * wakeups, wakeups };
            threads.iter().map(|(id, wakeups)| (OsString::from(id), used(*wakeups))).collect()
        };
        let between = used(&of(&[("1", 5), ("2", 100)]), &of(&[("1", 8), ("3", 4)]));
        assert_eq!((between.wakeups, between.cpu_ns), (7, 70));
    }
}
