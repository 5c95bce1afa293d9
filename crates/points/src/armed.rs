//! What a point does in the build of the crash proof: it counts, and at the one that was asked for it kills.
//!
//! `QUEUECTL_POINT_KILL=<role>:<name>:<n>:<file>` asks for the n-th time that a process of that role reaches the point of
//! that name: `cli`, `worker` or `keeper`, and `worker+keeper` or `keeper+worker` for both at once at a point of the first.
//! Whoever creates the file dies, and writes into it where; so there is one death. With `any::0:<file>` nobody dies: each
//! point that is reached adds a line of role and name.

#![expect(
    clippy::disallowed_methods,
    reason = "the crash proof tells a process by its environment when to die"
)]

use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const ASKED: &str = "QUEUECTL_POINT_KILL";
static REACHED: AtomicU64 = AtomicU64::new(0);
static ORDER: OnceLock<Option<Order>> = OnceLock::new();

/// Who is to die where.
struct Order {
    name: String,
    nth: u64,
    /// Its worker or keeper dies with it.
    both: bool,
    file: String,
}

/// Counts a point, and dies there if it is the one.
pub fn reach(name: &str) {
    let Some(order) = ORDER.get_or_init(read_order) else { return };
    if order.nth == 0 {
        return note(&order.file, name);
    }
    if name != order.name || REACHED.fetch_add(1, Ordering::Relaxed) + 1 != order.nth {
        return;
    }
    // Somebody else of this role was there first.
    let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&order.file) else { return };
    let _ = file.write_all(name.as_bytes());
    if order.both {
        for other in partners() {
            kill(other);
        }
    }
    kill(getpid());
    // Only this thread goes on until the signal is there, and it must not.
    loop {
        std::thread::park();
    }
}

fn note(file: &str, name: &str) {
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file) {
        let line = format!("{} {name}\n", own_role());
        let _ = file.write_all(line.as_bytes());
    }
}

/// What concerns a process of this role.
fn read_order() -> Option<Order> {
    let asked = std::env::var(ASKED).ok()?;
    let (roles, rest) = asked.split_once(':')?;
    let (name, rest) = rest.split_once(':')?;
    let (nth, file) = rest.split_once(':')?;
    let (role, both) = roles.split_once('+').map_or((roles, false), |(role, _)| (role, true));
    let order = Order { name: name.to_owned(), nth: nth.parse().ok()?, both, file: file.to_owned() };
    (role == own_role() || role == "any").then_some(order)
}

fn own_role() -> &'static str {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    match (words.first().map(String::as_str), words.get(1).map(String::as_str)) {
        (Some("keeper"), _) => "keeper",
        (Some("worker"), Some("start")) => "worker",
        _ => "cli",
    }
}

/// The keeper of this worker, or the worker of this keeper, if they run this very program.
fn partners() -> Vec<Pid> {
    let same = |pid: &Pid| {
        let program = |of: &str| fs::read_link(format!("/proc/{of}/exe")).ok();
        program("self").is_some() && program("self") == program(&pid.as_raw_nonzero().to_string())
    };
    let mut found: Vec<Pid> =
        if own_role() == "keeper" { getppid().into_iter().collect() } else { children() };
    found.retain(same);
    found
}

fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

fn kill(pid: Pid) {
    let _ = pidfd_open(pid, PidfdFlags::empty()).and_then(|one| pidfd_send_signal(one, Signal::KILL));
}
