//! Jobs that misbehave, run by the real binary.

use std::fs;

use crate::stage::{KILL, Stage, keeper_of, processes_of, signal, until};

fn memory_peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[test]
fn a_timeout_leaves_no_process_behind() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "kill-grace", "500ms"]);
    let line = "sh -c 'sleep 300 & setsid sleep 300 & trap \"\" TERM; sleep 300; sleep 300'";
    stage.run(&["enqueue", "--id", "slow", "-t", "1", "-r", "1", "-c", line]);
    let worker = stage.start_worker(&[]);
    stage.until_state("slow", "dead");
    assert!(processes_of(&stage.database).is_empty());
    let job = stage.job("slow");
    assert_eq!((&job["exit_code"], &job["attempts_log"][0]["outcome"]), (&124.into(), &"timed-out".into()));
    stage.run(&["worker", "stop"]);
    assert_eq!(stage.await_worker(worker), Some(0));
}

#[test]
fn a_flood_of_output_costs_no_memory_and_keeps_head_and_tail() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    let keeper = keeper_of(worker);
    let before = (memory_peak_kib(worker), memory_peak_kib(keeper));
    let bytes = 256 * 1024 * 1024;
    stage.enqueue("flood", &format!("echo head; head -c {bytes} /dev/zero; echo tail"));
    stage.until_state("flood", "completed");
    let growth = |pid, before| memory_peak_kib(pid).saturating_sub(before) / 1024;
    assert!(growth(worker, before.0) <= 32 && growth(keeper, before.1) <= 32, "MiB");
    let stdout = &stage.job("flood")["attempts_log"][0]["stdout"];
    assert_eq!(stdout["bytes"], bytes + 10);
    let output = stage.output(&["logs", "flood", "--stdout"]).stdout;
    assert!(output.starts_with(b"head\n") && output.ends_with(b"tail\n"));
    assert!(output.len() <= 16 * 1024 * 1024);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_grandchild_that_holds_the_output_does_not_hold_the_slot() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    stage.enqueue("daemon", "setsid sleep 300 & echo started");
    stage.until_state("daemon", "completed");
    let job = stage.job("daemon");
    assert_eq!(job["attempts_log"][0]["leftovers_killed"], 1);
    assert!(processes_of(&stage.database).is_empty());
    stage.run(&["enqueue", "--id", "kept", "--leftovers", "keep", "-c", "setsid sleep 300 & echo started"]);
    stage.until_state("kept", "completed");
    // In the middle of becoming its program a process shows no environment.
    until("it was asked to be left", || processes_of(&stage.database).len() == 1);
    signal(processes_of(&stage.database)[0], KILL);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_cancelled_job_ends_with_its_whole_tree() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "kill-grace", "500ms"]);
    stage.start_worker(&[]);
    stage.enqueue("job", "trap '' TERM; setsid sleep 300 & echo begun >> begun; while :; do sleep 1; done");
    until("it runs", || !stage.lines("begun").is_empty());
    stage.run(&["cancel", "job"]);
    stage.until_state("job", "cancelled");
    assert!(processes_of(&stage.database).is_empty());
    assert_eq!(stage.job("job")["attempts"], 0);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_job_enqueues_into_the_store_that_it_came_from() {
    let mut stage = Stage::new();
    let binary = env!("CARGO_BIN_EXE_queuectl");
    stage.enqueue("parent", &format!("{binary} enqueue --id child -c 'echo child'"));
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(stage.state("child"), "completed");
    assert_eq!(stage.run(&["logs", "child", "--stdout"]), "child\n");
}

#[test]
fn a_dead_job_fires_its_hook_once() {
    let mut stage = Stage::new();
    stage.run(&[
        "config",
        "set",
        "on-dead",
        "echo $QUEUECTL_DEAD_ID $QUEUECTL_DEAD_EXIT_CODE >> hooked; exit 1",
    ]);
    stage.run(&["config", "set", "--queue", "hooks", "max-retries", "1"]);
    stage.run(&["enqueue", "--id", "bad", "-r", "1", "-c", "exit 7"]);
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(stage.lines("hooked"), ["bad 7"], "hooks fire no hooks");
}
