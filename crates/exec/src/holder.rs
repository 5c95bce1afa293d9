//! Who holds a lock: a pid alone proves nothing, for it may be another machine's, another container's, or a later one's.

use crate::procfs::{Process, process};
use crate::rundir::{Kind, lock_name};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether the process that has this pid here has this lock's file open.
pub fn is_held_by(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> bool {
    holder(run_dir, kind, id, pid).is_some()
}

/// That process, if it has.
pub(crate) fn holder(run_dir: &Path, kind: Kind, id: &str, pid: u32) -> Option<Process> {
    let holder = process(i32::try_from(pid).ok()?)?;
    let lock = fs::metadata(run_dir.join(lock_name(kind, id))).ok()?;
    let is_lock = |entry: fs::DirEntry| {
        fs::metadata(entry.path()).is_ok_and(|open| (open.dev(), open.ino()) == (lock.dev(), lock.ino()))
    };
    let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    open.any(|entry| entry.is_ok_and(is_lock)).then_some(holder)
}

/// Who the kernel says holds this lock, if that can be seen from here.
pub fn holder_pid(run_dir: &Path, kind: Kind, id: &str) -> Option<u32> {
    let inode = fs::metadata(run_dir.join(lock_name(kind, id))).ok()?.ino().to_string();
    // `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(4);
        let pid = words.next()?.parse().ok()?;
        (words.next()?.rsplit(':').next()? == inode).then_some(pid)
    };
    // Another file system may have the same number.
    locks.lines().filter_map(pid).find(|pid| is_held_by(run_dir, kind, id, *pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rundir::lock;

    #[test]
    fn only_who_has_the_file_open_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let me = std::process::id();
        assert!(!is_held_by(dir.path(), Kind::Worker, "w", me), "there is no such lock");
        let _lock = lock(dir.path(), Kind::Worker, "w").unwrap();
        assert!(is_held_by(dir.path(), Kind::Worker, "w", me));
        assert_eq!(holder_pid(dir.path(), Kind::Worker, "w"), Some(me));
        assert!(!is_held_by(dir.path(), Kind::Worker, "w", std::os::unix::process::parent_id()));
    }
}
