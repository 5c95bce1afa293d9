//! The clock of everything that the keeper times: it does not jump and counts suspended time.

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Milliseconds since the machine booted.
pub fn now_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Makes its descriptor readable after a time by this clock. It wakes whoever waits for that once; a timer of tokio, which
/// sorts its long ones again before they end, wakes twice.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Rings once, after so long; what it was set to before is forgotten.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: after.as_secs().cast_signed(),
                // Nothing at all would mean never.
                tv_nsec: i64::from(after.subsec_nanos().max(1)),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Takes the ring, if it has rung.
    pub fn take(&self) -> io::Result<bool> {
        match rustix::io::read(&self.0, &mut [0_u8; 8]) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What `/proc` counts the starts of processes in, in nanoseconds. It is the same on every Linux.
const TICK_NS: u64 = 1_000_000_000 / 100;

/// Ticks since the machine booted, as the start time of a process that starts now is told.
pub(crate) fn now_boot_ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64) / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::process;

    #[test]
    fn a_process_that_started_within_one_tick_bears_that_tick() {
        let mut exact = 0;
        while exact < 10 {
            let before = now_boot_ticks();
            let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
            let after = now_boot_ticks();
            let told = process(child.id() as i32).unwrap().id.start;
            child.wait().unwrap();
            assert!((before..=after).contains(&told), "{told} is not in {before}..={after}");
            exact += u32::from(before == after);
        }
    }
}
