//! The tree of an attempt: its process, its process group, what was left to the keeper, and all that descends from them.

use crate::procfs::{Mark, Process, ProcessId, add_descendants, mark, processes};
use crate::protocol::ClaimKey;
use std::collections::{HashMap, HashSet};
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

/// All processes, at nearly one instant.
pub(super) struct Census {
    table: Vec<Process>,
    /// Of living children of the keeper. Looked at once: a second look may see another process, or its end.
    marks: HashMap<ProcessId, Mark>,
    keeper: i32,
    session: i32,
}

impl Census {
    pub(super) fn take() -> io::Result<Census> {
        let session = rustix::process::getsid(None)?.as_raw_nonzero().get();
        let (table, keeper) = (processes()?, std::process::id() as i32);
        let children = table.iter().filter(|process| process.parent == keeper && !process.dead);
        let marks = children.map(|process| (process.id, mark(process.id.pid))).collect();
        Ok(Census { table, marks, keeper, session })
    }

    /// The living processes of an attempt, its own included. `listed`: those of its control group, if it has one.
    pub(super) fn members(
        &self,
        of: Root,
        all: &[Root],
        unmarked: Unmarked,
        listed: &HashSet<i32>,
    ) -> Vec<Process> {
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
                is_own(process)
                    || in_group(process)
                    || listed.contains(&process.id.pid)
                    || self.is_orphan_of(process, of, all, unmarked)
            })
            .map(|process| process.id)
            .collect();
        add_descendants(&mut members, &self.table);
        self.table.iter().filter(|process| !process.dead && members.contains(&process.id)).copied().collect()
    }

    /// Whether there may be an orphan whose owner can only be told later.
    pub(super) fn is_unclear(&self, all: &[Root]) -> bool {
        let leads = |process: &Process| all.iter().any(|root| root.pid == process.id.pid && !root.exited);
        let unclear = |process: &Process| self.marks.get(&process.id) == Some(&Mark::Unclear);
        // Who is dead has no children: one that has was seen later than they were, and they are orphans by now.
        let torn = |process: &Process| {
            process.dead && self.table.iter().any(|child| child.parent == process.id.pid && !child.dead)
        };
        let orphans = self.table.iter().filter(|process| process.parent == self.keeper && !leads(process));
        orphans.into_iter().any(|process| unclear(process) || torn(process))
    }

    /// Whether a process whose parents have died is one of this attempt's.
    fn is_orphan_of(&self, process: &Process, of: Root, all: &[Root], unmarked: Unmarked) -> bool {
        let leads = |root: &Root| root.pid == process.id.pid && !root.exited;
        if process.parent != self.keeper || all.iter().any(leads) {
            return false;
        }
        match self.marks.get(&process.id) {
            Some(Mark::Claim(claim)) => return *claim == of.claim,
            Some(Mark::Unclear) => return false,
            Some(Mark::None) | None => {}
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

    fn pid(n: i32) -> i32 {
        1_000_000_000 + n
    }

    fn members(table: Vec<Process>, of: Root, all: &[Root], unmarked: Unmarked) -> Vec<i32> {
        let census = Census { table, marks: HashMap::new(), keeper: KEEPER, session: KEEPER };
        let mut pids: Vec<i32> = census
            .members(of, all, unmarked, &HashSet::new())
            .iter()
            .map(|process| process.id.pid - pid(0))
            .collect();
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
    fn a_table_that_was_torn_by_a_death_is_unclear() {
        let one = root(1, pid(1), true);
        let unclear = |table: Vec<Process>, marks: &[(ProcessId, Mark)]| {
            let marks = marks.iter().copied().collect();
            Census { table, marks, keeper: KEEPER, session: KEEPER }.is_unclear(&[one])
        };
        let orphan = process(pid(2), KEEPER, pid(2));
        let dead = Process { dead: true, ..orphan };
        let child = process(pid(3), pid(2), pid(3));
        assert!(!unclear(vec![orphan, child], &[(orphan.id, Mark::Claim(one.claim))]));
        assert!(unclear(vec![orphan, child], &[(orphan.id, Mark::Unclear)]), "in the middle of exec");
        assert!(!unclear(vec![dead], &[]), "it has left nothing");
        assert!(unclear(vec![dead, child], &[]), "its child was seen before it died");
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
