//! What `/proc` tells about processes, and signals that cannot hit a stranger.

use crate::protocol::ClaimKey;
use queuectl_core::claim::{CLAIM_MARK, ClaimToken};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// One process, named so that a reuse of its pid cannot be taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId {
    pub pid: i32,
    /// Clock ticks from boot to its start.
    pub start: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub id: ProcessId,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// A zombie: it runs no more, and its parent has not asked for its status.
    pub dead: bool,
    /// Stopped by a signal until another one continues it.
    pub frozen: bool,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signalled {
    Sent,
    Gone,
    /// It runs as somebody else.
    Refused,
}

/// Looks up one process.
pub(crate) fn process(pid: i32) -> Option<Process> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process of the machine that can be seen from here.
pub(crate) fn processes() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // A process that ended meanwhile is no error.
        found.extend(name.to_str().and_then(|name| name.parse().ok()).and_then(process));
    }
    Ok(found)
}

/// `pid (name) state ppid pgrp session ...`, with the start time as the 22nd field. The name may hold anything, `)` too.
fn parse_stat(line: &[u8]) -> Option<Process> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let pid = std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?.parse().ok()?;
    let fields: Vec<&str> =
        std::str::from_utf8(&line[name_end + 1..]).ok()?.split_ascii_whitespace().collect();
    Some(Process {
        id: ProcessId { pid, start: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        dead: matches!(*fields.first()?, "Z" | "X"),
        frozen: matches!(*fields.first()?, "T" | "t"),
    })
}

/// Which claim a process belongs to, as its environment says. That is the one it was started with, so children have it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Claim(ClaimKey),
    /// To no claim, or nobody may know.
    None,
    /// It cannot be told now: the process is in the middle of `exec`, or of its end. On a busy machine that may last.
    Unclear,
}

/// Looks once, so that the answer is of one instant.
pub(crate) fn mark(pid: i32) -> Mark {
    match environment(pid) {
        Ok(shown) if !shown.is_empty() => return find_mark(&shown).map_or(Mark::None, Mark::Claim),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Mark::None,
        Ok(_) | Err(_) => {}
    }
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) if is_without_environment(&line) => Mark::None,
        _ => Mark::Unclear,
    }
}

/// What a process was started with, as a whole: with one call. Between two of them it may be gone, or be replaced, and what was
/// read would end in the middle.
fn environment(pid: i32) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{pid}/environ"))?;
    let mut shown = vec![0; 8 * 1024];
    loop {
        match file.read_at(&mut shown, 0) {
            Ok(len) if len < shown.len() => {
                shown.truncate(len);
                return Ok(shown);
            }
            Ok(len) => shown.resize(len * 8, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// By the flags (9th field), the end of the code (27th), and where the environment begins and ends (50th and 51st). An `exec`
/// puts the end of the code in place last; until then the environment looks empty. Where it does not any more, an `exec` has
/// ended since it was found so.
fn is_without_environment(line: &[u8]) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let Some(name_end) = line.iter().rposition(|&byte| byte == b')') else { return false };
    let rest = String::from_utf8_lossy(&line[name_end + 1..]);
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let has_begun = number(27).is_some_and(|end_of_code| end_of_code > 0);
    number(9).is_some_and(|flags| flags & KERNEL_THREAD != 0) || has_begun && number(50) == number(51)
}

fn find_mark(environment: &[u8]) -> Option<ClaimKey> {
    environment.split(|&byte| byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(CLAIM_MARK.as_bytes())?.strip_prefix(b"=")?;
        let token: ClaimToken = std::str::from_utf8(value).ok()?.parse().ok()?;
        Some(token.into())
    })
}

/// Adds to `members` whatever descends from them.
pub(crate) fn add_descendants(members: &mut HashSet<ProcessId>, table: &[Process]) {
    let mut pids: HashSet<i32> = members.iter().map(|id| id.pid).collect();
    loop {
        let before = pids.len();
        for process in table {
            if pids.contains(&process.parent) && pids.insert(process.id.pid) {
                members.insert(process.id);
            }
        }
        if pids.len() == before {
            return;
        }
    }
}

/// Signals exactly this process, or nobody.
pub(crate) fn signal(id: ProcessId, signal: Signal) -> Signalled {
    let Some(pid) = Pid::from_raw(id.pid) else { return Signalled::Gone };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return Signalled::Gone };
    // The descriptor pins whoever has the pid now; only then does the start time prove who that is.
    if process(id.pid).is_none_or(|now| now.id != id || now.dead) {
        return Signalled::Gone;
    }
    match pidfd_send_signal(&descriptor, signal) {
        Ok(()) => Signalled::Sent,
        Err(Errno::PERM) => Signalled::Refused,
        Err(_) => Signalled::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::process::Stdio;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let line = b"42 (a) R 1 (b)) S 7 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n";
        let process = parse_stat(line).unwrap();
        assert_eq!(process.id, ProcessId { pid: 42, start: 98765 });
        assert_eq!((process.parent, process.group, process.session, process.dead), (7, 42, 40, false));
    }

    #[test]
    fn only_in_the_middle_of_exec_a_mark_is_unclear() {
        let mut bare = std::process::Command::new("/bin/sh");
        bare.args(["-c", "echo here; read line"]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut bare = bare.spawn().unwrap();
        std::io::Read::read_exact(bare.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
        assert!(fs::read(format!("/proc/{}/environ", bare.id())).unwrap().is_empty());
        assert_eq!(mark(bare.id() as i32), Mark::None, "it was started without an environment");
        bare.kill().unwrap();
        let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&bare)), dead).unwrap();
        assert_eq!(mark(bare.id() as i32), Mark::Unclear, "dead, not reaped");
        bare.wait().unwrap();
        assert_eq!(mark(std::process::id() as i32), Mark::None);
        assert_eq!(mark(2), Mark::None, "a thread of the kernel, or a stranger");
        let fields = |flags: &str, code: &str, begin: &str, end: &str| {
            let mut fields = ["0"; 52];
            (fields[0], fields[1], fields[8]) = ("7", "(a) b)", flags);
            (fields[26], fields[49], fields[50]) = (code, begin, end);
            fields.join(" ").into_bytes()
        };
        assert!(is_without_environment(&fields("4194304", "4000", "7000", "7000")));
        assert!(!is_without_environment(&fields("4194304", "0", "0", "0")), "in the middle of exec");
        assert!(!is_without_environment(&fields("4194304", "0", "7000", "7000")), "nearly at its end");
        assert!(!is_without_environment(&fields("4194304", "4000", "7000", "7100")), "at its end since");
        assert!(is_without_environment(&fields("2129984", "0", "0", "0")), "a thread of the kernel");
    }

    #[test]
    fn who_replaces_itself_again_and_again_is_never_taken_for_one_without_a_mark() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("again");
        fs::write(&script, "exec /bin/sh \"$0\"").unwrap();
        let mut again = std::process::Command::new("/bin/sh");
        let mark_of_it = "00000000000000ab.7";
        let mut again = again.arg(&script).env(CLAIM_MARK, mark_of_it).spawn().unwrap();
        let seen: Vec<Mark> = (0..50_000).map(|_| mark(again.id() as i32)).collect();
        again.kill().unwrap();
        again.wait().unwrap();
        let claim = Mark::Claim(ClaimKey { incarnation: 0xab, number: 7 });
        assert!(seen.contains(&claim));
        let others: Vec<&Mark> = seen.iter().filter(|mark| ![claim, Mark::Unclear].contains(mark)).collect();
        assert!(others.is_empty(), "{} of {} looks", others.len(), seen.len());
    }

    #[test]
    fn this_process_is_among_all() {
        let me = process(std::process::id() as i32).unwrap();
        assert!(processes().unwrap().iter().any(|process| process.id == me.id));
    }

    #[test]
    fn the_mark_is_found_among_other_variables() {
        let claim = ClaimKey { incarnation: 0xab, number: 7 };
        assert_eq!(find_mark(b"A=1\0QUEUECTL_CLAIM=00000000000000ab.7\0B=\0"), Some(claim));
        assert_eq!(find_mark(b"XQUEUECTL_CLAIM=00000000000000ab.7\0QUEUECTL_CLAIM=x\0"), None);
    }

    #[test]
    fn a_reused_pid_gets_no_signal() {
        let me = process(std::process::id() as i32).unwrap().id;
        let other = ProcessId { start: me.start + 1, ..me };
        assert_eq!(signal(other, Signal::KILL), Signalled::Gone);
    }
}
