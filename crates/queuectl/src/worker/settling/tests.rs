//! From a record to a settle: outcomes, times, hooks.

use std::time::Duration;

use queuectl_exec::protocol::Interruption as KeeperInterruption;

use super::*;
use crate::worker::simulation::claims::{claim, record};

fn mourning() -> Settings {
    let mut settings = Settings::default();
    settings.values.insert((None, "on-dead".to_owned()), "mourn".to_owned());
    settings
}

fn settle(claim: &Claim, end: End, tail: &str, settings: &Settings) -> Settle {
    let record = record(claim, end, 300, 5_000);
    settle_for(claim, &Facts { record: &record, stderr_tail: tail, now: 5_200, random: 0 }, settings)
}

fn dying(number: u64) -> Claim {
    claim(number, |spec| spec.max_retries = 1)
}

#[test]
fn times_are_told_as_so_long_ago() {
    let settle = settle(&dying(1), End::Exited { code: 0 }, "", &Settings::default());
    assert_eq!(settle.attempt.ended_ago, Duration::from_millis(200));
    assert_eq!(settle.attempt.started_ago, Some(Duration::from_millis(500)));
}

#[test]
fn every_end_has_its_outcome() {
    let stopped = |reason| End::Stopped { reason };
    let interrupted = |cause| End::Interrupted { cause };
    let cases = [
        (End::Exited { code: 3 }, Outcome::Exited { code: 3 }),
        (End::Signaled { signal: 9 }, Outcome::Signaled { signal: 9 }),
        (End::TimedOut, Outcome::TimedOut),
        (stopped(StopReason::Cancelled), Outcome::Cancelled),
        (stopped(StopReason::WorkerStopping), Outcome::Interrupted(Interruption::Stop)),
        (interrupted(KeeperInterruption::Shutdown), Outcome::Interrupted(Interruption::Shutdown)),
        (interrupted(KeeperInterruption::WorkerLost), Outcome::Interrupted(Interruption::Crash)),
        (interrupted(KeeperInterruption::KeeperLost), Outcome::Interrupted(Interruption::Crash)),
    ];
    for (end, outcome) in cases {
        assert_eq!(settle(&dying(1), end, "", &Settings::default()).attempt.outcome, outcome);
    }
}

#[test]
fn a_death_brings_its_hook_with_the_facts() {
    let settle = settle(&dying(7), End::Exited { code: 3 }, "no disk", &mourning());
    assert_eq!(settle.patch.to(), State::Dead);
    let [hook] = &settle.inserts[..] else { panic!("one hook, not {:?}", settle.inserts) };
    assert_eq!((hook.id.as_str(), hook.due), ("dead-0000000000000001.7", Due::Now));
    assert_eq!(
        (&hook.spec.queue, hook.spec.command.as_ref()),
        (&QueueName::hooks(), Some(&Command::shell("mourn").expect("a command")))
    );
    let facts: Vec<(String, String)> = hook
        .spec
        .environment
        .iter()
        .map(|(name, value)| {
            (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
        })
        .collect();
    let facts: Vec<(&str, &str)> =
        facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        facts,
        [
            ("QUEUECTL_DEAD_ATTEMPTS", "1"),
            ("QUEUECTL_DEAD_COMMAND", "echo j7"),
            ("QUEUECTL_DEAD_ERROR", "exit code 3: no disk"),
            ("QUEUECTL_DEAD_EXIT_CODE", "3"),
            ("QUEUECTL_DEAD_ID", "j7"),
            ("QUEUECTL_DEAD_QUEUE", "default"),
        ]
    );
}

#[test]
fn only_a_death_brings_a_hook() {
    let retried = claim(1, |spec| spec.max_retries = 2);
    assert_eq!(settle(&retried, End::Exited { code: 3 }, "", &mourning()).inserts, []);
    assert_eq!(settle(&dying(1), End::Exited { code: 0 }, "", &mourning()).inserts, []);
    let cancelled = End::Stopped { reason: StopReason::Cancelled };
    assert_eq!(settle(&dying(1), cancelled, "", &mourning()).inserts, []);
    assert_eq!(settle(&dying(1), End::Exited { code: 3 }, "", &Settings::default()).inserts, []);
}

#[test]
fn hooks_fire_no_hooks() {
    let hook = claim(1, |spec| {
        spec.max_retries = 1;
        spec.queue = QueueName::hooks();
    });
    let settle = settle(&hook, End::Exited { code: 3 }, "", &mourning());
    assert_eq!((settle.patch.to(), settle.inserts), (State::Dead, vec![]));
}

#[test]
fn a_repeated_settle_brings_the_same_hook() {
    let settle = || settle(&dying(9), End::Exited { code: 3 }, "", &mourning()).inserts;
    assert_eq!(settle()[0].id, settle()[0].id);
}

#[test]
fn the_crash_limit_brings_a_hook_too() {
    let mut one = claim(1, |spec| spec.crash_limit = 3);
    one.job.interruptions = 2;
    let settle = settle_interrupted(&one, Interruption::Crash, &mourning());
    assert_eq!((settle.patch.to(), settle.inserts.len()), (State::Dead, 1));
    one.job.interruptions = 1;
    let settle = settle_interrupted(&one, Interruption::Crash, &mourning());
    assert_eq!((settle.patch.to(), settle.inserts.len()), (State::Pending, 0));
}

#[test]
fn the_last_line_is_the_last_that_says_something() {
    assert_eq!(last_line(b"one\n  two\x1b[0m \n\n \n"), "two");
    assert_eq!(last_line(b"\x1b[31mred\x1b[0m \x1b]0;TITLE\x07 bell\x07"), "red  bell");
    assert_eq!(last_line(b""), "");
    assert_eq!(last_line("é".repeat(600).as_bytes()).chars().count(), LAST_ERROR_CHARS_MAX);
}
