//! Processes that are frozen (SIGSTOP, Ctrl-Z): they hear no request to end, so whoever must end them ends them.

use crate::procfs::{Process, Signalled, process, signal};
use crate::rundir::{Kind, lock_name};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether the holder of this lock, which says that it has this pid, is frozen.
pub fn is_frozen(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> bool {
    frozen_holder(run_dir, kind, id, pid).is_some()
}

/// Kills the holder of this lock if it is frozen; true if it was. Nobody else can be hit: a pid alone proves nothing.
pub fn kill_frozen(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> bool {
    let Some(holder) = frozen_holder(run_dir, kind, id, pid) else { return false };
    matches!(signal(holder.id, Signal::KILL), Signalled::Sent)
}

fn frozen_holder(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> Option<Process> {
    let holder = process(i32::try_from(pid).ok()?).filter(|found| found.frozen)?;
    let lock = fs::metadata(run_dir.join(lock_name(kind, id))).ok()?;
    let is_lock = |entry: fs::DirEntry| {
        fs::metadata(entry.path()).is_ok_and(|open| (open.dev(), open.ino()) == (lock.dev(), lock.ino()))
    };
    let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    open.any(|entry| entry.is_ok_and(is_lock)).then_some(holder)
}
