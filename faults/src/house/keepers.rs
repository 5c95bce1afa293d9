//! Keepers of a run directory, found by their command lines and held by what the kernel does not give to another process.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub struct Keeper {
    pub parent: u32,
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
    if !is_keeper_of(pid, run_dir) {
        return None;
    }
    let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Again, now that the number cannot pass to another.
    let still = is_keeper_of(pid, run_dir);
    Some(Keeper { parent: parent(pid)?, handle }).filter(|_| still)
}

fn is_keeper_of(pid: i32, run_dir: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').collect();
    let named = words.iter().position(|word| *word == "--run-dir").and_then(|at| words.get(at + 1));
    words.get(1) == Some(&"keeper") && named.is_some_and(|dir| Path::new(dir) == run_dir)
}

fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(1)?.parse().ok()
}
