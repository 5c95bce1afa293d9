//! Starts that wait for whoever has the program open for writing: an installer, most likely, that is about to close it.
//!
//! Nothing runs yet, but the intent is recorded, so that they count as work of this keeper like attempts that run.

use super::Keeper;
use crate::clock::now_boot_ms;
use crate::protocol::{ClaimKey, End, Start, StopReason};
use queuectl_core::limits::{TEXT_BUSY_TRIES_MAX, TEXT_BUSY_WAIT_FIRST};

/// One start that waits.
pub(super) struct Waiting {
    start: Box<Start>,
    /// So often it has been tried.
    tries: u32,
    pub at: u64,
}

impl Keeper {
    /// Puts a start off, unless it was tried often enough; then it ends so.
    pub(super) fn put_off(&mut self, start: Box<Start>, tries: u32, end: End) {
        if tries >= TEXT_BUSY_TRIES_MAX {
            return self.refuse(start.claim, end);
        }
        let wait = TEXT_BUSY_WAIT_FIRST * (1 << (tries - 1));
        let at = now_boot_ms() + wait.as_millis() as u64;
        self.waiting.insert(start.claim, Waiting { start, tries, at });
    }

    /// Tries those again whose time has come.
    pub(super) fn start_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.told_to_stop {
            return self.give_waiting_back("the keeper is shutting down");
        }
        let now = now_boot_ms();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.at <= now);
        for claim in due.map(|(claim, _)| *claim).collect::<Vec<_>>() {
            if let Some(Waiting { start, tries, .. }) = self.waiting.remove(&claim) {
                self.try_to_start(start, tries + 1);
            }
        }
    }

    /// Ends one that waits; false if it does not.
    pub(super) fn stop_waiting(&mut self, claim: ClaimKey, reason: StopReason) -> bool {
        if self.waiting.remove(&claim).is_none() {
            return false;
        }
        let end = match reason {
            StopReason::Cancelled => End::Stopped { reason },
            // It has not had its run.
            StopReason::WorkerStopping => not_started("stopped before it could start"),
        };
        self.refuse(claim, end);
        true
    }

    /// Ends all that wait; nothing is charged to them.
    pub(super) fn give_waiting_back(&mut self, why: &str) {
        for claim in std::mem::take(&mut self.waiting).into_keys() {
            self.refuse(claim, not_started(why));
        }
    }

    /// Whether there is anything that this keeper has begun and not ended.
    pub(super) fn has_work(&self) -> bool {
        !(self.attempts.is_empty() && self.waiting.is_empty())
    }
}

fn not_started(why: &str) -> End {
    End::CouldNotStart { message: why.to_owned(), ours: true }
}
