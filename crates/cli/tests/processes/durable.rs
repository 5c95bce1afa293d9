//! Nothing is acknowledged before it is on the disk: the real binary's own system calls, as `strace` saw them.

use std::collections::HashMap;
use std::process::Command;

use crate::stage::Stage;

/// What a trace shows of the database's log, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Written,
    Synced,
    /// The words that acknowledge.
    Told,
}

/// Reads a trace (`strace -f -y`). A call that another thread's interrupts in the trace counts where it ends.
fn read(trace: &str, acknowledgement: &str) -> Vec<Seen> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut seen = Vec::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').expect("a pid and a call");
        let call = call.trim_start();
        if call.ends_with("<unfinished ...>") {
            begun.insert(pid, call);
            continue;
        }
        let name = if call.contains(" resumed>") { begun.remove(pid).expect("its beginning") } else { call };
        let of_the_log = name.contains("queue.db-wal>");
        if name.starts_with("pwrite64(") && of_the_log {
            seen.push(Seen::Written);
        } else if (name.starts_with("fsync(") || name.starts_with("fdatasync("))
            && of_the_log
            && call.ends_with("= 0")
        {
            seen.push(Seen::Synced);
        } else if name.starts_with("write(") && name.contains(acknowledgement) {
            seen.push(Seen::Told);
        }
    }
    seen
}

/// Something was written, and all that was is synced before anything is told.
fn is_durable_when_told(seen: &[Seen]) -> bool {
    let Some(told) = seen.iter().position(|one| *one == Seen::Told) else { return false };
    let last = |what| seen[..told].iter().rposition(|one| *one == what);
    last(Seen::Written).is_some() && last(Seen::Synced) > last(Seen::Written)
}

/// Runs the binary to its end under `strace`.
fn traced(stage: &Stage, arguments: &[&str]) -> String {
    let inner = stage.command(arguments);
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "200",
        "-e",
        "trace=write,pwrite64,fsync,fdatasync,openat,clone,clone3",
        "-o",
    ]);
    command.arg(stage.path("trace")).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.current_dir(stage.dir.path()).output().expect("strace is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stage.read("trace")
}

#[test]
fn enqueue_is_acknowledged_after_its_sync() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let trace = traced(&stage, &["enqueue", "--id", "synced", "-c", "true"]);
    let seen = read(&trace, "synced");
    assert!(is_durable_when_told(&seen), "{seen:?}\n{trace}");
}

#[test]
fn an_enqueue_opens_the_database_once_and_starts_no_thread() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let trace = traced(&stage, &["enqueue", "-c", "true"]);
    let calls = |name: &str| trace.lines().filter(|line| line.contains(name)).collect::<Vec<_>>();
    let opened = calls("/queue.db\"").iter().filter(|line| !line.contains(" = -1 ")).count();
    assert_eq!((opened, calls("clone").len()), (1, 0), "{trace}");
}

#[test]
fn the_log_that_commands_leave_stays_short() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let longest = (0..40)
        .map(|_| {
            stage.run(&["enqueue", "-c", "true"]);
            std::fs::metadata(stage.path("queue.db-wal")).map_or(0, |log| log.len())
        })
        .max();
    assert!(longest.is_some_and(|bytes| bytes < 1024 * 1024), "{longest:?}");
}

#[test]
fn an_outcome_is_told_after_its_sync() {
    let stage = Stage::new();
    stage.enqueue("settled", "true");
    let trace = traced(&stage, &["worker", "start", "--drain"]);
    let seen = read(&trace, r#"state=\"completed\""#);
    assert!(is_durable_when_told(&seen), "{seen:?}\n{trace}");
    // The run is told of as well, and its claim was synced before.
    let claimed = read(&trace, "INFO started");
    assert!(is_durable_when_told(&claimed), "{claimed:?}\n{trace}");
}

#[test]
fn a_trace_without_its_sync_is_found_out() {
    let write = "7 pwrite64(3</q/queue.db-wal>, \"x\", 1, 0) = 1\n";
    let sync = "7 fdatasync(3</q/queue.db-wal>) = 0\n";
    let told = "8 write(1</dev/pts/0>, \"Enqueued job a\\n\", 15) = 15\n";
    let durable = |trace: &str| is_durable_when_told(&read(trace, "job a"));
    assert!(durable(&[write, sync, told].concat()));
    assert!(!durable(&[write, told, sync].concat()));
    assert!(!durable(&[write, sync, write, told].concat()));
    assert!(!durable(&[sync, told].concat()), "nothing was written");
    assert!(!durable(&[write, sync].concat()), "nothing was told");
    let torn = "7 fdatasync(3</q/queue.db-wal> <unfinished ...>\n";
    let resumed = "7 <... fdatasync resumed>) = 0\n";
    assert!(durable(&[write, torn, resumed, told].concat()));
    assert!(!durable(&[write, torn, told, resumed].concat()));
    let failed = "7 <... fdatasync resumed>) = -1 EIO (Input/output error)\n";
    assert!(!durable(&[write, torn, failed, told].concat()));
}
