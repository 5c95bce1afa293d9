//! Crashes of real processes: of a worker, of a keeper, of both at once, while jobs run.

use crate::stage::{KILL, Stage, TERM, children, has_ended, keeper_of, processes_of, signal, until};

/// Kills of worker and keeper together. `QUEUECTL_TEST_KILLS=100` is the long profile.
fn kills() -> usize {
    #[expect(clippy::disallowed_methods, reason = "the tester chooses the profile")]
    let chosen = std::env::var("QUEUECTL_TEST_KILLS");
    chosen.ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// A job that notices if another run of it is alive, and that leaves a part of itself outside of its process group.
pub fn watchful(stage: &Stage, id: &str) -> String {
    let dir = stage.dir.path().display();
    format!(
        "exec 9>>{dir}/lock-{id}; flock -n 9 || echo {id} >> {dir}/overlaps; setsid sleep 30 & \
         echo {id} >> {dir}/begun; until [ -e {dir}/go-{id} ]; do sleep 0.02; done; echo {id} >> {dir}/done"
    )
}

pub fn begun(stage: &Stage, id: &str) -> usize {
    stage.lines("begun").iter().filter(|line| *line == id).count()
}

#[test]
fn worker_and_keeper_killed_together_never_make_two_runs_overlap() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "crash-limit", "1000"]);
    stage.start_worker(&[]);
    stage.start_worker(&[]);
    for round in 0..kills() {
        let id = format!("job{round}");
        stage.enqueue(&id, &watchful(&stage, &id));
        until("the first run has begun", || begun(&stage, &id) == 1);
        let owner = stage.job(&id)["worker_id"].as_str().expect("a worker").to_owned();
        let workers: serde_json::Value =
            serde_json::from_str(&stage.run(&["worker", "list", "--json"])).expect("JSON");
        let worker =
            workers.as_array().expect("an array").iter().find(|worker| worker["id"] == owner.as_str());
        let worker = worker.expect("it lives")["pid"].as_u64().expect("a pid") as u32;
        let keeper = keeper_of(worker);
        signal(worker, KILL);
        signal(keeper, KILL);
        until("the second run has begun", || begun(&stage, &id) == 2);
        std::fs::write(stage.path(&format!("go-{id}")), "").expect("written");
        stage.until_state(&id, "completed");
        assert_eq!(stage.await_worker(worker), None);
        stage.start_worker(&[]);
    }
    assert_eq!(stage.read("overlaps"), "");
    let attempts = stage.job("job0")["attempts_log"].as_array().expect("an array").len();
    assert_eq!(attempts, 2, "the interrupted run has its row");
    assert_eq!(stage.job("job0")["attempts"], 1, "and is not charged");
    stage.run(&["worker", "stop"]);
}

#[test]
fn on_crash_kill_a_killed_worker_takes_its_whole_tree_with_it() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&["--on-crash", "kill"]);
    stage.enqueue("tree", &watchful(&stage, "tree"));
    until("the run has begun", || begun(&stage, "tree") == 1);
    assert!(processes_of(&stage.database).len() >= 2, "the shell and what it set apart");
    signal(worker, KILL);
    until("nothing is left of the job", || processes_of(&stage.database).is_empty());
    stage.await_worker(worker);
    std::fs::write(stage.path("go-tree"), "").expect("written");
    stage.start_worker(&[]);
    stage.until_state("tree", "completed");
    assert_eq!(stage.job("tree")["attempts_log"][0]["outcome"], "interrupted");
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_killed_keeper_is_replaced_and_its_job_runs_again() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    stage.enqueue("job", &watchful(&stage, "job"));
    until("the run has begun", || begun(&stage, "job") == 1);
    signal(keeper_of(worker), KILL);
    until("the job runs again", || begun(&stage, "job") == 2);
    std::fs::write(stage.path("go-job"), "").expect("written");
    stage.until_state("job", "completed");
    assert_eq!(stage.read("overlaps"), "");
    assert_eq!(stage.worker_pids(), [worker], "the worker lives on");
    stage.run(&["worker", "stop"]);
}

#[test]
fn a_job_that_brings_down_whoever_runs_it_is_dead_at_the_crash_limit() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "crash-limit", "2"]);
    stage.start_worker(&[]);
    // The keeper is the parent of the job.
    stage.enqueue("poison", "kill -KILL $PPID; sleep 60");
    stage.until_state("poison", "dead");
    let job = stage.job("poison");
    assert_eq!((&job["attempts"], &job["interruptions"]), (&0.into(), &2.into()));
    assert!(job["last_error"].as_str().is_some_and(|text| text.contains("crash limit")), "{job}");
    stage.run(&["worker", "stop"]);
}

#[test]
fn an_at_most_once_job_is_dead_after_a_crash() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    stage.run(&["enqueue", "--id", "once", "--at-most-once", "-c", &watchful(&stage, "once")]);
    until("the run has begun", || begun(&stage, "once") == 1);
    signal(keeper_of(worker), KILL);
    stage.until_state("once", "dead");
    assert_eq!(begun(&stage, "once"), 1);
    stage.run(&["worker", "stop"]);
}

#[test]
fn everything_survives_a_restart_of_everything() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&["--count", "2"]);
    for n in 0..4 {
        let id = format!("r{n}");
        stage.enqueue(&id, &watchful(&stage, &id));
    }
    until("two have begun", || stage.lines("begun").len() == 2);
    let keeper = keeper_of(worker);
    let runs = children(keeper);
    signal(worker, KILL);
    signal(keeper, KILL);
    stage.await_worker(worker);
    // A drain does not wait for what a living keeper runs.
    until("the keeper is gone", || has_ended(keeper));
    // What it ran dies a moment later, and could still come to its end.
    until("its runs are gone", || runs.iter().all(|run| has_ended(*run)));
    for n in 0..4 {
        std::fs::write(stage.path(&format!("go-r{n}")), "").expect("written");
    }
    let drainer = stage.start_worker(&["--count", "2", "--drain"]);
    assert_eq!(stage.await_worker(drainer), Some(0));
    assert_eq!(stage.read("overlaps"), "");
    let mut done = stage.lines("done");
    done.sort();
    assert_eq!(done, ["r0", "r1", "r2", "r3"]);
    assert!(processes_of(&stage.database).is_empty());
}

#[test]
fn a_drain_waits_for_whoever_is_giving_back_what_a_dead_keeper_ran() {
    let mut stage = Stage::new();
    let worker = stage.start_worker(&[]);
    stage.enqueue("a", &watchful(&stage, "a"));
    until("it runs", || begun(&stage, "a") == 1);
    let keeper = keeper_of(worker);
    signal(worker, KILL);
    signal(keeper, KILL);
    stage.await_worker(worker);
    until("the keeper is gone", || has_ended(keeper));
    std::fs::write(stage.path("go-a"), "").expect("written");
    // Somebody who has come first, and takes his time.
    let entries = std::fs::read_dir(stage.path("queue.db.run")).expect("a run directory");
    let names = entries.map(|entry| entry.expect("an entry").path());
    let is_lock = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(".lock");
    let lock =
        names.filter(is_lock).find(|path| path.to_string_lossy().contains("keeper-")).expect("its lock");
    let heir = std::fs::File::open(lock).expect("readable");
    until("nobody has it", || heir.try_lock().is_ok());
    stage.enqueue("b", "true");
    let drainer = stage.start_worker(&["--drain"]);
    stage.until_state("b", "completed");
    // Drained but for that.
    for _ in 0..10 {
        assert_eq!(stage.state("a"), "processing");
        assert!(!has_ended(drainer), "{}", stage.log());
    }
    drop(heir);
    assert_eq!(stage.await_worker(drainer), Some(0));
    assert_eq!((stage.state("a"), stage.lines("done").len()), ("completed".to_owned(), 1));
}

#[test]
fn a_keeper_that_is_told_to_stop_is_replaced() {
    let mut stage = Stage::new();
    stage.enqueue("long", "touch begun; until [ -e go ]; do sleep 0.05; done");
    let worker = stage.start_worker(&["--drain"]);
    until("it runs", || stage.path("begun").exists());
    signal(keeper_of(worker), TERM);
    stage.enqueue("next", "true");
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(worker), Some(0), "the drain comes to its end");
    assert_eq!((stage.state("long"), stage.state("next")), ("completed".to_owned(), "completed".to_owned()));
}
