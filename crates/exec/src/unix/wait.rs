//! Reaping, and the cheap test for processes that outlived their attempt.

use crate::protocol::Usage;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Exited(i32),
    Signaled(i32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    pub pid: i32,
    pub status: Status,
    pub usage: Usage,
}

/// Reaps one dead child of any thread of this process, if there is one.
pub(crate) fn reap_any() -> Option<Reaped> {
    reap(-1)
}

fn reap(pid: i32) -> Option<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writing.
        let pid =
            unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG | libc::__WALL, usage.as_mut_ptr()) };
        if pid > 0 {
            // SAFETY: zeroed plain data, filled by the kernel on success.
            let usage = unsafe { usage.assume_init() };
            return Some(Reaped { pid, status: decode(status), usage: convert(&usage) });
        }
        if pid == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

fn decode(status: i32) -> Status {
    if libc::WIFEXITED(status) {
        Status::Exited(libc::WEXITSTATUS(status))
    } else {
        Status::Signaled(libc::WTERMSIG(status))
    }
}

fn convert(usage: &libc::rusage) -> Usage {
    let ms = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
    Usage {
        cpu_user_ms: ms(usage.ru_utime),
        cpu_system_ms: ms(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss as u64,
    }
}

/// Tells whether any process lives whose parents have all died, leaving it to us. One system call in the usual case.
///
/// The kernel gives orphans to the first thread of the nearest subreaper, while the children that we start belong to the
/// thread that starts them, which is another. So the children of the first thread, as `/proc` lists them, are exactly the
/// orphans. A process reparents its children before its own death shows, so that the answer is exact once an attempt has
/// been reaped: a living descendant of it is an orphan here, or descends from one.
pub(crate) struct Orphans {
    /// `None` where the kernel keeps no such list.
    children: Option<File>,
}

impl Orphans {
    /// Those of this process.
    pub(crate) fn of_first_thread() -> Orphans {
        let first = std::process::id();
        Orphans { children: File::open(format!("/proc/self/task/{first}/children")).ok() }
    }

    /// True as well if that cannot be told: whoever asks then looks at all processes.
    pub(crate) fn alive(&self) -> bool {
        let Some(children) = &self.children else { return true };
        let mut list = [0; 4096];
        loop {
            let Ok(len) = children.read_at(&mut list, 0) else { return true };
            if len == list.len() {
                // Cut off, perhaps in a number that would be another's. Somebody lives among so many.
                return true;
            }
            let pids = String::from_utf8_lossy(&list[..len]);
            let mut pids = pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).peekable();
            if pids.peek().is_none() {
                return false;
            }
            // The dead ones hide nobody, but are on the list until they are reaped.
            if pids.filter(|pid| reap(*pid).is_none()).count() > 0 {
                return true;
            }
        }
    }
}
