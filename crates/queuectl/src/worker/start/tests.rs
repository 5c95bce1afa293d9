//! From a claim to an order.

use std::time::Duration;

use super::*;
use crate::worker::simulation::claims::claim;

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    let bytes = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let database = Some(b"/data/queue.db".to_vec());
    Surroundings::new(variables.iter().map(bytes).collect(), b"/home/worker".to_vec(), database)
}

/// A variable of the order, as text.
fn variable(start: &protocol::Start, name: &str) -> Option<String> {
    let mut found = start.env.variables().filter(|(key, _)| *key == name.as_bytes());
    let value = found.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

#[test]
fn the_jobs_variables_win_over_the_workers_and_ours_over_all() {
    let one = claim(5, |spec| {
        for (name, value) in [("LANG", "job"), ("MINE", "1"), ("QUEUECTL_JOB_ID", "forged")] {
            spec.environment.set(name, value).expect("a variable");
        }
    });
    let mut worker = surroundings(&[
        ("LANG", "worker"),
        ("HOME", "/root"),
        ("QUEUECTL_TOKEN", "secret"),
        ("QUEUECTL_DB", "/elsewhere"),
        ("QUEUECTL_CLAIM", "outer"),
    ]);
    let start = worker.start_request(&one, 2);
    let shown = |name| variable(&start, name);
    assert_eq!(shown("LANG").as_deref(), Some("job"));
    assert_eq!(shown("MINE").as_deref(), Some("1"));
    assert_eq!(shown("HOME").as_deref(), Some("/root"));
    assert_eq!(shown("QUEUECTL_TOKEN"), None);
    assert_eq!(shown("QUEUECTL_DB").as_deref(), Some("/data/queue.db"));
    assert_eq!(shown("QUEUECTL_JOB_ID").as_deref(), Some("j5"));
    assert_eq!(shown("QUEUECTL_ATTEMPT").as_deref(), Some("1"));
    assert_eq!(shown("QUEUECTL_QUEUE").as_deref(), Some("default"));
    assert_eq!(shown("QUEUECTL_SLOT").as_deref(), Some("2"));
    assert_eq!(shown("QUEUECTL_CLAIM"), None, "its keeper sets that");
}

#[test]
fn a_job_with_another_environment_gets_nothing_of_the_last_ones() {
    let with = |number, name: &'static str| {
        claim(number, |spec| spec.environment.set(name, "1").expect("a variable"))
    };
    let mut worker = surroundings(&[("HOME", "/root")]);
    let named = |start: &protocol::Start| ["HOME", "A", "B"].map(|name| variable(start, name).is_some());
    assert_eq!(named(&worker.start_request(&with(1, "A"), 1)), [true, true, false]);
    let again = worker.start_request(&with(2, "A"), 1);
    assert_eq!(named(&again), [true, true, false]);
    assert_eq!(variable(&again, "QUEUECTL_JOB_ID").as_deref(), Some("j2"));
    assert_eq!(named(&worker.start_request(&with(3, "B"), 1)), [true, false, true]);
    assert_eq!(named(&worker.start_request(&claim(4, |_| {}), 1)), [true, false, false]);
}

#[test]
fn a_shell_line_is_one_word_for_the_shell_and_argv_stays_as_it_is() {
    let words = |start: protocol::Start| -> Vec<String> {
        start.argv.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    let line = Surroundings::default().start_request(&claim(1, |_| {}), 1);
    assert_eq!(words(line), ["/bin/sh", "-c", "echo j1"]);
    let exact = claim(1, |spec| {
        spec.command = Some(Command::argv(vec![b"echo".to_vec(), b"a b".to_vec()]).expect("a command"));
    });
    assert_eq!(words(Surroundings::default().start_request(&exact, 1)), ["echo", "a b"]);
}

#[test]
fn a_job_without_a_directory_runs_in_the_workers_home() {
    let start =
        |spec: fn(&mut queuectl_core::job::JobSpec)| surroundings(&[]).start_request(&claim(1, spec), 1).dir;
    assert_eq!(start(|_| {}), b"/home/worker");
    assert_eq!(start(|spec| spec.dir = Some(b"/srv".to_vec())), b"/srv");
}

#[test]
fn the_bounds_of_the_job_reach_the_keeper() {
    let one = claim(1, |spec| {
        spec.timeout = Some(Duration::from_millis(1_500));
        spec.kill_grace = Duration::from_secs(3);
        spec.output_max = 70_000;
        spec.leftovers = Leftovers::Keep;
        spec.stdin = Some(b"/input".to_vec());
    });
    let start = Surroundings::default().start_request(&one, 1);
    assert_eq!((start.timeout_ms, start.kill_grace_ms, start.output_max), (Some(1_500), 3_000, 70_000));
    assert_eq!((start.leftovers, start.stdin), (protocol::Leftovers::Keep, Some(b"/input".to_vec())));
}
