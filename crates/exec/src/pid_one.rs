//! The first process of a container: it starts one child, reaps whatever is left to it, passes signals on, and starts
//! the child anew when it has crashed. Nothing else, on one thread, for when it ends the kernel ends everybody.

use crate::clock::now_boot_ms;
use crate::launch::is_shortage;
use crate::unix::{SignalReader, Status, ignore, reap_any, reset_dispositions, unblock_signals_on_exec};
use queuectl_core::limits::{RESTART_CALM, RESTART_WAIT_FIRST, RESTART_WAIT_MAX, RESTARTS_MAX};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io;
use std::process::Command;
use std::time::Duration;

/// How often it is looked whether a child that has just begun can hear that it is to stop.
const READY_LOOK: Duration = Duration::from_millis(10);

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

/// Why the child is started again.
#[derive(Debug)]
pub enum Setback {
    Crashed(ChildEnd),
    /// It could not be started, for lack of processes, descriptors or memory.
    NotStarted(io::Error),
}

/// Runs the command until it ends other than by a crash, and returns how it ended. `is_crash` judges an exit code; a
/// death by a signal is one, and any failure while others live, for they would end with this process. `tell` hears of
/// each restart. TERM and INT are passed on, to one who is started anew as well; HUP ends nothing here.
///
/// Must be called before there is another thread.
pub fn stand_by(
    mut command: Command,
    is_crash: impl Fn(i32) -> bool,
    mut tell: impl FnMut(&Setback, Duration),
) -> io::Result<ChildEnd> {
    reset_dispositions();
    // The child takes over that it is ignored.
    ignore(Signal::HUP);
    let signals = SignalReader::new()?;
    unblock_signals_on_exec(&mut command);
    let mut restarts = Restarts::default();
    let mut told = None;
    loop {
        let began = now_boot_ms();
        let setback = match command.spawn() {
            Ok(child) => {
                let end = await_child(child.id().cast_signed(), &signals, &mut told)?;
                let crashed = match end {
                    ChildEnd::Exited(code) => is_crash(code) || (code != 0 && has_children()),
                    ChildEnd::Signaled(_) => true,
                };
                if !crashed {
                    return Ok(end);
                }
                Setback::Crashed(end)
            }
            Err(error) if is_shortage(&error) => Setback::NotStarted(error),
            Err(error) => return Err(error),
        };
        let ran = Duration::from_millis(now_boot_ms() - began);
        let wait = match (restarts.after(ran), &setback) {
            (Some(wait), _) => wait,
            (None, Setback::Crashed(end)) => return Ok(*end),
            (None, Setback::NotStarted(_)) => RESTART_WAIT_MAX,
        };
        tell(&setback, wait);
        rest(wait, &signals, &mut told)?;
    }
}

/// Reaps all children, and passes stops on to this one, until this one has ended. `told` is the last of them; one that was
/// told before this child began is passed on to it as well.
fn await_child(child: i32, signals: &SignalReader, told: &mut Option<Signal>) -> io::Result<ChildEnd> {
    let mut to_pass: Vec<Signal> = told.iter().copied().collect();
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
        // One that has just begun would die of it, before it has taken over what runs.
        to_pass.retain(|signal| {
            let ready = catches(child, *signal);
            // Nobody else reaps it, so that its pid is its own.
            if ready && let Some(child) = Pid::from_raw(child) {
                let _ = kill_process(child, *signal);
            }
            !ready
        });
        await_signal(signals, (!to_pass.is_empty()).then_some(READY_LOOK))?;
        let stops = take_stops(signals);
        *told = stops.last().copied().or(*told);
        to_pass.extend(stops);
    }
}

/// Waits before a restart, reaping; less if it is told to stop meanwhile, which is for the next child to do.
fn rest(wait: Duration, signals: &SignalReader, told: &mut Option<Signal>) -> io::Result<()> {
    let until = now_boot_ms() + wait.as_millis() as u64;
    loop {
        while reap_any().is_some() {}
        let now = now_boot_ms();
        if now >= until {
            return Ok(());
        }
        await_signal(signals, Some(Duration::from_millis(until - now)))?;
        if let Some(stop) = take_stops(signals).pop() {
            *told = Some(stop);
            return Ok(());
        }
    }
}

fn take_stops(signals: &SignalReader) -> Vec<Signal> {
    let mut stops = signals.take_stops();
    stops.retain(|signal| *signal != Signal::HUP);
    stops
}

/// Whether a process has a handler for a signal. Where that cannot be seen, it is taken to have one.
fn catches(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    caught.is_none_or(|set| set & (1 << (signal.as_raw() - 1)) != 0)
}

/// Whether anybody is left whose parent this process is: keepers above all, and what they run.
fn has_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, look).is_ok()
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

    #[test]
    fn who_has_no_handler_yet_is_not_told() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!catches(child.id().cast_signed(), Signal::TERM));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut catcher = Command::new("sh");
        catcher.args(["-c", "trap : TERM; echo; read line"]);
        catcher.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = catcher.spawn().unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        assert!(catches(child.id().cast_signed(), Signal::TERM));
        assert!(!catches(child.id().cast_signed(), Signal::HUP));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
