//! Keepers of a run directory, found by their command lines and held by what the kernel does not give to another process.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub struct Keeper {
    pub parent: u32,
    /// As workers tell of it.
    pub id: String,
    handle: OwnedFd,
}

impl Keeper {
    pub fn kill(&self) {
        // It may be gone already.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

/// All that live.
pub fn keepers(run_dir: &Path) -> Vec<Keeper> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| keeper(pid, run_dir)).collect()
}

fn keeper(pid: i32, run_dir: &Path) -> Option<Keeper> {
    let id = id_of_keeper(pid, run_dir)?;
    let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let parent = parent(pid)?;
    // Again, now that the number cannot pass to another.
    let still = id_of_keeper(pid, run_dir).as_ref() == Some(&id);
    still.then_some(Keeper { parent, id, handle })
}

/// If that is a keeper, of this run directory.
fn id_of_keeper(pid: i32, run_dir: &Path) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').collect();
    let option = |name| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    let is_of = words.get(1) == Some(&"keeper") && option("--run-dir").map(Path::new) == Some(run_dir);
    option("--id").filter(|_| is_of).map(|id| (*id).to_owned())
}

fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(1)?.parse().ok()
}
