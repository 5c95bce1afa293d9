//! Adoption: what a worker leaves running runs on, and the next worker, or whoever looks, takes it over.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use queuectl_exec::now_boot_ms;
use serde_json::Value;

use crate::crash::{begun, watchful};
use crate::stage::{HUP, KILL, STOP, Stage, has_ended, has_signal, keeper_of, processes_of, signal, until};

fn go(stage: &Stage, id: &str) {
    std::fs::write(stage.path(&format!("go-{id}")), "").expect("written");
}

fn orphaned_jobs(stage: &Stage) -> Vec<String> {
    let status: Value = serde_json::from_str(&stage.run(&["status", "--json"])).expect("JSON");
    let orphans = status["workers"]["orphans"].as_array().expect("an array");
    let jobs = orphans.iter().flat_map(|orphan| orphan["jobs"].as_array().expect("an array"));
    jobs.map(|id| id.as_str().expect("an id").to_owned()).collect()
}

/// A job that runs, and the worker that runs it.
fn running(stage: &mut Stage, id: &str, arguments: &[&str]) -> u32 {
    let worker = stage.start_worker(arguments);
    stage.enqueue(id, &format!("echo one; {}; echo two", watchful(stage, id)));
    until("it runs", || begun(stage, id) == 1);
    worker
}

/// One run, one charged attempt, all of its output.
fn ran_once(stage: &Stage, id: &str) {
    stage.until_state(id, "completed");
    let job = stage.job(id);
    assert_eq!((&job["attempts"], &job["runs"], &job["interruptions"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!((begun(stage, id), stage.read("overlaps")), (1, String::new()));
    assert_eq!(stage.run(&["logs", id, "--stdout"]), "one\ntwo\n");
}

#[test]
fn a_killed_workers_jobs_run_on_and_the_next_worker_start_adopts_them() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &["--count", "2"]);
    stage.enqueue("b", &format!("echo one; {}; echo two", watchful(&stage, "b")));
    until("both run", || begun(&stage, "b") == 1);
    signal(worker, KILL);
    stage.await_worker(worker);
    until("the keeper says so", || orphaned_jobs(&stage) == ["a", "b"]);
    let status = stage.run(&["status"]);
    assert!(status.contains("0 active") && status.contains("worker gone, 2 jobs run on (a, b)"), "{status}");
    let list = stage.output(&["worker", "list"]);
    assert!(String::from_utf8_lossy(&list.stderr).contains("worker gone, 2 jobs run on"));
    assert!(list.stdout.is_empty(), "a keeper is no worker");
    go(&stage, "a");
    // Whoever comes settles what has ended meanwhile and goes on with what has not.
    stage.start_worker(&[]);
    ran_once(&stage, "a");
    assert_eq!(stage.state("b"), "processing");
    assert_eq!(orphaned_jobs(&stage), [""; 0]);
    go(&stage, "b");
    ran_once(&stage, "b");
    stage.run(&["worker", "stop"]);
    until("nothing is left", || processes_of(&stage.database).is_empty());
}

#[test]
fn a_worker_whose_lock_file_has_gone_stops_and_leaves_its_jobs_to_the_next() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    let run_dir = stage.path("queue.db.run");
    let names = std::fs::read_dir(run_dir).expect("there").flatten().map(|entry| entry.path());
    let is_lock = |path: &std::path::PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("worker-") && path.extension().is_some_and(|kind| kind == "lock")
    };
    names.filter(is_lock).for_each(|path| std::fs::remove_file(path).expect("removed"));
    assert_eq!(stage.await_worker(worker), Some(5));
    assert!(stage.log().contains("lock file of this worker has gone"), "{}", stage.log());
    assert_eq!(orphaned_jobs(&stage), ["a"]);
    stage.start_worker(&[]);
    go(&stage, "a");
    ran_once(&stage, "a");
    stage.run(&["worker", "stop"]);
}

#[test]
fn adopted_jobs_take_slots() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    signal(worker, KILL);
    stage.await_worker(worker);
    stage.enqueue("b", "true");
    stage.start_worker(&["--count", "1"]);
    until("it is adopted", || orphaned_jobs(&stage).is_empty());
    let explained = stage.run(&["explain", "b"]);
    assert!(stage.state("b") == "pending" && begun(&stage, "a") == 1, "{explained}");
    go(&stage, "a");
    ran_once(&stage, "a");
    stage.until_state("b", "completed");
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_live_worker_adopts_and_a_cancellation_reaches_what_it_has_adopted() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    stage.start_worker(&["-q", "other"]);
    signal(worker, KILL);
    stage.await_worker(worker);
    until("it is adopted", || orphaned_jobs(&stage).is_empty());
    stage.run(&["cancel", "a"]);
    stage.until_state("a", "cancelled");
    assert_eq!(begun(&stage, "a"), 1);
    until("nothing is left of it", || processes_of(&stage.database).is_empty());
    stage.run(&["worker", "stop"]);
}

#[test]
fn worker_stop_handover_leaves_at_once_and_the_next_worker_goes_on() {
    let mut stage = Stage::new();
    // Even of a worker whose crash would end them.
    let worker = running(&mut stage, "a", &["--on-crash", "kill"]);
    let output = stage.output(&["worker", "stop", "--handover"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 job of a worker that is gone runs on (a)"));
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(orphaned_jobs(&stage), ["a"]);
    stage.start_worker(&[]);
    go(&stage, "a");
    ran_once(&stage, "a");
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_hangup_leaves_at_once_and_its_jobs_run_on() {
    // What is started from here ignores it as well.
    if has_signal("self", "SigIgn", HUP) {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: HUP is ignored here, as under nohup");
        return;
    }
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    signal(worker, HUP);
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(orphaned_jobs(&stage), ["a"]);
    go(&stage, "a");
    // Nobody adopts: whoever looks records what came of it.
    until("the keeper has ended", || orphaned_jobs(&stage).is_empty());
    ran_once(&stage, "a");
}

#[test]
fn worker_stop_reaches_keepers_without_a_worker() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    signal(worker, KILL);
    stage.await_worker(worker);
    until("the keeper says so", || orphaned_jobs(&stage) == ["a"]);
    let late = stage.output(&["worker", "stop", "--timeout", "100ms"]);
    assert_eq!(late.status.code(), Some(124), "it waits for what runs");
    until("it is left as it was", || orphaned_jobs(&stage) == ["a"]);
    let output = stage.output(&["worker", "stop", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let job = stage.job("a");
    assert_eq!(
        (&job["state"], &job["attempts"], &job["interruptions"]),
        (&"pending".into(), &0.into(), &0.into())
    );
    assert_eq!(processes_of(&stage.database), [0; 0]);
}

#[test]
fn jobs_end_with_the_database_they_belong_to() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    signal(worker, KILL);
    stage.await_worker(worker);
    std::fs::remove_file(&stage.database).expect("removed");
    until("its jobs are ended", || processes_of(&stage.database).is_empty());
}

#[test]
fn worker_stop_force_ends_a_frozen_worker_and_gives_its_job_back() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    signal(worker, STOP);
    until("it is frozen", || Stage::is_frozen(worker));
    let late = stage.output(&["worker", "stop", "--timeout", "100ms"]);
    assert_eq!(late.status.code(), Some(124));
    assert!(String::from_utf8_lossy(&late.stderr).contains("kill -CONT"), "what to do");
    let output = stage.output(&["worker", "stop", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stage.await_worker(worker), None);
    let job = stage.job("a");
    assert_eq!(
        (&job["state"], &job["attempts"], &job["interruptions"]),
        (&"pending".into(), &0.into(), &0.into())
    );
    assert_eq!(processes_of(&stage.database), [0; 0]);
}

/// Its worker is gone.
fn orphaned(stage: &mut Stage, id: &str) -> u32 {
    let worker = running(stage, id, &[]);
    let keeper = keeper_of(worker);
    signal(worker, KILL);
    stage.await_worker(worker);
    until("the keeper says so", || orphaned_jobs(stage) == [id]);
    keeper
}

fn freeze(pid: u32) {
    signal(pid, STOP);
    until("it is frozen", || Stage::is_frozen(pid));
}

/// Ends all that runs without a worker, and says so.
fn stop_by_force(stage: &Stage) {
    let stopped = stage.run(&["worker", "stop", "--force"]);
    assert_eq!(stopped, "Stopped 1 orphaned keeper\n");
    let job = stage.job("a");
    assert_eq!((&job["state"], &job["attempts"]), (&"pending".into(), &0.into()));
    assert_eq!(processes_of(&stage.database), [0; 0]);
}

#[test]
fn a_frozen_keeper_holds_up_no_worker_and_goes_on_to_be_stopped() {
    let mut stage = Stage::new();
    let keeper = orphaned(&mut stage, "a");
    freeze(keeper);
    stage.enqueue("b", "true");
    let begin = now_boot_ms();
    let worker = stage.start_worker(&[]);
    stage.until_state("b", "completed");
    stage.run(&["worker", "stop"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    let took = now_boot_ms() - begin;
    assert!(took < 8000, "{took} ms");
    let late = stage.output(&["worker", "stop", "--timeout", "100ms"]);
    assert_eq!(late.status.code(), Some(124), "it runs on");
    stop_by_force(&stage);
    assert!(has_ended(keeper));
}

#[test]
fn a_forced_stop_reaches_a_keeper_that_has_not_noticed_its_workers_death() {
    let mut stage = Stage::new();
    let worker = running(&mut stage, "a", &[]);
    freeze(keeper_of(worker));
    signal(worker, KILL);
    stage.await_worker(worker);
    assert_eq!(orphaned_jobs(&stage), ["a"]);
    stop_by_force(&stage);
}

#[test]
fn what_a_stop_waits_for_is_seen_and_reached_by_others() {
    let mut stage = Stage::new();
    orphaned(&mut stage, "a");
    let mut waiting =
        stage.command(&["worker", "stop"]).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = [0; 10];
    waiting.stderr.as_mut().expect("piped").read_exact(&mut said).expect("it says what it waits for");
    for _ in 0..20 {
        assert_eq!(orphaned_jobs(&stage), ["a"]);
    }
    stop_by_force(&stage);
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_cancellation_of_what_has_no_worker_says_who_ends_it() {
    let mut stage = Stage::new();
    orphaned(&mut stage, "a");
    let output = stage.output(&["cancel", "a"]);
    let (said, hint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("its worker is gone") && hint.contains("worker stop --force"), "{said}{hint}");
    stage.run(&["worker", "stop", "--force"]);
    assert_eq!(stage.state("a"), "cancelled");
}

#[test]
fn whoever_looks_records_what_a_keeper_left_whose_lock_file_was_deleted() {
    let mut stage = Stage::new();
    let keeper = orphaned(&mut stage, "a");
    let run_dir = stage.path("queue.db.run");
    let entries = std::fs::read_dir(&run_dir).expect("the run directory").flatten().map(|entry| entry.path());
    let is_lock = |path: &PathBuf| path.to_string_lossy().ends_with(".lock");
    entries.filter(is_lock).for_each(|path| std::fs::remove_file(path).expect("removed"));
    until("the keeper has ended", || has_ended(keeper));
    assert_eq!(stage.state("a"), "pending");
    let left: Vec<_> = std::fs::read_dir(&run_dir).expect("the run directory").flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("keeper")), "{left:?}");
}

/// A worker that is started by this script, and hears HUP.
fn stays_on_hangup(script: &str) {
    let mut stage = Stage::new();
    let program = stage.path("start");
    let binary = env!("CARGO_BIN_EXE_queuectl");
    std::fs::write(&program, format!("#!/bin/sh\n{script} {binary} \"$@\"\n")).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made a program");
    let worker = stage.start_worker_by(&program, &[]);
    stage.enqueue("a", "true");
    stage.until_state("a", "completed");
    signal(worker, HUP);
    stage.enqueue("b", "sleep 0.3");
    stage.until_state("b", "completed");
    assert_eq!(stage.worker_pids(), [worker]);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_hangup_that_is_ignored_at_the_start_stays_ignored() {
    stays_on_hangup("trap '' HUP; exec");
}

#[test]
fn a_hangup_ends_nothing_in_a_service_of_any_type() {
    stays_on_hangup("export INVOCATION_ID=1; exec setsid");
}

#[test]
fn a_lack_of_descriptors_for_a_new_keeper_pauses_a_worker() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    let keeper = keeper_of(worker);
    // As few as it has already: nothing can be opened.
    limit_descriptors(worker, "3");
    signal(keeper, KILL);
    until("it says so", || stage.log().contains("no keeper could be started"));
    stage.enqueue("a", "true");
    limit_descriptors(worker, "1024");
    stage.until_state("a", "completed");
    assert_eq!(stage.worker_pids(), [worker]);
    stage.run(&["worker", "stop"]);
}

pub fn limit_descriptors(pid: u32, to: &str) {
    let words = ["--pid", &pid.to_string(), &format!("--nofile={to}:")];
    let status = Command::new("prlimit").args(words).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot limit {pid}");
}
