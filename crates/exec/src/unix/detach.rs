//! Standing apart: from the worker's terminal, from its descriptor 0.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The command will run in a session of its own, from before its first instruction.
///
/// A new process group would not do: its leader cannot make a session any more.
pub(crate) fn new_session_on_exec(command: &mut Command) {
    // SAFETY: `setsid` is async-signal-safe and the closure touches nothing else.
    unsafe {
        command.pre_exec(|| if libc::setsid() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) });
    }
}

/// The command will run with no signal blocked; otherwise it would inherit what this process has blocked.
pub(crate) fn unblock_signals_on_exec(command: &mut Command) {
    // SAFETY: both calls are async-signal-safe, and the set is initialised by the first.
    unsafe {
        command.pre_exec(|| {
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            match libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        });
    }
}

/// Takes descriptor 0 away and puts `/dev/null` in its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let null = File::open("/dev/null")?;
    let taken = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    // SAFETY: duplicating onto descriptor 0 replaces what `taken` now holds; nobody else owns it.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(taken)
}

/// Whether this is the process's first thread, to which the kernel gives orphans.
pub(crate) fn on_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}
