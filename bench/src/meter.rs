//! What a contender uses: CPU time of all its processes, and the memory of those that stay.
//!
//! This program makes itself the reaper of all its descendants, also of daemons that left their parents. A stretch is
//! over once none is left, so no CPU time is missed. Memory is looked at five times a second: the high-water marks of the
//! processes that were there at two looks, added up. So a job's own process does not count, and shared pages count twice.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::stand::Fault;

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// None if no process stayed long enough to be seen twice.
    pub peak_kib: Option<u64>,
}

/// Runs a contender and all that it leaves behind to the end.
pub fn metered<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<(T, Usage), Fault> {
    set_child_subreaper(true)?;
    reap_all()?;
    let before = children_cpu_seconds()?;
    let over = AtomicBool::new(false);
    let (result, peak_kib) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch_memory(&over));
        let result = run();
        over.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        (result, watch.join().unwrap_or_default())
    });
    if result.is_err() {
        // Nobody else ends the daemons of who failed, and whoever is measured next would wait for them.
        kill_descendants();
    }
    reap_all()?;
    let result = result?;
    Ok((result, Usage { cpu_seconds: children_cpu_seconds()? - before, peak_kib }))
}

/// Runs what starts processes and waits for each of them, while others go on that do not count. Memory is not looked at.
pub fn metered_waited<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<(T, Usage), Fault> {
    let before = children_cpu_seconds()?;
    let result = run()?;
    Ok((result, Usage { cpu_seconds: children_cpu_seconds()? - before, peak_kib: None }))
}

/// Runs what starts processes and waits for them; if that takes longer than this, all processes below this one are killed,
/// and those that it starts afterwards as well.
pub fn bounded<T>(patience: Duration, run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let (over, ended) = channel::<()>();
    let (result, late) = thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                kill_descendants();
                while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    kill_descendants();
                }
            }
            late
        });
        let result = run();
        drop(over);
        (result, watch.join().unwrap_or_default())
    });
    if late { Err(format!("not done within {} s", patience.as_secs()).into()) } else { result }
}

/// Again and again, for who is killed may just have started another.
fn kill_descendants() {
    const PASSES: usize = 10;
    for _ in 0..PASSES {
        for pid in descendants() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        thread::sleep(LOOK_INTERVAL / 10);
    }
}

fn reap_all() -> Result<(), Fault> {
    loop {
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn children_cpu_seconds() -> Result<f64, Fault> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn watch_memory(over: &AtomicBool) -> Option<u64> {
    let mut seen = BTreeMap::new();
    let mut peak = None;
    while !over.load(Ordering::Relaxed) {
        thread::park_timeout(LOOK_INTERVAL);
        let now: BTreeMap<u32, u64> =
            descendants().into_iter().filter_map(|pid| Some((pid, field(pid, "VmHWM:")?))).collect();
        let staying: u64 = now.iter().filter(|(pid, _)| seen.contains_key(*pid)).map(|(_, kib)| kib).sum();
        if staying > 0 {
            peak = peak.max(Some(staying));
        }
        seen = now;
    }
    peak
}

/// All processes below this one.
pub fn descendants() -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![std::process::id()];
    while let Some(pid) = open.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        if pid != std::process::id() {
            found.push(pid);
        }
    }
    found
}

/// A number from a process's status.
pub fn field(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        let mut command = Command::new("/bin/sh");
        // Who reads the output waits for the sleepers as well.
        command.args(["-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"]);
        let late = bounded(Duration::from_millis(50), || Ok(command.output()?)).expect_err("it hangs");
        assert!(late.to_string().starts_with("not done within"), "{late}");
        let quick = bounded(Duration::from_secs(60), || Ok(Command::new("/bin/true").status()?));
        assert!(quick.expect("it is done").success());
        // Whoever fails at once may have left somebody behind.
        let orphans = || -> Result<(), Fault> {
            Command::new("/bin/sh").args(["-c", "setsid sleep 1000 & exit 1"]).status()?;
            Err("failed".into())
        };
        let failed = bounded(Duration::from_secs(60), || metered(orphans)).expect_err("it failed");
        assert_eq!(failed.to_string(), "failed");
    }
}
