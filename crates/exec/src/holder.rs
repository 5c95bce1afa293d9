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
        assert!(!is_held_by(dir.path(), Kind::Worker, "w", std::os::unix::process::parent_id()));
    }
}
