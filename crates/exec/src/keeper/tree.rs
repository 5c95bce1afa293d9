//! The tree of an attempt: its process, its process group, what was left to the keeper, and all that descends from them.

use crate::procfs::{Process, ProcessId, add_descendants, claim_mark, is_blank, processes};
use crate::protocol::ClaimKey;
use std::collections::HashSet;
use std::io;

/// What is to be known of an attempt to tell its processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub claim: ClaimKey,
    /// Also its group's number.
    pub pid: i32,
    pub start_ticks: u64,
    /// Its own process has been reaped.
    pub exited: bool,
}

/// Who might have left a process that bears no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmarked {
    /// One of the attempts there are.
    Ours,
    /// Perhaps an attempt that has ended and whose leftovers are to be kept.
    Unknown,
}

/// All processes at one instant.
pub(super) struct Census {
    table: Vec<Process>,
    keeper: i32,
    session: i32,
}

impl Census {
    pub(super) fn take() -> io::Result<Census> {
        let session = rustix::process::getsid(None)?.as_raw_nonzero().get();
        Ok(Census { table: processes()?, keeper: std::process::id() as i32, session })
    }

    /// The living processes of an attempt, its own included.
    pub(super) fn members(&self, of: Root, all: &[Root], unmarked: Unmarked) -> Vec<Process> {
        // Once the leader is reaped, a process with its pid shows that the group is gone and its number was reused.
        let reused = of.exited && self.table.iter().any(|process| process.id.pid == of.pid);
        let in_group = |process: &Process| {
            process.group == of.pid && process.session == self.session && (!of.exited || !reused)
        };
        let is_own = |process: &Process| process.id.pid == of.pid && !of.exited;
        let mut members: HashSet<ProcessId> = self
            .table
            .iter()
            .filter(|process| !process.dead)
            .filter(|process| {
                is_own(process) || in_group(process) || self.is_orphan_of(process, of, all, unmarked)
            })
            .map(|process| process.id)
            .collect();
        add_descendants(&mut members, &self.table);
        self.table.iter().filter(|process| !process.dead && members.contains(&process.id)).copied().collect()
    }

    /// Whether there is an orphan in the middle of `exec`: its owner can be told later.
    pub(super) fn has_blank_orphan(&self, all: &[Root]) -> bool {
        let leads = |process: &Process| all.iter().any(|root| root.pid == process.id.pid && !root.exited);
        self.table.iter().any(|process| {
            process.parent == self.keeper && !process.dead && !leads(process) && is_blank(process.id.pid)
        })
    }

    /// Whether a process whose parents have died is one of this attempt's.
    fn is_orphan_of(&self, process: &Process, of: Root, all: &[Root], unmarked: Unmarked) -> bool {
        let leads = |root: &Root| root.pid == process.id.pid && !root.exited;
        if process.parent != self.keeper || all.iter().any(leads) {
            return false;
        }
        if let Some(claim) = claim_mark(process.id.pid) {
            return claim == of.claim;
        }
        // Somebody has cleared its environment. It is ours to kill only if it can be nobody else's.
        let mut suspects = all.iter().filter(|root| root.start_ticks <= process.id.start);
        unmarked == Unmarked::Ours
            && suspects.next().is_some_and(|only| only.claim == of.claim)
            && suspects.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPER: i32 = 10;

    fn process(pid: i32, parent: i32, group: i32) -> Process {
        let id = ProcessId { pid, start: 100 };
        Process { id, parent, group, session: KEEPER, dead: false, frozen: false }
    }

    fn root(number: u64, pid: i32, exited: bool) -> Root {
        Root { claim: ClaimKey { incarnation: 0, number }, pid, start_ticks: 50, exited }
    }

    /// Pids beyond what a machine has, so that none of them is really there and bears a mark.
    fn pid(n: i32) -> i32 {
        1_000_000_000 + n
    }

    fn members(table: Vec<Process>, of: Root, all: &[Root], unmarked: Unmarked) -> Vec<i32> {
        let census = Census { table, keeper: KEEPER, session: KEEPER };
        let mut pids: Vec<i32> =
            census.members(of, all, unmarked).iter().map(|process| process.id.pid - pid(0)).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn group_descendants_and_a_sole_suspects_orphans_belong() {
        let table = vec![
            process(pid(1), KEEPER, pid(1)),
            process(pid(2), pid(1), pid(1)),
            process(pid(3), pid(2), pid(3)),
            process(pid(4), KEEPER, pid(4)),
            process(pid(5), 1, pid(5)),
        ];
        let one = root(1, pid(1), false);
        assert_eq!(members(table.clone(), one, &[one], Unmarked::Ours), [1, 2, 3, 4]);
        assert_eq!(members(table, one, &[one], Unmarked::Unknown), [1, 2, 3]);
    }

    #[test]
    fn an_unmarked_orphan_of_two_suspects_is_spared() {
        let table = vec![
            process(pid(1), KEEPER, pid(1)),
            process(pid(2), KEEPER, pid(2)),
            process(pid(3), KEEPER, pid(3)),
        ];
        let all = [root(1, pid(1), false), root(2, pid(2), false)];
        assert_eq!(members(table, all[0], &all, Unmarked::Ours), [1]);
    }

    #[test]
    fn a_group_whose_number_was_reused_is_spared() {
        let one = root(1, pid(1), true);
        let left = process(pid(2), KEEPER, pid(1));
        assert_eq!(members(vec![left], one, &[one], Unmarked::Unknown), [2]);
        let table = vec![process(pid(1), 1, pid(1)), process(pid(2), 1, pid(1))];
        assert_eq!(members(table, one, &[one], Unmarked::Unknown), [0; 0]);
    }
}
