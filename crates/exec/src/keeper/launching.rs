//! From the making of an attempt's process to the moment at which it becomes its program, for which nobody waits: it is
//! looked at when the pipes are first to be watched, or when the process has died.

use super::Keeper;
use super::program::{could_not_start, is_text_busy};
use crate::protocol::{Event, Start};
use crate::unix::{Launch, SpawnError};
use queuectl_core::limits::{PIPES_UNWATCHED_MAX, STARTED_TOLD_AFTER_MAX};
use rustix::process::{Pid, WaitOptions};
use std::time::Duration;

/// How long the end of an attempt waits for its beginning. It takes a millisecond, unless the machine is out of breath.
const LAUNCH_WAIT_MAX: Duration = Duration::from_secs(1);

/// What is to be known until then, and should it fail.
pub(super) struct Launching {
    pub launch: Launch,
    pub start: Box<Start>,
    /// Which try it is, from 1 on.
    pub tries: u32,
}

impl Keeper {
    /// The time has come to watch the pipes of an attempt: if it is its program by now, for before that it prints nothing.
    pub(super) fn watch_started(&mut self, serial: u64, now: u64) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let outcome = attempt.launching.as_ref().map(|launching| launching.launch.outcome());
        if matches!(outcome, Some(None | Some(Err(_)))) {
            // Still on its way, or dead and soon to be reaped.
            attempt.watch_at = Some(now + PIPES_UNWATCHED_MAX.as_millis() as u64);
            return;
        }
        self.is_started(serial);
        self.watch_pipes(serial);
    }

    /// The process of an attempt has died. True if it had not become its program, which is an outcome of its own.
    pub(super) fn failed_to_start(&mut self, serial: u64) -> bool {
        let Some(attempt) = self.attempts.get(&serial) else { return false };
        let outcome = attempt.launching.as_ref().and_then(|launching| launching.launch.outcome());
        if let Some(Err(failed)) = outcome {
            self.give_up_start(serial, failed);
            return true;
        }
        self.is_started(serial);
        false
    }

    /// Waits until each process is its program, or known not to become it: whoever is to end an attempt ends what runs, or
    /// what waits for its next try.
    pub(super) fn know_launches(&mut self) {
        let launching = self.attempts.iter().filter(|(_, attempt)| attempt.launching.is_some());
        for serial in launching.map(|(&serial, _)| serial).collect::<Vec<_>>() {
            let Some(attempt) = self.attempts.get(&serial) else { continue };
            let outcome = attempt.launching.as_ref().map(|launching| launching.launch.wait(LAUNCH_WAIT_MAX));
            let pid = attempt.pid;
            match outcome {
                Some(Some(Ok(()))) => self.is_started(serial),
                Some(Some(Err(failed))) => {
                    // It is about to exit.
                    let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
                    self.by_pid.remove(&pid);
                    self.give_up_start(serial, failed);
                }
                _ => {}
            }
        }
    }

    /// It has become its program, which the worker may hear later: nobody waits for that.
    fn is_started(&mut self, serial: u64) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let Some(launching) = attempt.launching.take() else { return };
        self.spawner.take_back(launching.launch);
        let (pid, at_ms) = (attempt.pid.cast_unsigned(), attempt.started_ms);
        let event = Event::Started { claim: attempt.claim, pid, at_ms };
        if let Some(control) = self.peers.get_mut(&self.control) {
            control.send_later(&event, at_ms + STARTED_TOLD_AFTER_MAX.as_millis() as u64);
        }
    }

    fn give_up_start(&mut self, serial: u64, failed: SpawnError) {
        let Some(attempt) = self.attempts.remove(&serial) else { return };
        self.by_claim.remove(&attempt.claim);
        let Some(Launching { launch, start, tries }) = attempt.launching else { return };
        self.spawner.take_back(launch);
        let end = could_not_start(&start, failed);
        if is_text_busy(failed) { self.put_off(start, tries, end) } else { self.refuse(attempt.claim, end) }
    }
}
