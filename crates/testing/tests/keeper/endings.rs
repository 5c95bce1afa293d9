//! How an attempt ends: by itself, in failing to start, by timeout, by order, with the machine.

use crate::harness::{Kept, is_alive, marked};
use queuectl_exec::protocol::{End, Event, Interruption, Request, StopReason};
use rustix::process::{Pid, Signal, kill_process};

fn send_signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn could_not_start(end: End) -> (String, bool) {
    match end {
        End::CouldNotStart { message, ours } => (message, ours),
        other => panic!("it ended as {other:?}"),
    }
}

#[test]
fn the_exit_code_is_recorded() {
    let mut kept = Kept::new();
    for code in [0, 1, 127, 255] {
        let record = kept.run(kept.shell(code, &format!("exit {code}")));
        assert_eq!(record.end, End::Exited { code: code as i32 });
        assert!(record.started_ms.unwrap() <= record.ended_ms);
    }
}

#[test]
fn the_signal_that_killed_it_is_recorded() {
    let mut kept = Kept::new();
    for signal in [libc::SIGSEGV, libc::SIGKILL, libc::SIGTERM] {
        let record = kept.run(kept.shell(signal as u64, &format!("kill -{signal} $$")));
        assert_eq!(record.end, End::Signaled { signal });
    }
}

#[test]
fn an_unknown_program_cannot_be_started_but_an_unknown_command_of_a_shell_exits() {
    let mut kept = Kept::new();
    let record = kept.run(kept.order(1, &["no-such-program", "x"]));
    let message = "cannot run `no-such-program`: No such file or directory".to_owned();
    assert_eq!(could_not_start(record.end), (message, false));
    assert_eq!(record.started_ms, None);
    assert_eq!(kept.run(kept.shell(2, "no-such-program")).end, End::Exited { code: 127 });
}

#[test]
fn what_cannot_be_executed_says_so() {
    let mut kept = Kept::new();
    let path = kept.dir().join("plain");
    std::fs::write(&path, "echo hi").unwrap();
    let record = kept.run(kept.order(1, &[path.to_str().unwrap()]));
    let message = format!("cannot run `{}`: Permission denied", path.display());
    assert_eq!(could_not_start(record.end), (message, false));
}

#[test]
fn a_missing_directory_or_input_is_the_jobs_own_fault() {
    let mut kept = Kept::new();
    let mut start = kept.shell(1, "true");
    start.dir = b"/no/such/dir".to_vec();
    let record = kept.run(start);
    let message = "cannot enter directory `/no/such/dir`: No such file or directory".to_owned();
    assert_eq!(could_not_start(record.end), (message, false));
    let mut start = kept.shell(2, "true");
    start.stdin = Some(b"/no/such/file".to_vec());
    let record = kept.run(start);
    let message = "cannot read standard input from `/no/such/file`: No such file or directory".to_owned();
    assert_eq!(could_not_start(record.end), (message, false));
}

#[test]
fn a_program_is_looked_up_in_the_path_of_the_job() {
    use std::os::unix::fs::PermissionsExt;
    let mut kept = Kept::new();
    let bin = kept.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // Without an interpreter line, as `execvp` runs it.
    std::fs::write(bin.join("greet"), "echo hello $1").unwrap();
    std::fs::set_permissions(bin.join("greet"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut start = kept.order(1, &["greet", "you"]);
    start.env = [format!("PATH=/nowhere:{}", bin.display())].into_iter().collect();
    let record = kept.run(start);
    assert_eq!(record.end, End::Exited { code: 0 });
    assert_eq!(kept.text(&record.stdout), "hello you\n");
}

#[test]
fn a_timeout_leaves_nothing_of_the_tree_not_even_what_left_the_group() {
    let mut kept = Kept::new();
    let mut start = kept.shell(1, "sleep 300 & setsid sleep 300 & sleep 300");
    start.timeout_ms = Some(1000);
    let claim = kept.start(start);
    let record = kept.exited(claim);
    assert_eq!(record.end, End::TimedOut);
    assert!(record.ended_ms - record.started_ms.unwrap() >= 1000);
    assert_eq!(marked(claim), [0; 0]);
}

#[test]
fn a_timeout_is_one_even_if_the_job_then_exits_well() {
    let mut kept = Kept::new();
    let mut start = kept.shell(1, "trap 'exit 0' TERM; while :; do sleep 0.01; done");
    start.timeout_ms = Some(500);
    assert_eq!(kept.run(start).end, End::TimedOut);
}

#[test]
fn who_ignores_term_is_killed_after_the_grace() {
    let mut kept = Kept::new();
    let mut start = kept.rude(1, &["ignore-term"]);
    start.timeout_ms = Some(500);
    start.kill_grace_ms = 300;
    let claim = kept.start(start);
    let pid = kept.started(claim);
    kept.has_printed(claim, "ready");
    let record = kept.exited(claim);
    assert_eq!(record.end, End::TimedOut);
    assert!(record.ended_ms - record.started_ms.unwrap() >= 800);
    assert!(!is_alive(pid));
}

#[test]
fn stop_ends_one_attempt_and_no_other() {
    let mut kept = Kept::new();
    let stopped = kept.start(kept.rude(1, &["escape-and-wait"]));
    let other = kept.start(kept.shell(2, "while [ ! -e go ]; do sleep 0.01; done"));
    kept.started(stopped);
    kept.started(other);
    kept.has_printed(stopped, "\n");
    let reason = StopReason::Cancelled;
    kept.line().send(&Request::Stop { claim: stopped, reason, grace_ms: 60_000 });
    assert_eq!(kept.exited(stopped).end, End::Stopped { reason });
    assert_eq!(marked(stopped), [0; 0]);
    std::fs::write(kept.dir().join("go"), "").unwrap();
    assert_eq!(kept.exited(other).end, End::Exited { code: 0 });
}

#[test]
fn stop_without_grace_kills_at_once() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.rude(1, &["ignore-term"]));
    kept.has_printed(claim, "ready");
    let reason = StopReason::WorkerStopping;
    kept.line().send(&Request::Stop { claim, reason, grace_ms: 0 });
    assert_eq!(kept.exited(claim).end, End::Stopped { reason });
}

#[test]
fn a_second_stop_shortens_the_grace_of_the_first() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.rude(1, &["ignore-term"]));
    kept.has_printed(claim, "ready");
    let stop = |reason, grace_ms| Request::Stop { claim, reason, grace_ms };
    kept.line().send(&stop(StopReason::Cancelled, 3_600_000));
    kept.line().send(&stop(StopReason::WorkerStopping, 0));
    assert_eq!(kept.exited(claim).end, End::Stopped { reason: StopReason::Cancelled });
}

#[test]
fn stop_of_what_is_unknown_or_over_does_nothing() {
    let mut kept = Kept::new();
    let over = kept.start(kept.shell(1, "exit 3"));
    let record = kept.exited(over);
    assert_eq!(record.end, End::Exited { code: 3 });
    for claim in [over, kept.claim(99)] {
        kept.line().send(&Request::Stop { claim, reason: StopReason::Cancelled, grace_ms: 0 });
    }
    assert_eq!(kept.run(kept.shell(2, "exit 4")).end, End::Exited { code: 4 });
}

#[test]
fn a_claim_is_started_once() {
    let mut kept = Kept::new();
    let start = kept.shell(1, "echo once >> log");
    assert_eq!(kept.run(start.clone()).end, End::Exited { code: 0 });
    kept.start(start);
    kept.run(kept.shell(2, "true"));
    assert_eq!(std::fs::read_to_string(kept.dir().join("log")).unwrap(), "once\n");
}

#[test]
fn a_shutdown_interrupts_what_it_kills() {
    let mut kept = Kept::new();
    let before = kept.start(kept.shell(1, "sleep 300"));
    let after = kept.start(kept.shell(2, "sleep 300"));
    let well = kept.start(kept.shell(3, "sleep 0.5; exit 5"));
    let (before_pid, after_pid) = (kept.started(before), kept.started(after));
    kept.started(well);
    // The machine ends all processes, in no order.
    send_signal(before_pid, Signal::TERM);
    send_signal(kept.pid(), Signal::TERM);
    send_signal(after_pid, Signal::TERM);
    let interrupted = End::Interrupted { cause: Interruption::Shutdown };
    assert_eq!(kept.exited(before).end, interrupted);
    assert_eq!(kept.exited(after).end, interrupted);
    // It drains: what runs may end, and nothing is started.
    let (message, ours) = could_not_start(kept.run(kept.shell(4, "true")).end);
    assert_eq!((message.as_str(), ours), ("the keeper is shutting down", true));
    assert_eq!(kept.exited(well).end, End::Exited { code: 5 });
}

#[test]
fn an_exit_comes_after_its_start_and_both_come_once() {
    let mut kept = Kept::new();
    for number in 0..50 {
        kept.start(kept.shell(number, "true"));
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        match kept.line().next().unwrap() {
            Event::Started { claim, .. } => seen.push((claim.number, false)),
            Event::Exited(record) => seen.push((record.claim.number, true)),
            other => panic!("{other:?}"),
        }
    }
    for number in 0..50 {
        let of: Vec<bool> = seen.iter().filter(|(n, _)| *n == number).map(|(_, exit)| *exit).collect();
        assert_eq!(of, [false, true], "attempt {number}");
    }
}
