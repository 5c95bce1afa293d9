//! One attempt that has been started and has not ended.
//!
//! ```text
//! running -> exited -> (its status held) -> (leftovers gone) -> (output in order) -> record, event
//!    \-> ending: grace -> killing -/
//! ```

use super::launching::Launching;
use super::tree::Root;
use crate::output::Output;
use crate::procfs::ProcessId;
use crate::protocol::{ClaimKey, End, Interruption, Leftovers, Stream};
use crate::unix::{Group, Reaped, Status};
use queuectl_core::limits::{SHUTDOWN_NOTICE, SWEEP_INTERVAL, SWEEP_PASSES_MAX};
use std::collections::HashSet;
use std::os::fd::OwnedFd;

pub(super) struct Attempt {
    pub claim: ClaimKey,
    /// Also the number of its process group.
    pub pid: i32,
    pub group: Option<Group>,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    pub started_ms: u64,
    pub timeout_at: Option<u64>,
    pub kill_grace_ms: u64,
    pub leftovers: Leftovers,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    /// When its pipes are to be watched; `None` once they are.
    pub watch_at: Option<u64>,
    pub output: Output,
    /// Until it is known to have become its program.
    pub launching: Option<Launching>,
    /// We are ending it, and so it will be recorded.
    pub ending: Option<Ending>,
    pub exit: Option<Exit>,
    /// There is something to do for it in this turn.
    pub look: bool,
    pub sweep: Sweep,
}

pub(super) struct Ending {
    pub end: End,
    pub phase: Phase,
    /// TERM was sent, so that whatever status follows is its answer.
    pub asked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// TERM was sent; KILL comes at this instant.
    Grace {
        until: u64,
    },
    Killing,
}

/// The attempt's own process has ended.
pub(super) struct Exit {
    pub reaped: Reaped,
    pub at_ms: u64,
    /// Until then word of a shutdown would explain the signal.
    pub hold_until: Option<u64>,
}

/// The passes over what is left of the tree.
#[derive(Default)]
pub(super) struct Sweep {
    /// When to look again even if no child dies.
    pub next_at: Option<u64>,
    passes: usize,
    /// Looks that found an orphan whose owner could not be told.
    pub unclear_looks: usize,
    /// Killed after the attempt's own process had ended.
    pub killed: HashSet<ProcessId>,
    /// Not ours to kill: they run as somebody else.
    pub refused: HashSet<ProcessId>,
}

impl Sweep {
    /// Counts a pass. What does not die in time (say in an uninterruptible system call) is looked at more rarely, but
    /// its attempt does not end while it lives. True once, when there have been too many for anything that can die.
    pub(super) fn passed(&mut self, now: u64) -> bool {
        self.passes += 1;
        let rarely = if self.passes > SWEEP_PASSES_MAX { 50 } else { 1 };
        self.next_at = Some(now + rarely * SWEEP_INTERVAL.as_millis() as u64);
        self.passes == SWEEP_PASSES_MAX + 1
    }
}

impl Attempt {
    pub(super) fn pipe(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// The instant at which it needs a look, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<u64> {
        let grace = self.ending.as_ref().and_then(|ending| match ending.phase {
            Phase::Grace { until } => Some(until),
            Phase::Killing => None,
        });
        let (timeout, hold) = match &self.exit {
            None if self.ending.is_none() => (self.timeout_at, None),
            None => (None, None),
            Some(exit) => (None, exit.hold_until),
        };
        [timeout, grace, hold, self.sweep.next_at, self.watch_at].into_iter().flatten().min()
    }

    /// Takes the news that its process is dead. `told`: this keeper has been told to end.
    pub(super) fn exited(&mut self, reaped: Reaped, now: u64, told: bool) {
        let hold = !told && self.ending.is_none() && is_shutdown_signal(reaped.status);
        let hold_until = hold.then(|| now + SHUTDOWN_NOTICE.as_millis() as u64);
        self.exit = Some(Exit { reaped, at_ms: now, hold_until });
        self.look = true;
    }

    /// Shortens the grace of an ending that has begun. False if none has.
    pub(super) fn hurry(&mut self, until: u64, now: u64) -> bool {
        let Some(ending) = &mut self.ending else { return false };
        if let Phase::Grace { until: before } = ending.phase {
            ending.phase = Phase::Grace { until: before.min(until) };
        }
        self.end_grace(now);
        self.look = true;
        true
    }

    /// KILL follows TERM when the time is up.
    pub(super) fn end_grace(&mut self, now: u64) {
        if let Some(ending) = &mut self.ending
            && let Phase::Grace { until } = ending.phase
            && until <= now
        {
            ending.phase = Phase::Killing;
        }
    }

    pub(super) fn is_killing(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.phase == Phase::Killing)
    }

    pub(super) fn is_in_grace(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.phase != Phase::Killing)
    }

    /// Whether word of a shutdown may still come that would explain its end.
    pub(super) fn is_held(&self, now: u64, told: bool) -> bool {
        !told && self.exit.as_ref().and_then(|exit| exit.hold_until).is_some_and(|until| now < until)
    }

    pub(super) fn root(&self) -> Root {
        let Attempt { claim, pid, start_ticks, ref exit, .. } = *self;
        Root { claim, pid, start_ticks, exited: exit.is_some() }
    }

    /// How it ended, given how its process did.
    pub(super) fn end(&self, status: Status, told: bool) -> End {
        end_of(self.ending.as_ref(), status, told)
    }
}

fn end_of(ending: Option<&Ending>, status: Status, told: bool) -> End {
    match (ending, status) {
        // No KILL makes a process exit: it had ended by itself before that came.
        (Some(Ending { asked: false, .. }), Status::Exited(code)) => End::Exited { code },
        (Some(ending), _) => ending.end.clone(),
        (None, status) if told && is_shutdown_signal(status) => {
            End::Interrupted { cause: Interruption::Shutdown }
        }
        (None, Status::Exited(code)) => End::Exited { code },
        (None, Status::Signaled(signal)) => End::Signaled { signal },
    }
}

/// A signal that a machine which is going down sends to all.
fn is_shutdown_signal(status: Status) -> bool {
    matches!(status, Status::Signaled(libc::SIGTERM | libc::SIGHUP | libc::SIGINT | libc::SIGKILL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_by_itself_before_it_is_killed_has_ended_by_itself() {
        let lost = End::Interrupted { cause: Interruption::WorkerLost };
        let ending = |asked| Ending { end: lost.clone(), phase: Phase::Killing, asked };
        let exit = Status::Exited(0);
        assert_eq!(end_of(Some(&ending(false)), exit, false), End::Exited { code: 0 });
        assert_eq!(end_of(Some(&ending(true)), exit, false), lost, "an answer to TERM");
        assert_eq!(end_of(Some(&ending(false)), Status::Signaled(libc::SIGKILL), false), lost);
    }
}
