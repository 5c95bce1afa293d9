//! Ends attempts: by their own exit, by timeout, by order, and with everything that they have left running.

use super::Keeper;
use super::attempt::{Attempt, Ending, Phase};
use super::tree::{Census, Root, Unmarked};
use crate::cgroup::{Cgroup, State};
use crate::clock::now_boot_ms;
use crate::procfs::{Process, ProcessId, Signalled, signal};
use crate::protocol::{ClaimKey, End, ExitRecord, Leftovers};
use crate::unix::{ToGroup, reap_any};
use queuectl_points::point;
use rustix::process::Signal;
use std::io;

/// Looks, five seconds in all, before an orphan whose owner still cannot be told counts as nobody's.
const UNCLEAR_LOOKS_MAX: usize = 250;

impl Keeper {
    /// Takes all children that have died.
    pub(super) fn reap(&mut self) {
        while let Some(reaped) = reap_any() {
            point!("child.reaped");
            // Others are orphans of the jobs; nobody waits for them.
            let Some(serial) = self.by_pid.remove(&reaped.pid) else { continue };
            if self.failed_to_start(serial) {
                continue;
            }
            if let Some(attempt) = self.attempts.get_mut(&serial) {
                attempt.exited(reaped, now_boot_ms(), self.told_to_stop);
                self.busy = true;
            }
        }
    }

    /// Begins to end an attempt: TERM now and KILL after the grace, or KILL at once. If its process has ended by itself,
    /// that stands. An attempt that is being ended already is only hurried.
    pub(super) fn end(&mut self, serial: u64, end: &End, grace_ms: u64) {
        // What is dead must not be told to die: its status would say that it had not.
        self.reap();
        let now = now_boot_ms();
        let until = now.saturating_add(grace_ms);
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let hurry = attempt.hurry(until, now);
        if attempt.exit.is_some() || hurry {
            return;
        }
        let phase = if grace_ms == 0 { Phase::Killing } else { Phase::Grace { until } };
        attempt.ending = Some(Ending { end: end.clone(), phase, asked: grace_ms > 0 });
        attempt.look = true;
        if grace_ms > 0 {
            self.signal_tree(serial, Signal::TERM);
        }
    }

    /// Does what is due for every attempt. `children`: some child has died, which may have been the last of a tree.
    pub(super) fn advance(&mut self, children: bool) {
        let now = now_boot_ms();
        self.listen_again(now);
        let told = self.told_to_stop;
        let due = |attempt: &Attempt| {
            attempt.look
                || attempt.deadline().is_some_and(|at| at <= now)
                || attempt.exit.as_ref().is_some_and(|exit| children || told && exit.hold_until.is_some())
        };
        let serials: Vec<u64> =
            self.attempts.iter().filter(|(_, attempt)| due(attempt)).map(|(&serial, _)| serial).collect();
        for serial in serials {
            self.advance_one(serial, now);
        }
    }

    fn advance_one(&mut self, serial: u64, now: u64) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        attempt.look = false;
        if attempt.watch_at.is_some_and(|at| at <= now) {
            self.watch_started(serial, now);
        }
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        if attempt.exit.is_none()
            && attempt.ending.is_none()
            && attempt.timeout_at.is_some_and(|at| at <= now)
        {
            let grace_ms = attempt.kill_grace_ms;
            self.end(serial, &End::TimedOut, grace_ms);
        }
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        attempt.end_grace(now);
        if attempt.exit.is_none() {
            if attempt.is_killing() && attempt.sweep.next_at.is_none_or(|at| at <= now) {
                let stubborn = attempt.sweep.passed(now).then_some(attempt.claim);
                self.signal_tree(serial, Signal::KILL);
                self.tell_of_stubborn(stubborn);
            }
            return;
        }
        let keep = attempt.leftovers == Leftovers::Keep && attempt.ending.is_none();
        if !keep && !self.clear_leftovers(serial, now) {
            return;
        }
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        attempt.sweep.next_at = None;
        if !attempt.is_held(now, self.told_to_stop) {
            self.finish(serial, keep);
        }
    }

    /// Signals the whole tree of an attempt whose process has not been reaped, so that its pid and group are its own.
    fn signal_tree(&mut self, serial: u64, what: Signal) {
        // The census first: what is in no group is found by the parents that the signal will kill.
        let members = self.members(serial);
        let Some(attempt) = self.attempts.get(&serial) else { return };
        let told = attempt.group.as_ref().map_or(ToGroup::Nobody, |group| group.signal(what, true));
        for process in
            members.iter().filter(|process| told == ToGroup::Nobody || process.group != attempt.pid)
        {
            signal(process.id, what);
        }
        // Last, so that what has just been found is told by itself, and all at once, for those who fork faster.
        if what == Signal::KILL
            && let Some(cgroup) = self.cgroups.of(attempt.claim)
        {
            cgroup.kill();
        }
    }

    /// Kills what has outlived an attempt. True once nothing has.
    fn clear_leftovers(&mut self, serial: u64, now: u64) -> bool {
        if !self.orphans.alive() {
            return true;
        }
        let (members, unclear) = self.census_of(serial);
        let Some(attempt) = self.attempts.get_mut(&serial) else { return true };
        let cgroup = self.cgroups.of(attempt.claim);
        let refused = &mut attempt.sweep.refused;
        let ours = |process: &&Process| !refused.contains(&process.id);
        let members: Vec<Process> = members.iter().filter(ours).copied().collect();
        // Born since the census.
        let unseen = cgroup.is_some_and(|cgroup| refused.is_empty() && cgroup.state() == State::Populated);
        if members.is_empty() && !unseen {
            let may_be_ours = unclear && attempt.sweep.unclear_looks < UNCLEAR_LOOKS_MAX;
            if may_be_ours {
                attempt.sweep.unclear_looks += 1;
                attempt.sweep.passed(now);
            }
            return !may_be_ours;
        }
        // They were sent TERM like the attempt's own process, and have the same time.
        if attempt.is_in_grace() {
            return false;
        }
        let told: Vec<_> =
            members.iter().map(|process| (process.id, signal(process.id, Signal::KILL))).collect();
        // Also those who run as somebody else.
        let reached = cgroup.map(|cgroup| (cgroup.pids(), cgroup.kill())).filter(|(_, all)| *all);
        let is_reached = |id: ProcessId| reached.as_ref().is_some_and(|(pids, _)| pids.contains(&id.pid));
        for (id, told) in told {
            match told {
                Signalled::Refused if !is_reached(id) => drop(attempt.sweep.refused.insert(id)),
                Signalled::Sent | Signalled::Refused => drop(attempt.sweep.killed.insert(id)),
                Signalled::Gone => {}
            }
        }
        // All at once, for those who fork faster than we look. By the leader, not by the number: with the leader reaped
        // and the last member dead it may be a stranger's.
        if let Some(group) = &attempt.group {
            group.signal(Signal::KILL, false);
        }
        let stubborn = attempt.sweep.passed(now).then_some(attempt.claim);
        self.tell_of_stubborn(stubborn);
        false
    }

    /// In an uninterruptible system call, most likely: of a disk or a file server that does not answer.
    fn tell_of_stubborn(&self, claim: Option<ClaimKey>) {
        if let Some(claim) = claim {
            let what = format!("claim {claim}: its slot stays taken until it is gone");
            self.log("KILL does not end what an attempt has started", &io::Error::other(what));
        }
    }

    fn members(&self, serial: u64) -> Vec<Process> {
        self.census_of(serial).0
    }

    /// The living processes of an attempt, and whether there is an orphan that may turn out to be one.
    fn census_of(&self, serial: u64) -> (Vec<Process>, bool) {
        let roots: Vec<Root> = self.attempts.values().map(Attempt::root).collect();
        let (Some(attempt), Ok(census)) = (self.attempts.get(&serial), Census::take()) else {
            return (Vec::new(), false);
        };
        let pids = self.cgroups.of(attempt.claim).map(Cgroup::pids).unwrap_or_default();
        (census.members(attempt.root(), &roots, self.unmarked, &pids), census.is_unclear(&roots))
    }

    /// Nothing of it runs any more: puts its output in order, and records and reports how it ended.
    fn finish(&mut self, serial: u64, keep: bool) {
        self.drain_pipes(serial);
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        if !attempt.output.finish_step() {
            attempt.look = true;
            self.busy = true;
            return;
        }
        if keep && self.orphans.alive() {
            self.unmarked = Unmarked::Unknown;
        }
        let Some(attempt) = self.attempts.remove(&serial) else { return };
        let Some(exit) = &attempt.exit else { return };
        let record = ExitRecord {
            claim: attempt.claim,
            end: attempt.end(exit.reaped.status, self.told_to_stop),
            started_ms: Some(attempt.started_ms),
            ended_ms: exit.at_ms,
            usage: exit.reaped.usage,
            stdout: attempt.output.stdout.captured(),
            stderr: attempt.output.stderr.captured(),
            leftovers_killed: attempt.sweep.killed.len() as u32,
        };
        self.by_claim.remove(&attempt.claim);
        self.ended.insert(attempt.claim, attempt.output);
        self.report(record);
    }
}
