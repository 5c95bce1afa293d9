//! The fake keeper keeps its own word.

use queuectl_exec::protocol::Leftovers;
use queuectl_exec::texts::Texts;

use super::*;

fn key(number: u64) -> ClaimKey {
    ClaimKey { incarnation: 1, number }
}

fn start(number: u64, timeout_ms: Option<u64>) -> Request {
    Request::Start(Box::new(Start {
        claim: key(number),
        argv: ["true"].into_iter().collect(),
        env: Texts::default(),
        dir: b"/".to_vec(),
        stdin: None,
        timeout_ms,
        kill_grace_ms: 500,
        output_max: 1 << 20,
        leftovers: Leftovers::Kill,
    }))
}

fn keeper(plan: Plan) -> FakeKeeper {
    FakeKeeper::new("keeper", move |_| plan.clone())
}

/// How attempts ended, and when.
fn ends(events: &[Event]) -> Vec<(u64, End)> {
    let exits = events.iter().filter_map(|event| match event {
        Event::Exited(record) => Some((record.ended_ms, record.end.clone())),
        _ => None,
    });
    exits.collect()
}

#[test]
fn an_attempt_runs_as_long_as_its_script_says() {
    let mut keeper = keeper(Plan::exits(100, 3));
    keeper.send(10, start(1, None));
    assert!(matches!(keeper.events(10)[..], [Event::Started { at_ms: 10, .. }]));
    assert_eq!((keeper.next_at(), keeper.events(109)), (Some(110), vec![]));
    assert_eq!(ends(&keeper.events(500)), [(110, End::Exited { code: 3 })]);
    assert_eq!(keeper.unsettled().len(), 1);
    keeper.send(500, Request::Settled { claims: vec![key(1)] });
    assert_eq!(keeper.unsettled().len(), 0);
}

#[test]
fn a_timeout_ends_it_and_the_stubborn_take_the_grace_too() {
    for (stubborn, ended_ms) in [(false, 50), (true, 550)] {
        let mut keeper = keeper(Plan { stubborn, ..Plan::exits(10_000, 0) });
        keeper.send(0, start(1, Some(50)));
        assert_eq!(ends(&keeper.events(1000)), [(ended_ms, End::TimedOut)]);
    }
}

#[test]
fn a_stop_ends_it_unless_it_ends_before() {
    let reason = StopReason::Cancelled;
    let mut keeper = keeper(Plan { stubborn: true, ..Plan::exits(100, 0) });
    keeper.send(0, start(1, None));
    keeper.send(0, start(2, None));
    keeper.send(10, Request::Stop { claim: key(1), reason, grace_ms: 20 });
    keeper.send(10, Request::Stop { claim: key(2), reason, grace_ms: 900 });
    keeper.send(10, Request::Stop { claim: key(3), reason, grace_ms: 0 });
    assert_eq!(ends(&keeper.events(200)), [(30, End::Stopped { reason }), (100, End::Exited { code: 0 })]);
}

#[test]
fn what_cannot_start_ends_at_once() {
    let mut keeper = keeper(Plan::cannot_start("no such program", false));
    keeper.send(5, start(1, None));
    let ended = End::CouldNotStart { message: "no such program".to_owned(), ours: false };
    assert_eq!(ends(&keeper.events(5)), [(5, ended)]);
}

#[test]
fn a_follower_gets_what_was_printed() {
    let mut keeper = keeper(Plan { stdout: b"hello".to_vec(), ..Plan::exits(10, 0) });
    keeper.send(0, start(1, None));
    keeper.events(0);
    keeper.send(0, Request::Follow { claim: key(1), stdout_from: 0, stderr_from: 0 });
    let events = keeper.events(10);
    assert!(matches!(&events[0], Event::Chunk { from: 0, bytes, .. } if bytes == b"hello"));
    assert_eq!(events[1], Event::Ended { claim: key(1) });
    keeper.send(20, Request::Follow { claim: key(1), stdout_from: 3, stderr_from: 0 });
    assert!(matches!(&keeper.events(20)[0], Event::Chunk { from: 3, bytes, .. } if bytes == b"lo"));
}

#[test]
fn it_leaves_once_nothing_runs() {
    let mut keeper = keeper(Plan::exits(100, 0));
    keeper.send(0, start(1, None));
    keeper.send(1, Request::Leave);
    assert!(!keeper.has_exited());
    keeper.events(100);
    assert!(keeper.has_exited());
}

#[test]
fn its_death_interrupts_what_runs() {
    let mut keeper = keeper(Plan::exits(100, 0));
    keeper.send(0, start(1, None));
    keeper.send(50, start(2, None));
    let left: Vec<End> = keeper.die(120).into_iter().map(|record| record.end).collect();
    assert_eq!(left, [End::Exited { code: 0 }, End::Interrupted { cause: Interruption::KeeperLost }]);
}

#[test]
#[should_panic(expected = "started twice")]
fn a_claim_is_started_once() {
    let mut keeper = keeper(Plan::exits(0, 0));
    keeper.send(0, start(1, None));
    keeper.send(9, start(1, None));
}
