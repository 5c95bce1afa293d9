//! The line of those who want to write: whose turn it is.
//!
//! SQLite's lock has no line: whoever happens to ask while it is free gets it, and in a crowd somebody is unlucky for long.
//! So a writer first waits here until all who came before it are through. This is a matter of order only: SQLite's lock
//! still keeps writers apart, and some take that one without standing here. Whoever cannot stand in line, for there is no
//! run directory or it is not his, or finds that the line does not move, tries his luck with the others.
//!
//! The line is a file in the run directory, of which no byte is ever written. A place in it is one locked byte, at the
//! number of the nanosecond in which its holder came; whose turn it is has locked all bytes up to his own, which the places
//! of those who came before would not let him. So nobody can push in, as he can where waiters sleep in the kernel: there
//! whoever asks while the first of them still wakes is served, and the first becomes the last. The kernel drops the locks
//! of the dead.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::clock::{Deadline, since_start};

/// The right to be the next who writes, until it is dropped.
pub struct Turn {
    _place: Place,
}

impl Turn {
    /// Waits for its turn, but no longer than this. None where there is no line.
    pub fn take(run_dir: &Path, bound: Duration) -> Option<Turn> {
        /// Microseconds before each time but the first; the last one stays. It has no bearing on the order.
        const PAUSES: [u64; 3] = [250, 500, 1000];
        let mut place = Place::in_line(run_dir)?;
        let mut pauses = PAUSES.into_iter().chain(std::iter::repeat(PAUSES[PAUSES.len() - 1]));
        let deadline = Deadline::after(bound);
        while !place.is_first()? {
            if deadline.has_passed() {
                // Somebody in front is stopped, or writes for very long. A new file is a new line, without him.
                let _ = fs::remove_file(run_dir.join(FILE));
                return None;
            }
            thread::sleep(Duration::from_micros(pauses.next().unwrap_or_default()));
        }
        Some(Turn { _place: place })
    }
}

/// In the run directory.
const FILE: &str = "line";

/// A place in the line; whoever drops it leaves.
struct Place {
    file: File,
    number: i64,
    /// Whether its byte is locked, for one whose turn has not come.
    kept: bool,
}

impl Place {
    /// The end of the line, if that can be reached.
    fn in_line(run_dir: &Path) -> Option<Place> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(run_dir.join(FILE)).ok()?;
        Some(Place { file, number: since_start(), kept: false })
    }

    /// Whether all who came before are gone; then it stays so. Whoever asks in vain has his place from then on. None where the
    /// file system knows no such locks.
    fn is_first(&mut self) -> Option<bool> {
        if self.lock(0, self.number + 1)? {
            return Some(true);
        }
        if !self.kept {
            // Anew: whose turn it is may have come a moment later, and has the byte of an older number.
            self.number = since_start();
            self.kept = self.lock(self.number, 1)?;
        }
        Some(false)
    }

    fn lock(&self, start: i64, bytes: i64) -> Option<bool> {
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: bytes,
            l_pid: 0,
        };
        // Of the open file, not of the process: its threads stand in line like others.
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Some(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Some(false),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn is_first(place: &mut Place) -> bool {
        place.is_first().expect("locks")
    }

    fn place(dir: &tempfile::TempDir) -> Place {
        Place::in_line(dir.path()).expect("a line")
    }

    #[test]
    fn whoever_came_first_is_served_first() {
        let dir = directory();
        let mut first = place(&dir);
        assert!(is_first(&mut first));
        let (mut second, mut third) = (place(&dir), place(&dir));
        assert!(!is_first(&mut second) && !is_first(&mut third));
        drop(first);
        // The lock is free, and the one whose turn it is has not noticed yet.
        let mut pushing = place(&dir);
        assert!(!is_first(&mut pushing) && !is_first(&mut third));
        assert!(is_first(&mut second));
        drop(second);
        assert!(!is_first(&mut pushing));
        assert!(is_first(&mut third));
        drop(third);
        assert!(is_first(&mut pushing));
    }

    #[test]
    fn whoever_comes_while_a_later_one_writes_still_gets_his_place() {
        let dir = directory();
        let (mut early, mut late) = (place(&dir), place(&dir));
        assert!(is_first(&mut late));
        let mut new = place(&dir);
        assert!(!is_first(&mut early) && !is_first(&mut new));
        drop(late);
        assert!(!is_first(&mut new));
        assert!(is_first(&mut early));
    }

    #[test]
    fn whoever_leaves_keeps_nobody_waiting() {
        let dir = directory();
        let mut first = place(&dir);
        assert!(is_first(&mut first));
        let (mut leaving, mut last) = (place(&dir), place(&dir));
        assert!(!is_first(&mut leaving) && !is_first(&mut last));
        drop((first, leaving));
        assert!(is_first(&mut last));
    }

    #[test]
    fn a_line_that_does_not_move_is_left_to_whoever_holds_it_up() {
        let dir = directory();
        let stopped = Turn::take(dir.path(), Duration::ZERO).expect("the first");
        assert!(Turn::take(dir.path(), Duration::from_millis(2)).is_none());
        assert!(Turn::take(dir.path(), Duration::ZERO).is_some(), "the next one waits for him no more");
        drop(stopped);
    }

    #[test]
    fn where_there_can_be_no_line_nobody_waits() {
        let dir = directory();
        assert!(Turn::take(&dir.path().join("none"), Duration::MAX).is_none());
        let link = dir.path().join(FILE);
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).expect("a link");
        assert!(Turn::take(dir.path(), Duration::MAX).is_none());
        assert!(!dir.path().join("elsewhere").exists());
    }
}
