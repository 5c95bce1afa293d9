//! Reaping, and the cheap test for processes that outlived their attempt.

use crate::protocol::Usage;
use std::io;
use std::mem::MaybeUninit;

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

/// Whether any process lives whose parents have all died, leaving it to us. One system call in the usual case.
///
/// The kernel gives orphans to the first thread of the nearest subreaper, while the children that we start belong to the
/// spawner's thread. So a wait confined to the children of this, the first, thread sees exactly the orphans, and finds
/// "no child" if there are none. A process reparents its children before its own death shows, so that the answer is
/// exact once an attempt has been reaped: a living descendant of it is an orphan here, or descends from one.
pub(crate) fn orphans_alive() -> bool {
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WNOTHREAD | libc::__WALL;
        // SAFETY: the pointer is valid for writing; zeroed plain data is a valid siginfo.
        let (result, pid) = unsafe {
            let result = libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options);
            (result, info.assume_init().si_pid())
        };
        if result != 0 {
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                _ => return false,
            }
        } else if pid == 0 {
            return true;
        } else {
            // A dead one hides whether there are living ones behind it.
            reap(pid);
        }
    }
}
