//! Cancels, stops and the end of a drain.

use std::time::Duration;

use queuectl_core::limits::{PREFETCH_RUNS_MIN, STOPPING_STORE_PATIENCE};
use queuectl_core::outcome::{Interruption, Outcome};
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::{ExchangeReply, Settled, StopMode};
use queuectl_exec::protocol::{End, Request, StopReason};

use super::super::ms;
use super::{Rig, plain, started, success};
use crate::worker::events::{Event, Report};
use crate::worker::simulation::claims::claim;

#[test]
fn a_cancel_gives_back_what_waits_and_stops_what_runs_once() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, two) = (claim(1, |spec| spec.kill_grace = Duration::from_secs(7)), plain(2));
    rig.run(&[&one, &two]);
    let cancels = vec![one.token, two.token];
    rig.step(Event::Rang).exchange.expect("it looks");
    let said = rig.reply(ExchangeReply { cancels: cancels.clone(), ..ExchangeReply::default() });
    let stop = Request::Stop { claim: one.token.into(), reason: StopReason::Cancelled, grace_ms: 7_000 };
    assert_eq!(said.orders, [stop]);
    assert_eq!(said.exchange.expect("it gives back").releases, [two.token]);
    let said = rig.reply(ExchangeReply { cancels, ..ExchangeReply::default() });
    assert_eq!(said.orders, [], "it was told");
    let said = rig.ended(&one, End::Stopped { reason: StopReason::Cancelled });
    let settle = &said.exchange.expect("it settles").settles[0];
    assert_eq!((settle.patch.to(), settle.patch.charged), (State::Cancelled, false));
}

#[test]
fn a_stop_takes_nothing_more_and_a_second_ends_what_runs() {
    let (mut rig, one) = (Rig::new(2), claim(1, |spec| spec.kill_grace = Duration::from_secs(4)));
    rig.run(&[&one]);
    let said = rig.step(Event::Stop(StopMode::Drain));
    assert_eq!((said.orders.len(), said.exit), (0, false));
    let request = rig.step(Event::Rang).exchange.expect("it still hears of cancels");
    assert_eq!(request.want, 0);
    rig.claims(&[]);
    let said = rig.step(Event::Stop(StopMode::Now));
    let reason = StopReason::WorkerStopping;
    assert_eq!(said.orders, [Request::Stop { claim: one.token.into(), reason, grace_ms: 4_000 }]);
    assert_eq!(rig.step(Event::Stop(StopMode::Drain)).orders, [], "the stronger stop stands");
    let said = rig.ended(&one, End::Stopped { reason });
    let request = said.exchange.expect("it settles");
    let settle = &request.settles[0];
    assert_eq!(settle.attempt.outcome, Outcome::Interrupted(Interruption::Stop));
    assert_eq!(
        (settle.patch.to(), settle.patch.charged, settle.patch.interruption),
        (State::Pending, false, false)
    );
    assert!(rig.settled(Settled::Done).exit);
}

#[test]
fn a_claim_that_comes_after_the_stop_goes_back() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.step(Event::Rang).exchange.expect("it looks");
    assert!(!rig.step(Event::Stop(StopMode::Drain)).exit, "a reply is on its way");
    let said = rig.claims(&[&one]);
    assert_eq!(started(&said), []);
    assert_eq!(said.exchange.expect("it gives back").releases, [one.token]);
    assert!(rig.claims(&[]).exit);
}

#[test]
fn a_stop_through_the_store_is_a_stop() {
    let mut rig = Rig::new(1);
    rig.step(Event::Rang).exchange.expect("it looks");
    assert!(rig.reply(ExchangeReply { stop: Some(StopMode::Drain), ..ExchangeReply::default() }).exit);
}

#[test]
fn a_drain_ends_only_when_idle_and_nothing_is_left() {
    let (mut rig, one) = (Rig::drained_or_not(1, true), plain(1));
    let drained = || ExchangeReply { drained: true, ..ExchangeReply::default() };
    assert!(rig.step(Event::Rang).exchange.expect("it looks").drain);
    let claims = vec![one.clone()];
    assert!(!rig.reply(ExchangeReply { claims, ..drained() }).exit, "one runs");
    rig.ended(&one, success()).exchange.expect("it settles");
    assert!(!rig.settled(Settled::Done).exit, "there is more");
    rig.step(Event::Rang).exchange.expect("it looks");
    assert!(rig.reply(drained()).exit);
    assert!(!rig.step(Event::Rang).exit, "someone has news");
}

#[test]
fn a_stop_gives_back_at_once_what_was_claimed_ahead() {
    for mode in [StopMode::Drain, StopMode::Now] {
        let mut rig = Rig::new(1);
        rig.learn(PREFETCH_RUNS_MIN);
        let (one, two) = (plain(1), plain(2));
        rig.run(&[&one, &two]);
        let request = rig.step(Event::Stop(mode)).exchange.expect("it gives back");
        assert_eq!((request.releases, request.want), (vec![two.token], 0));
    }
}

#[test]
fn a_pause_gives_back_at_once_what_was_claimed_ahead() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, two) = (plain(1), plain(2));
    let other = claim(3, |spec| spec.queue = QueueName::hooks());
    rig.run(&[&one, &two, &other]);
    rig.step(Event::Rang).exchange.expect("it looks");
    let said = rig.reply(ExchangeReply { paused: vec![QueueName::default()], ..ExchangeReply::default() });
    assert_eq!(
        said.exchange.expect("it gives back").releases,
        [two.token],
        "not what runs, nor another queue's"
    );
}

#[test]
fn a_stopping_worker_waits_for_a_lost_store_only_for_a_while() {
    let mut rig = Rig::new(1);
    let one = plain(1);
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    rig.fail_store();
    assert!(!rig.step(Event::Stop(StopMode::Drain)).exit, "the store may come back");
    let mut waited = 0;
    let said = loop {
        let rest = rig.machine.wake_at().saturating_sub(rig.now).max(1);
        waited += rest;
        let said = rig.at(rest, Event::Tick);
        if said.exit {
            break said;
        }
        if said.exchange.is_some() {
            assert!(!rig.fail_store().exit || waited >= ms(STOPPING_STORE_PATIENCE));
        }
    };
    assert_eq!(waited, ms(STOPPING_STORE_PATIENCE));
    assert_eq!(said.reports, [Report::LeftBehind { claims: 1 }]);
}

#[test]
fn a_forced_stop_does_not_wait_for_a_lost_store() {
    let mut rig = Rig::new(1);
    let one = plain(1);
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    rig.fail_store();
    assert!(rig.step(Event::Stop(StopMode::Now)).exit);
}

#[test]
fn an_outcome_that_is_refused_holds_up_neither_a_stop_nor_a_drain() {
    for drain in [false, true] {
        let mut rig = Rig::drained_or_not(1, drain);
        let one = plain(1);
        rig.run(&[&one]);
        rig.ended(&one, success()).exchange.expect("it settles");
        let refused = vec![Settled::Refused("full".to_owned())];
        let said = rig.reply(ExchangeReply { settled: refused, drained: drain, ..ExchangeReply::default() });
        let said = if drain { said } else { rig.step(Event::Stop(StopMode::Drain)) };
        assert!(said.exit, "{drain}: it is in the spool");
        assert_eq!(said.reports.last(), Some(&Report::LeftBehind { claims: 1 }));
    }
}
