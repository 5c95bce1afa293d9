//! Workers to which a control group is delegated, as by the unit that `worker unit` prints.

use std::path::Path;

use queuectl_testing::delegated::Delegated;

use crate::stage::{KILL, Stage, has_ended, keeper_of, signal, until};

/// A line that leaves behind a process without environment, parents and session of its job's, says its pid, and waits.
fn hide(stage: &Stage) -> String {
    let dir = stage.dir.path().display();
    format!(
        "env -i setsid sh -c 'sleep 300 < /dev/null > /dev/null 2>&1 & echo $! >> {dir}/hidden'; \
         until [ -e {dir}/go ]; do sleep 0.02; done"
    )
}

fn hidden(stage: &Stage, count: usize) -> u32 {
    until("something is hidden", || stage.lines("hidden").len() == count);
    stage.lines("hidden").last().expect("a line").parse().expect("a pid")
}

#[test]
fn what_hides_from_all_else_is_ended_before_its_job_runs_again() {
    let Some(delegated) = Delegated::marked() else { return };
    let program = delegated.entering(Path::new(env!("CARGO_BIN_EXE_queuectl")));
    let mut stage = Stage::new();
    let worker = stage.start_worker_by(&program, &[]);
    until("its keeper is there, and says so", || {
        stage.run(&["doctor"]).contains("jobs run in control groups of their own")
    });
    let line = hide(&stage);
    stage.enqueue("job", &line);
    let first = hidden(&stage, 1);
    let keeper = keeper_of(worker);
    signal(worker, KILL);
    stage.await_worker(worker);
    assert!(!has_ended(first), "the keeper lives on");
    let worker = stage.start_worker_by(&program, &[]);
    // Of a keeper's death the kernel tells its direct children only.
    signal(keeper, KILL);
    let second = hidden(&stage, 2);
    assert!(has_ended(first));
    assert!(!has_ended(second));
    std::fs::write(stage.path("go"), "").expect("written");
    stage.until_state("job", "completed");
    assert!(has_ended(second), "its job has ended");
    stage.run(&["worker", "stop"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    until("nothing is left", || homes(&delegated).is_empty());
}

/// What keepers have made.
fn homes(delegated: &Delegated) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(&delegated.group).expect("a group").flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
