//! Ends what a dead keeper's attempts have left running anywhere on the machine.
//!
//! The keeper's death killed its direct children; their own went on, with nobody to own them. Only when a pass over all
//! processes finds none of them may their jobs be given to somebody else.

use crate::machine::{boot_id, pid_namespace};
use crate::procfs::{Mark, Process, ProcessId, Signalled, add_descendants, mark, processes, signal};
use crate::protocol::ClaimKey;
use crate::spool::StartedRecord;
use queuectl_core::limits::{SWEEP_INTERVAL, SWEEP_PASSES_MAX};
use rustix::process::Signal;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// Passes in a row that must find nothing.
const QUIET_PASSES: usize = 3;
/// A killed process is gone within a millisecond or two, unless the machine is busy.
const QUICK_PASSES: usize = 20;
const QUICK_INTERVAL: Duration = Duration::from_millis(1);
/// Passes, about two seconds, after which a process whose owner still cannot be told counts as nobody's.
const UNCLEAR_PASSES: usize = 120;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Processes that were killed.
    pub killed: u32,
}

/// Kills every process that carries the mark of one of the claims, or belongs to one of the started attempts, and
/// returns once none is left. Blocks meanwhile; usually for some milliseconds.
///
/// An error names the processes that do not die; then the attempts must not be given back.
pub fn sweep(claims: &[ClaimKey], started: &[StartedRecord]) -> io::Result<SweepReport> {
    let claims: HashSet<ClaimKey> = claims.iter().copied().collect();
    let (boot, namespace) = (boot_id(), pid_namespace()?);
    let here = |record: &&StartedRecord| record.boot_id == boot && record.pid_namespace == namespace;
    let started: Vec<&StartedRecord> = started.iter().filter(here).collect();
    let mut killed = HashSet::new();
    let mut left = Vec::new();
    let mut unclear = HashSet::new();
    let mut quiet = 0;
    for pass in 0..SWEEP_PASSES_MAX {
        let found = find(&claims, &started)?;
        left = found.ours;
        // Nothing found may mean that the one to be found is in the middle of `exec` and shows no mark.
        let waiting = pass < UNCLEAR_PASSES && !found.unclear.is_disjoint(&unclear);
        unclear = found.unclear;
        quiet = if left.is_empty() && !waiting { quiet + 1 } else { 0 };
        if quiet >= QUIET_PASSES {
            return Ok(SweepReport { killed: killed.len() as u32 });
        }
        let me = std::process::id() as i32;
        if left.iter().any(|id| id.pid == me) {
            return Err(io::Error::other("this process itself is part of the attempt that is to be swept"));
        }
        for &id in &left {
            if signal(id, Signal::KILL) == Signalled::Sent {
                killed.insert(id);
            }
        }
        // They are not our children, so that nothing tells when they are gone.
        std::thread::sleep(if pass < QUICK_PASSES { QUICK_INTERVAL } else { SWEEP_INTERVAL });
    }
    let pids: Vec<String> = left.iter().map(|id| id.pid.to_string()).collect();
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("these processes do not die: {}", pids.join(", "))))
}

/// What a pass has found.
struct Found {
    ours: Vec<ProcessId>,
    /// Whose they are cannot be told now.
    unclear: HashSet<ProcessId>,
}

fn find(claims: &HashSet<ClaimKey>, started: &[&StartedRecord]) -> io::Result<Found> {
    let table = processes()?;
    let living = || table.iter().filter(|process| !process.dead);
    let (mut members, mut unclear) = (HashSet::new(), HashSet::new());
    for process in living() {
        let recorded = started.iter().any(|record| belongs(process, record, &table));
        match mark(process.id.pid) {
            Mark::Claim(claim) if claims.contains(&claim) => drop(members.insert(process.id)),
            _ if recorded => drop(members.insert(process.id)),
            Mark::Unclear => drop(unclear.insert(process.id)),
            Mark::Claim(_) | Mark::None => {}
        }
    }
    add_descendants(&mut members, &table);
    Ok(Found {
        ours: living().map(|process| process.id).filter(|id| members.contains(id)).collect(),
        unclear,
    })
}

/// Whether a process is the recorded one or of its group. The number of a group may have passed to strangers; then a
/// process with that pid was started anew, or the session is not the keeper's.
fn belongs(process: &Process, record: &StartedRecord, table: &[Process]) -> bool {
    if process.id.pid == record.pid {
        return process.id.start == record.start_ticks;
    }
    let leader = table.iter().find(|other| other.id.pid == record.group);
    process.group == record.group
        && process.session == record.session
        && process.id.start >= record.start_ticks
        && leader.is_none_or(|leader| leader.id.start == record.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, start: u64, group: i32, session: i32) -> Process {
        Process { id: ProcessId { pid, start }, parent: 1, group, session, dead: false, frozen: false }
    }

    #[test]
    fn a_group_whose_number_was_reused_is_left_alone() {
        let claim = ClaimKey { incarnation: 0, number: 0 };
        let record = StartedRecord {
            claim,
            pid: 10,
            start_ticks: 500,
            boot_id: String::new(),
            pid_namespace: 0,
            group: 10,
            session: 5,
            at_ms: 0,
        };
        let member = process(11, 510, 10, 5);
        assert!(belongs(&member, &record, std::slice::from_ref(&member)));
        assert!(belongs(&process(10, 500, 10, 5), &record, &[]));
        let stranger = process(10, 900, 10, 5);
        assert!(!belongs(&stranger, &record, std::slice::from_ref(&stranger)));
        assert!(!belongs(&member, &record, &[member, stranger]), "its leader is a stranger");
        assert!(!belongs(&process(11, 510, 10, 6), &record, &[]), "another session");
        assert!(!belongs(&process(11, 499, 10, 5), &record, &[]), "older than the attempt");
    }

    #[test]
    fn nothing_to_sweep_is_soon_done() {
        let claim = ClaimKey { incarnation: u64::MAX, number: u64::MAX };
        assert_eq!(sweep(&[claim], &[]).unwrap(), SweepReport { killed: 0 });
    }
}
