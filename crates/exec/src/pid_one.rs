//! The first process of a container: it starts one child, reaps whatever is left to it, passes signals on, and starts
//! the child anew when it has crashed. Nothing else, on one thread, for when it ends the kernel ends everybody.

use crate::clock::now_boot_ms;
use crate::unix::{SignalReader, Status, reap_any, reset_dispositions, unblock_signals_on_exec};
use queuectl_core::limits::{RESTART_CALM, RESTART_WAIT_FIRST, RESTART_WAIT_MAX, RESTARTS_MAX};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::process::Command;
use std::time::Duration;

/// How the child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnd {
    Exited(i32),
    Signaled(i32),
}

impl ChildEnd {
    /// As a shell would report it.
    pub fn code(self) -> u8 {
        match self {
            ChildEnd::Exited(code) => code as u8,
            ChildEnd::Signaled(signal) => 128_u8.wrapping_add(signal as u8),
        }
    }
}

/// Whether this is the first process of its pid namespace.
pub fn is_pid_one() -> bool {
    std::process::id() == 1
}

/// Runs the command until it ends other than by a crash, and returns how it ended. `is_crash` judges an exit code; a
/// death by a signal is one, unless this process was told to stop before. `tell` hears of each restart.
///
/// Must be called before there is another thread.
pub fn stand_by(
    mut command: Command,
    is_crash: impl Fn(i32) -> bool,
    mut tell: impl FnMut(ChildEnd, Duration),
) -> io::Result<ChildEnd> {
    reset_dispositions();
    let signals = SignalReader::new()?;
    unblock_signals_on_exec(&mut command);
    let mut restarts = Restarts::default();
    let mut told = false;
    loop {
        let began = now_boot_ms();
        let child = command.spawn()?.id().cast_signed();
        let end = await_child(child, &signals, &mut told)?;
        let crashed = match end {
            ChildEnd::Exited(code) => is_crash(code),
            ChildEnd::Signaled(_) => true,
        };
        let ran = Duration::from_millis(now_boot_ms() - began);
        let Some(wait) = restarts.after(ran).filter(|_| crashed && !told) else { return Ok(end) };
        tell(end, wait);
        if rest(wait, &signals)? {
            return Ok(end);
        }
    }
}

/// Reaps all children, and passes signals on to this one, until this one has ended.
fn await_child(child: i32, signals: &SignalReader, told: &mut bool) -> io::Result<ChildEnd> {
    loop {
        let mut end = None;
        while let Some(reaped) = reap_any() {
            if reaped.pid == child {
                end = Some(match reaped.status {
                    Status::Exited(code) => ChildEnd::Exited(code),
                    Status::Signaled(signal) => ChildEnd::Signaled(signal),
                });
            }
        }
        if let Some(end) = end {
            return Ok(end);
        }
        await_signal(signals, None)?;
        for signal in signals.take_stops() {
            *told |= signal != Signal::HUP;
            // Nobody else reaps it, so that its pid is its own.
            if let Some(child) = Pid::from_raw(child) {
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Waits before a restart, reaping; true if it was told to stop meanwhile.
fn rest(wait: Duration, signals: &SignalReader) -> io::Result<bool> {
    let until = now_boot_ms() + wait.as_millis() as u64;
    loop {
        while reap_any().is_some() {}
        let now = now_boot_ms();
        if now >= until {
            return Ok(false);
        }
        await_signal(signals, Some(Duration::from_millis(until - now)))?;
        if signals.take_stops().iter().any(|signal| *signal != Signal::HUP) {
            return Ok(true);
        }
    }
}

fn await_signal(signals: &SignalReader, limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().cast_signed(),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(&mut [PollFd::new(signals, PollFlags::IN)], limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How often it has crashed in a row.
#[derive(Debug, Default)]
struct Restarts(u32);

impl Restarts {
    /// How long to wait after a crash of a child that ran so long; `None` if it is hopeless.
    fn after(&mut self, ran: Duration) -> Option<Duration> {
        if ran >= RESTART_CALM {
            self.0 = 0;
        }
        self.0 += 1;
        (self.0 <= RESTARTS_MAX).then(|| (RESTART_WAIT_FIRST * (1 << (self.0 - 1))).min(RESTART_WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_in_a_row_are_waited_for_ever_longer_and_in_the_end_no_more() {
        let mut restarts = Restarts::default();
        let waits: Vec<Duration> =
            std::iter::from_fn(|| restarts.after(Duration::from_secs(1))).take(100).collect();
        assert_eq!(waits.len(), RESTARTS_MAX as usize);
        assert_eq!(waits[..3], [1, 2, 4].map(|times| RESTART_WAIT_FIRST * times));
        assert_eq!(waits.last(), Some(&RESTART_WAIT_MAX));
        assert_eq!(restarts.after(RESTART_CALM), Some(RESTART_WAIT_FIRST), "it had worked for a while");
    }

    #[test]
    fn an_end_has_the_code_of_a_shell() {
        assert_eq!((ChildEnd::Exited(70).code(), ChildEnd::Signaled(9).code()), (70, 137));
    }
}
