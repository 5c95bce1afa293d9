//! Signals to a process group that cannot hit one which was given the number later.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// Of `pidfd_send_signal`, since Linux 6.9: to the group that this process leads or has led.
const TO_GROUP: libc::c_uint = 1 << 2;

/// A process group, named by its leader even after the leader is gone.
#[derive(Debug)]
pub(crate) struct Group {
    number: Pid,
    leader: Option<OwnedFd>,
}

/// What became of a signal to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToGroup {
    Told,
    /// Nobody was told: it is empty, or the kernel cannot tell this group from another with its number.
    Nobody,
}

impl Group {
    /// The group of a child that leads one and has not been reaped.
    pub(crate) fn led_by(child: i32) -> Option<Group> {
        let number = Pid::from_raw(child)?;
        Some(Group { number, leader: pidfd_open(number, PidfdFlags::empty()).ok() })
    }

    /// `pinned`: the leader has not been reaped, so that nobody else can have the number.
    pub(crate) fn signal(&self, signal: Signal, pinned: bool) -> ToGroup {
        match self.signal_exactly(signal) {
            Ok(()) => ToGroup::Told,
            Err(Errno::SRCH) => ToGroup::Nobody,
            // An older kernel.
            Err(_) if pinned && rustix::process::kill_process_group(self.number, signal).is_ok() => {
                ToGroup::Told
            }
            Err(_) => ToGroup::Nobody,
        }
    }

    fn signal_exactly(&self, signal: Signal) -> Result<(), Errno> {
        let leader = self.leader.as_ref().ok_or(Errno::BADF)?;
        // SAFETY: plain numbers, and no further information for the kernel to read.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                leader.as_raw_fd(),
                signal.as_raw(),
                ptr::null_mut::<libc::siginfo_t>(),
                TO_GROUP,
            )
        };
        if result == 0 {
            return Ok(());
        }
        Err(Errno::from_raw_os_error(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    #[test]
    fn a_group_is_told_as_one() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 100 & echo here; exec sleep 100"]);
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let group = Group::led_by(child.id() as i32).unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        assert_eq!(group.signal(Signal::KILL, true), ToGroup::Told);
        // Both hold the pipe.
        assert_eq!(output.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn an_empty_group_is_nobody_whoever_has_its_number() {
        let mut child = Command::new("/bin/true").process_group(0).spawn().unwrap();
        let group = Group::led_by(child.id() as i32).unwrap();
        child.wait().unwrap();
        assert_eq!(group.signal(Signal::KILL, false), ToGroup::Nobody);
    }

    #[test]
    fn a_group_whose_leader_is_gone_is_still_told_where_the_kernel_knows_it() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 100 & echo here"]);
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let group = Group::led_by(child.id() as i32).unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        child.wait().unwrap();
        let told = group.signal(Signal::KILL, false);
        if group.signal_exactly(Signal::KILL) == Err(Errno::INVAL) {
            // Older than Linux 6.9. What is left is killed one by one, elsewhere; here by its number, for nobody has
            // started anything since.
            assert_eq!(told, ToGroup::Nobody);
            rustix::process::kill_process_group(group.number, Signal::KILL).unwrap();
        } else {
            assert_eq!(told, ToGroup::Told);
        }
        assert_eq!(output.read(&mut [0; 8]).unwrap(), 0, "it holds the pipe");
    }
}
