//! Signals as events: blocked, and read from a descriptor.

use rustix::process::Signal;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

const SIGNAL_MAX: libc::c_int = 64;
/// The kernel's own record of a disposition has four words, or fewer.
const KERNEL_ACTION_WORDS: usize = 8;
const KERNEL_SET_BYTES: usize = 8;

/// What the signals since the last look mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// A child has died.
    pub child: bool,
    /// TERM, HUP or INT: this process is to end.
    pub stop: bool,
}

pub(crate) struct SignalReader(OwnedFd);

impl SignalReader {
    /// Blocks the signals that it reads from now on, in this thread and those it will start.
    pub(crate) fn new() -> io::Result<SignalReader> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set; the other calls read or change a valid one. The descriptor that
        // `signalfd` returns is ours alone.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let descriptor = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(SignalReader(OwnedFd::from_raw_fd(descriptor)))
        }
    }

    /// Takes what is pending and tells which of TERM, HUP and INT it was.
    pub(crate) fn take_stops(&self) -> Vec<Signal> {
        let known = [Signal::TERM, Signal::HUP, Signal::INT];
        let taken = self.take_numbers();
        known.into_iter().filter(|signal| taken.contains(&signal.as_raw())).collect()
    }

    /// Takes what is pending.
    pub(crate) fn take(&self) -> Told {
        let taken = self.take_numbers();
        let child = taken.contains(&libc::SIGCHLD);
        Told { child, stop: taken.iter().any(|&signal| signal != libc::SIGCHLD) }
    }

    /// One read takes all that are pending. The same signal may be among them twice: it can come anew while they are read.
    fn take_numbers(&self) -> Vec<i32> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut bytes = [0; SIZE * 8];
        let len = rustix::io::read(&self.0, &mut bytes).unwrap_or(0);
        let infos = bytes[..len].chunks_exact(SIZE);
        // `ssi_signo` is the first field.
        infos.map(|info| i32::from_ne_bytes([info[0], info[1], info[2], info[3]])).collect()
    }
}

impl AsFd for SignalReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Undoes what this process was started with (say by `nohup`), except that a broken pipe stays an error of `write`.
///
/// Exec keeps ignored signals ignored, and our children are to have none.
pub(crate) fn reset_dispositions() {
    for signal in 1..=SIGNAL_MAX {
        if signal != libc::SIGPIPE && is_ignored(signal) {
            let default = [0_u64; KERNEL_ACTION_WORDS];
            // SAFETY: as in `is_ignored`; all zeros is the default disposition.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, KERNEL_SET_BYTES);
            }
        }
    }
    // SAFETY: ignoring a signal installs no handler.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// From now on this process ignores a signal, and so does what it starts.
pub(crate) fn ignore(signal: Signal) {
    // SAFETY: ignoring a signal installs no handler.
    unsafe {
        libc::signal(signal.as_raw(), libc::SIG_IGN);
    }
}

/// Whether this process ignores a signal.
///
/// Asks the kernel, because the C library keeps two signals to itself, and those can be ignored, too.
pub fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = [0_u64; KERNEL_ACTION_WORDS];
    // SAFETY: reading a disposition has no effect; the kernel's record (handler, flags, restorer, set) is smaller than
    // the place for it, and the handler is its first word.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, 0, action.as_mut_ptr(), KERNEL_SET_BYTES) };
    result == 0 && action[0] == libc::SIG_IGN as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_dead_children_are_no_order_to_stop() {
        let reader = SignalReader::new().unwrap();
        // One is pending for this thread and one for the process, as when the second comes while the first is read.
        // SAFETY: plain numbers; the signal is blocked in this thread, and other threads leave it be.
        unsafe {
            assert_eq!(libc::pthread_kill(libc::pthread_self(), libc::SIGCHLD), 0);
            assert_eq!(libc::kill(libc::getpid(), libc::SIGCHLD), 0);
        }
        assert_eq!(reader.take(), Told { child: true, stop: false });
        // SAFETY: as above; this thread alone is told.
        unsafe { assert_eq!(libc::pthread_kill(libc::pthread_self(), libc::SIGTERM), 0) };
        assert_eq!(reader.take(), Told { child: false, stop: true });
    }
}
