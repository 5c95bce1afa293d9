//! Programs beside this one, and what the kernel tells of processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// No wait is longer; what is not so by then is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(3);

/// A program that was built beside this one.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = here.with_file_name(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!("there is no {name} beside this program; `./test faults` builds it first"))
}

/// The machine's own time, for what has to be waited for or measured.
#[expect(clippy::disallowed_methods, reason = "figures with real processes live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until something is so, which nothing can signal.
pub fn until(what: &str, so: impl FnMut() -> bool) -> Result<Duration, String> {
    within(PATIENCE, what, so)
}

/// The same with a bound of its own. Tells how long it took.
pub fn within(bound: Duration, what: &str, mut so: impl FnMut() -> bool) -> Result<Duration, String> {
    let begin = now();
    while !so() {
        if begin.elapsed() > bound {
            return Err(format!("not within {bound:?}: {what}"));
        }
        thread::sleep(LOOK);
    }
    Ok(begin.elapsed())
}

/// One process, as `/proc` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub is_zombie: bool,
    pub is_stopped: bool,
    /// For people.
    pub name: String,
}

pub fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub fn process(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let (before, rest) = stat.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let (is_zombie, is_stopped) = (["Z", "X"].contains(&state), ["T", "t"].contains(&state));
    Some(Process { pid, parent, is_zombie, is_stopped, name })
}

/// Zombies too.
pub fn children_of(pid: u32) -> Vec<Process> {
    pids().into_iter().filter_map(process).filter(|found| found.parent == pid).collect()
}

/// Processes that work in this directory or below it, whatever their environment says.
pub fn living_in(dir: &Path) -> Vec<Process> {
    let works_there =
        |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|found| found.starts_with(dir));
    pids().into_iter().filter(works_there).filter_map(process).filter(|found| !found.is_zombie).collect()
}

/// The child of a process that was started as a keeper.
pub fn keeper_of(worker: u32) -> Result<u32, String> {
    let mut found = None;
    until("the worker has a keeper", || {
        let is_keeper = |child: &Process| {
            fs::read(format!("/proc/{}/cmdline", child.pid))
                .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == b"keeper"))
        };
        found = children_of(worker).into_iter().find(is_keeper);
        found.is_some()
    })?;
    found.map(|keeper| keeper.pid).ok_or_else(|| "it has gone again".to_owned())
}

pub fn descriptors_of(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Forgets the most memory that a process ever had resident, and gives what it has now, in KiB.
pub fn forget_memory_peak(pid: u32) -> io::Result<u64> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    status(pid, "VmRSS").and_then(|kib| kib.parse().ok()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The most memory that a process had resident since that was forgotten, in KiB.
pub fn memory_peak_kib(pid: u32) -> io::Result<u64> {
    status(pid, "VmHWM").and_then(|kib| kib.parse().ok()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A set of signals that the kernel tells of a process, such as those that it blocks.
pub fn signals(pid: u32, which: &str) -> Option<u64> {
    u64::from_str_radix(&status(pid, which)?, 16).ok()
}

/// The first word of a line of a process's status.
fn status(pid: u32, line: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rest = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    rest.split_ascii_whitespace().next().map(str::to_owned)
}

/// Sends a signal to one of our own.
pub fn signal(pid: u32, what: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process(pid, what);
    }
}

/// That part of the values, sorted before, which so many of a hundred do not pass.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
