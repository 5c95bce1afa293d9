//! From a claim to an order.

use std::time::Duration;

use super::*;
use crate::worker::simulation::claims::claim;

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    let bytes = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    Surroundings {
        environment: variables.iter().map(bytes).collect(),
        home: b"/home/worker".to_vec(),
        database: Some(b"/data/queue.db".to_vec()),
    }
}

/// A variable of the order, as text.
fn variable(start: &protocol::Start, name: &str) -> Option<String> {
    let mut found = start.env.iter().filter(|(key, _)| key == name.as_bytes());
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
    let worker = surroundings(&[
        ("LANG", "worker"),
        ("HOME", "/root"),
        ("QUEUECTL_TOKEN", "secret"),
        ("QUEUECTL_DB", "/elsewhere"),
        ("QUEUECTL_CLAIM", "outer"),
    ]);
    let start = start_request(&one, 2, &worker);
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
    assert_eq!(shown("QUEUECTL_CLAIM").as_deref(), Some("0000000000000001.5"));
}

#[test]
fn a_shell_line_is_one_word_for_the_shell_and_argv_stays_as_it_is() {
    let words = |start: protocol::Start| -> Vec<String> {
        start.argv.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
    };
    let line = start_request(&claim(1, |_| {}), 1, &Surroundings::default());
    assert_eq!(words(line), ["/bin/sh", "-c", "echo j1"]);
    let exact = claim(1, |spec| {
        spec.command = Some(Command::argv(vec![b"echo".to_vec(), b"a b".to_vec()]).expect("a command"));
    });
    assert_eq!(words(start_request(&exact, 1, &Surroundings::default())), ["echo", "a b"]);
}

#[test]
fn a_job_without_a_directory_runs_in_the_workers_home() {
    let start = |spec: fn(&mut queuectl_core::job::JobSpec)| {
        start_request(&claim(1, spec), 1, &surroundings(&[])).dir
    };
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
    let start = start_request(&one, 1, &Surroundings::default());
    assert_eq!((start.timeout_ms, start.kill_grace_ms, start.output_max), (Some(1_500), 3_000, 70_000));
    assert_eq!((start.leftovers, start.stdin), (protocol::Leftovers::Keep, Some(b"/input".to_vec())));
}
