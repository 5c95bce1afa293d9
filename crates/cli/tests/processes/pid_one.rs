//! A worker as the first process of a container, in a pid namespace of its own.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::adoption::limit_descriptors;
use crate::crash::{begun, watchful};
use crate::stage::{HUP, KILL, Stage, TERM, children, keeper_of, signal, until};

/// What unshares; the first process of the namespace is its child.
struct Container {
    outer: Child,
}

/// `None`, and a word about it, where namespaces are not permitted.
fn contained(stage: &Stage, arguments: &[&str]) -> Option<Container> {
    let namespaces = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let permitted = Command::new("unshare").args(namespaces).arg("true").stderr(Stdio::null()).status();
    if !permitted.is_ok_and(|status| status.success()) {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: no pid namespace may be made here");
        return None;
    }
    let ours = stage.command(&[&["worker", "start"], arguments].concat());
    let mut command = Command::new("unshare");
    command.args(namespaces).arg(ours.get_program()).args(ours.get_args());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let log = std::fs::File::create(stage.path("worker.log")).expect("a log");
    let outer = command.stdin(Stdio::null()).stderr(log).current_dir(stage.dir.path()).spawn();
    Some(Container { outer: outer.expect("it was permitted a moment ago") })
}

fn only_child(of: u32) -> u32 {
    let mut found = None;
    until("it has a child", || {
        found = children(of).first().copied();
        found.is_some()
    });
    found.expect("just found")
}

impl Container {
    /// The first process, once it is there. Not to be asked of a container that may have ended.
    fn first(&self) -> u32 {
        only_child(self.outer.id())
    }

    fn await_end(&mut self) -> Option<i32> {
        let mut code = None;
        until("the container ends", || {
            code = self.outer.try_wait().expect("our child");
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The first process dies with it, and everybody with that one.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

#[test]
fn the_first_process_of_a_container_restarts_a_crashed_worker_reaps_strangers_and_drains_on_term() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let Some(mut container) = contained(&stage, &[]) else { return };
    let worker = only_child(container.first());
    stage.enqueue("a", &format!("echo one; {}; echo two", watchful(&stage, "a")));
    until("it runs", || begun(&stage, "a") == 1);
    let keeper = keeper_of(worker);
    let job = only_child(keeper);
    signal(worker, KILL);
    until("the worker is started again", || {
        children(container.first()).iter().any(|pid| ![worker, keeper].contains(pid))
    });
    // Nobody but the first process is left to be its parent.
    until("the keeper is the first process's", || children(container.first()).contains(&keeper));
    assert!(children(keeper).contains(&job), "the job goes on as the same process");
    std::fs::write(stage.path("go-a"), "").expect("written");
    stage.until_state("a", "completed");
    assert_eq!((begun(&stage, "a"), stage.job("a")["attempts"].as_u64()), (1, Some(1)));
    assert_eq!(stage.run(&["logs", "a", "--stdout"]), "one\ntwo\n");
    until("the stranger is reaped", || children(container.first()).len() == 1);
    assert!(stage.log().contains("The worker crashed (signal 9)"), "{}", stage.log());
    stage.enqueue("b", &watchful(&stage, "b"));
    until("it runs", || begun(&stage, "b") == 1);
    signal(container.first(), TERM);
    until("it drains", || stage.log().contains("the running jobs are finished first"));
    std::fs::write(stage.path("go-b"), "").expect("written");
    assert_eq!(container.await_end(), Some(0));
    assert_eq!(stage.state("b"), "completed");
}

#[test]
fn the_first_process_passes_on_the_workers_exit_code() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let Some(mut container) = contained(&stage, &["--count", "0"]) else { return };
    assert_eq!(container.await_end(), Some(2), "nothing that fails for good is tried again");
}

#[test]
fn a_hangup_ends_nothing_in_a_container() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let Some(mut container) = contained(&stage, &[]) else { return };
    let worker = only_child(container.first());
    stage.enqueue("a", &watchful(&stage, "a"));
    until("it runs", || begun(&stage, "a") == 1);
    for pid in [container.first(), worker] {
        signal(pid, HUP);
    }
    std::fs::write(stage.path("go-a"), "").expect("written");
    stage.until_state("a", "completed");
    assert!(!stage.log().contains("Leaving"), "{}", stage.log());
    signal(container.first(), TERM);
    assert_eq!(container.await_end(), Some(0));
}

/// A container whose one worker runs job `a`; its worker and keeper.
fn running(stage: &Stage, container: &Container) -> (u32, u32) {
    let worker = only_child(container.first());
    stage.enqueue("a", &watchful(stage, "a"));
    until("it runs", || begun(stage, "a") == 1);
    (worker, keeper_of(worker))
}

/// The job was let go and ran once, and the container ended well with it.
fn finished(stage: &Stage, container: &mut Container) {
    std::fs::write(stage.path("go-a"), "").expect("written");
    assert_eq!(container.await_end(), Some(0), "{}", stage.log());
    assert_eq!((stage.state("a").as_str(), begun(stage, "a")), ("completed", 1));
}

#[test]
fn a_worker_that_crashes_while_it_drains_is_started_again_to_finish() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let Some(mut container) = contained(&stage, &[]) else { return };
    let (worker, _) = running(&stage, &container);
    signal(container.first(), TERM);
    until("it drains", || stage.log().contains("the running jobs are finished first"));
    signal(worker, KILL);
    until("the next one drains", || stage.log().matches("the running jobs are finished first").count() == 2);
    finished(&stage, &mut container);
}

#[test]
fn a_stop_in_the_pause_before_a_restart_is_a_drain_and_a_lack_of_descriptors_is_waited_for() {
    let stage = Stage::new();
    stage.run(&["init"]);
    let Some(mut container) = contained(&stage, &[]) else { return };
    let (worker, _) = running(&stage, &container);
    limit_descriptors(container.first(), "3");
    signal(worker, KILL);
    until("it waits", || stage.log().matches("The worker could not be started").count() == 3);
    signal(container.first(), TERM);
    limit_descriptors(container.first(), "1024");
    until("it drains", || stage.log().contains("the running jobs are finished first"));
    finished(&stage, &mut container);
}
