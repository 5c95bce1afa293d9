//! A keeper without a worker: its attempts run on until somebody adopts it, or end with the worker, as it was told.

use super::{Keeper, Worker};
use crate::clock::now_boot_ms;
use crate::protocol::{ClaimKey, End, Event, Interruption, OnCrash};
use crate::rundir::{self, HeldLock};
use queuectl_core::limits::KEEPER_TURN_MAX;
use queuectl_points::point;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file this is, if it is there.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Keeper {
    /// The worker is gone without a word.
    pub(super) fn lose_worker(&mut self) {
        match self.options.on_crash {
            OnCrash::Adopt => self.be_orphaned(),
            OnCrash::Kill => {
                self.worker = Worker::Lost;
                self.kill_all();
            }
        }
    }

    /// From now on anybody may adopt this keeper. Childless, it ends instead.
    pub(super) fn be_orphaned(&mut self) {
        self.worker = Worker::Lost;
        if self.has_work()
            && let Err(error) = rundir::mark_orphan(&self.options.run_dir, &self.options.id)
        {
            // Nobody will look for it, but what it runs ends, and is settled from the spool.
            self.log("cannot say that the worker is gone", &error);
        }
        // Nobody reads what is held back for the worker.
        if let Some(worker) = self.peers.remove(&self.control) {
            worker.close(&self.poll);
        }
        if self.paused {
            self.resume_pipes();
        }
    }

    /// Whoever asks becomes the worker, if there is none. One at a time: this thread decides.
    pub(super) fn be_adopted(&mut self, serial: u64, on_crash: OnCrash) -> Result<(), ()> {
        if self.worker != Worker::Lost || !self.has_work() {
            return Err(());
        }
        let unsettled = self.journal.unsettled();
        let running: Vec<ClaimKey> = self.by_claim.keys().chain(self.waiting.keys()).copied().collect();
        let lost = |(claim, exit): &(_, Option<_>)| exit.is_none() && !running.contains(claim);
        let lost = unsettled.iter().filter(|one| lost(one)).map(|(claim, _)| *claim).collect();
        (self.worker, self.control) = (Worker::Here, serial);
        self.options.on_crash = on_crash;
        point!("keeper.adopted");
        if let Err(error) = rundir::unmark_orphan(&self.options.run_dir, &self.options.id) {
            self.log("cannot say that there is a worker again", &error);
        }
        for exit in unsettled.into_iter().filter_map(|(_, exit)| exit) {
            self.tell(&Event::Exited(Box::new(exit)));
        }
        self.tell(&Event::Adopted { running, lost });
        Ok(())
    }

    /// Once a second: a keeper that nobody can find any more, or whose database has gone, ends what it runs.
    pub(super) fn look_after_itself(&mut self, lock: &HeldLock) {
        let now = now_boot_ms();
        if !self.has_work() || now < self.guard_at {
            return;
        }
        self.guard_at = now + KEEPER_TURN_MAX.as_millis() as u64;
        // Also if another file has its name now: what runs here is nothing to that one.
        let gone = self.options.guard.as_deref().is_some_and(|guard| self.has_gone(guard));
        let why = match (lock.is_in_place(), gone) {
            (true, false) => {
                self.missing = false;
                return;
            }
            (false, _) => "its lock file has gone; whoever finds its jobs will take them for lost",
            (true, true) => "the database has gone",
        };
        // At the second look: what was moved by mistake may come back at once.
        if !std::mem::replace(&mut self.missing, true) {
            return;
        }
        self.log("ends its jobs", &io::Error::other(why));
        // Nor is it of use to what would come next: its worker starts another keeper.
        self.told_to_stop = true;
        self.kill_all();
        self.busy = true;
    }

    /// Gone, or another file has its name. What is out of reach may come back.
    fn has_gone(&self, guard: &Path) -> bool {
        match std::fs::metadata(guard) {
            Ok(found) => Some((found.dev(), found.ino())) != self.guarded,
            Err(error) => rundir::is_gone(&error),
        }
    }

    fn kill_all(&mut self) {
        let end = End::Interrupted { cause: Interruption::WorkerLost };
        self.know_launches();
        self.give_waiting_back("its worker has gone");
        for attempt in self.attempts.keys().copied().collect::<Vec<_>>() {
            self.end(attempt, &end, 0);
        }
    }
}
