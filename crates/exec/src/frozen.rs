//! Processes that are frozen (SIGSTOP, Ctrl-Z): they hear no request to end, so whoever must end them ends them.

use crate::holder::{holder, holder_pid};
use crate::procfs::{Process, Signalled, signal};
use crate::rundir::Kind;
use rustix::process::Signal;
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

/// Lets the holder of this lock go on if it is frozen; tells its pid if it was.
pub fn thaw(run_dir: &Path, kind: Kind, id: &str) -> Option<u32> {
    let pid = holder_pid(run_dir, kind, id)?;
    let holder = frozen_holder(run_dir, kind, id, pid)?;
    matches!(signal(holder.id, Signal::CONT), Signalled::Sent).then_some(pid)
}

fn frozen_holder(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> Option<Process> {
    holder(run_dir, kind, id, pid).filter(|found| found.frozen)
}
