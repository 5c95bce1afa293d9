//! Many processes on one database: workers that share jobs, enqueuers beside them, stops in the middle.

use std::process::Stdio;

use crate::stage::{CONT, STOP, Stage, TERM, signal, until};

#[test]
fn three_workers_run_a_thousand_jobs_once_each() {
    let mut stage = Stage::new();
    let lines: Vec<String> =
        (0..1000).map(|n| format!(r#"{{"id":"n{n}","command":"echo n{n} >> ran"}}"#)).collect();
    std::fs::write(stage.path("jobs"), lines.join("\n")).expect("written");
    stage.run(&["enqueue", "@jobs", "--quiet"]);
    let workers: Vec<u32> = (0..3).map(|_| stage.start_worker(&["--count", "2", "--drain"])).collect();
    for worker in workers {
        assert_eq!(stage.await_worker(worker), Some(0));
    }
    let mut ran = stage.lines("ran");
    assert_eq!(ran.len(), 1000);
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), 1000);
    assert_eq!(stage.run(&["list", "--state", "completed", "--quiet"]).lines().count(), 1000);
}

#[test]
fn two_workers_share_ten_long_jobs_evenly() {
    let mut stage = Stage::new();
    for n in 0..10 {
        stage.enqueue(&format!("j{n}"), "sleep 1");
    }
    let workers = [stage.start_worker(&["--drain"]), stage.start_worker(&["--drain"])];
    for worker in workers {
        assert_eq!(stage.await_worker(worker), Some(0));
    }
    let jobs: serde_json::Value = serde_json::from_str(&stage.run(&["list", "--json"])).expect("JSON");
    let jobs = jobs.as_array().expect("an array");
    let of_first = jobs.iter().filter(|job| job["worker_id"] == jobs[0]["worker_id"]).count();
    assert!((4..=6).contains(&of_first), "one of them ran {of_first} of 10");
}

#[test]
fn twenty_enqueuers_beside_a_busy_worker_never_see_a_locked_database() {
    let mut stage = Stage::new();
    stage.start_worker(&["--count", "2"]);
    let script = r#"for i in 1 2 3 4 5; do "$0" enqueue --quiet -c true 2>&1 || echo FAILED; done"#;
    let enqueuers: Vec<_> = (0..20)
        .map(|_| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script, env!("CARGO_BIN_EXE_queuectl")]);
            command.env("QUEUECTL_DB", &stage.database).stdout(Stdio::piped()).spawn().expect("a shell")
        })
        .collect();
    for enqueuer in enqueuers {
        let output = enqueuer.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(!said.contains("lock") && !said.contains("failed") && !said.contains("error"), "{said}");
    }
    until("all have run", || stage.run(&["list", "--state", "completed", "--quiet"]).lines().count() == 100);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_term_while_draining_finishes_what_runs_and_leaves_the_rest() {
    let mut stage = Stage::new();
    for n in 0..3 {
        stage.enqueue(&format!("j{n}"), "echo begun >> begun; until [ -e go ]; do sleep 0.02; done");
    }
    let worker = stage.start_worker(&["--drain"]);
    until("one runs", || stage.lines("begun").len() == 1);
    signal(worker, TERM);
    until("the worker is stopping", || stage.run(&["worker", "list"]).contains("stopping"));
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(stage.run(&["list", "--state", "completed", "--quiet"]).lines().count(), 1);
    assert_eq!(stage.run(&["list", "--state", "pending", "--quiet"]).lines().count(), 2);
}

#[test]
fn a_forced_stop_gives_the_job_back_uncharged() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    stage.enqueue("job", "trap 'exit 0' TERM; echo begun >> begun; while :; do sleep 0.02; done");
    until("it runs", || !stage.lines("begun").is_empty());
    stage.run(&["worker", "stop", "--force"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    let job = stage.job("job");
    assert_eq!(job["state"], "pending");
    assert_eq!((&job["attempts"], &job["interruptions"]), (&0.into(), &0.into()));
    assert_eq!(job["attempts_log"][0]["outcome"], "stopped");
}

#[test]
fn a_stopped_idle_worker_does_not_block_an_enqueuer() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    signal(worker, STOP);
    // Far more rings than its socket holds.
    for _ in 0..40 {
        stage.run(&["enqueue", "--quiet", "-c", "true"]);
    }
    let lines = vec![r#"{"command":"true"}"#; 500].join("\n");
    std::fs::write(stage.path("jobs"), lines).expect("written");
    stage.run(&["enqueue", "@jobs", "--quiet"]);
    signal(worker, CONT);
    until("all have run", || stage.run(&["list", "--state", "completed", "--quiet"]).lines().count() == 540);
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_path_of_two_hundred_characters_works() {
    let mut stage = Stage::new();
    let deep = "d".repeat(60);
    stage.database = stage.path(&format!("{deep}/{deep}/{deep}/{}/queue.db", "e".repeat(20)));
    assert!(stage.database.as_os_str().len() >= 200);
    stage.enqueue("before", "true");
    let worker = stage.start_worker(&[]);
    stage.until_state("before", "completed");
    // The ring and the keeper's socket work there too.
    stage.enqueue("after", "echo hello");
    stage.until_state("after", "completed");
    let output = stage.output(&["run", "echo live; exit 4"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), b"live\n".as_slice()));
    stage.run(&["worker", "stop"]);
    assert_eq!(stage.await_worker(worker), Some(0));
}

#[test]
fn a_limit_on_running_jobs_holds_over_all_workers() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "--queue", "narrow", "max-running", "1"]);
    for n in 0..20 {
        let line = "mkdir running || echo overlap >> overlaps; rmdir running; echo $QUEUECTL_JOB_ID >> ran";
        stage.run(&["enqueue", "--id", &format!("j{n}"), "-q", "narrow", "-c", line]);
    }
    let workers =
        [stage.start_worker(&["--count", "3", "--drain"]), stage.start_worker(&["--count", "3", "--drain"])];
    for worker in workers {
        assert_eq!(stage.await_worker(worker), Some(0));
    }
    assert_eq!(stage.read("overlaps"), "");
    let order: Vec<String> = (0..20).map(|n| format!("j{n}")).collect();
    assert_eq!(stage.lines("ran"), order, "by age");
}
