//! A store, a keeper or a machine that fails.

use std::time::Duration;

use queuectl_core::limits::{
    PREFETCH_MAX, PREFETCH_RUNS_MIN, SPAWN_PAUSE_FIRST, SPAWN_PAUSE_MAX, UNSTARTED_MAX,
};
use queuectl_core::store::{Claim, ExchangeReply, Settled, StopMode};
use queuectl_exec::protocol::{End, Event as KeeperEvent, Request};

use super::super::ms;
use super::{Rig, plain, started, success};
use crate::worker::events::{Event, Report};

#[test]
fn a_lost_store_is_asked_again_ever_more_slowly_and_told_once() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    assert!(matches!(rig.fail_store().reports[..], [Report::StoreFailed { .. }]));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert!(rig.step(Event::Rang).exchange.is_none(), "not before its time");
        let pause = rig.machine.wake_at() - rig.now;
        pauses.push(pause);
        let request = rig.at(pause, Event::Tick).exchange.expect("it tries again");
        assert_eq!(request.settles.len(), 1, "nothing is lost");
        assert_eq!(rig.fail_store().reports, [], "it was told");
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    let pause = rig.machine.wake_at() - rig.now;
    let request = rig.at(pause, Event::Tick).exchange.expect("it tries again");
    let ago = Duration::from_millis(21_350);
    assert_eq!(request.settles[0].attempt.ended_ago, ago, "the wait does not move the end");
    assert_eq!(request.settles[0].attempt.started_ago, Some(ago + Duration::from_millis(1)));
    let said = rig.settled(Settled::Done);
    assert!(matches!(said.reports[..], [Report::StoreBack, Report::Settled { .. }]));
}

#[test]
fn claims_that_go_back_survive_a_lost_store() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, two) = (plain(1), plain(2));
    rig.run(&[&one, &two]);
    rig.at(ms(UNSTARTED_MAX), Event::Tick).exchange.expect("it gives back");
    rig.fail_store();
    assert_eq!(rig.machine.wake_at(), rig.now + 50, "not only at the next look");
    let request = rig.at(50, Event::Tick).exchange.expect("it tries again");
    assert_eq!(request.releases, [two.token]);
}

#[test]
fn what_a_lost_exchange_may_have_claimed_is_asked_for() {
    let (mut rig, one, two) = (Rig::new(2), plain(1), plain(2));
    rig.run(&[&one]);
    assert!(rig.step(Event::Rang).exchange.is_some_and(|request| request.want == 1));
    rig.fail_store();
    let said = rig.at(50, Event::Tick);
    assert_eq!((said.recall, said.exchange.expect("it asks").want), (true, 0), "first it asks");
    let said = rig.claims(&[&one, &two]);
    assert_eq!(started(&said), [two.token], "the other one it knew");
    assert!(!rig.step(Event::Rang).recall, "it knows");
}

#[test]
fn a_stop_waits_for_what_a_lost_exchange_may_have_claimed() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.fail_store();
    assert!(!rig.step(Event::Stop(StopMode::Drain)).exit);
    assert!(rig.at(50, Event::Tick).recall);
    let said = rig.claims(&[&one]);
    assert_eq!((started(&said), said.exchange.expect("it gives back").releases), (vec![], vec![one.token]));
    assert!(rig.claims(&[]).exit);
}

#[test]
fn a_dead_keepers_claims_are_not_taken_for_lost_ones() {
    let (mut rig, one) = (Rig::new(2), plain(1));
    rig.run(&[&one]);
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.fail_store();
    assert!(rig.at(50, Event::Tick).recall);
    rig.step(Event::KeeperLost);
    rig.step(Event::KeeperReady { owner: "keeper2".to_owned() });
    let said = rig.claims(&[&one]);
    assert_eq!((started(&said), said.recall), (vec![], false));
    assert!(said.exchange.is_none_or(|request| request.releases.is_empty()), "it may have run");
}

#[test]
fn a_refused_outcome_is_offered_again_and_holds_up_nobody() {
    let (mut rig, bad, good) = (Rig::new(2), plain(1), plain(2));
    rig.run(&[&bad, &good]);
    rig.ended(&bad, success()).exchange.expect("it settles");
    assert!(rig.ended(&good, success()).exchange.is_none(), "one exchange at a time");
    let said = rig.settled(Settled::Refused("no".to_owned()));
    assert!(matches!(said.reports[..], [Report::Refused { .. }]));
    let request = said.exchange.expect("the other goes on at once");
    assert_eq!(request.settles.iter().map(|one| one.claim).collect::<Vec<_>>(), [good.token]);
    rig.settled(Settled::Done);
    let request = rig.at(4_999, Event::Rang).exchange.expect("it looks");
    assert_eq!(request.settles, [], "not so soon");
    rig.claims(&[]);
    let request = rig.at(1, Event::Tick).exchange.expect("it is offered again");
    assert_eq!(request.settles.iter().map(|one| one.claim).collect::<Vec<_>>(), [bad.token]);
    let said = rig.settled(Settled::Done);
    assert_eq!(said.orders, [Request::Settled { claims: vec![bad.token.into()] }]);
}

#[test]
fn a_lost_claim_is_told_and_forgotten() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    let said = rig.settled(Settled::Lost);
    assert_eq!(said.reports, [Report::Lost { job: "j1".to_owned(), attempt: 1 }]);
    assert_eq!(said.orders, [Request::Settled { claims: vec![one.token.into()] }]);
    assert!(rig.step(Event::Stop(StopMode::Drain)).exit);
}

#[test]
fn an_attempt_that_ends_twice_is_settled_once() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    rig.ended(&one, End::Exited { code: 1 });
    let said = rig.settled(Settled::Done);
    assert!(said.exchange.is_none_or(|request| request.settles.is_empty()));
}

fn crowded() -> End {
    End::CouldNotStart { message: "no processes left".to_owned(), ours: true }
}

fn paused(pause: Duration) -> Report {
    Report::SpawnPaused { why: "no processes left".to_owned(), pause }
}

#[test]
fn a_machine_that_stays_crowded_is_tried_ever_more_rarely_until_a_job_starts() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    let fail = |rig: &mut Rig| {
        // Looked for now, claimed when the pause is over.
        rig.at(ms(SPAWN_PAUSE_MAX), Event::Rang).exchange.expect("it looks");
        rig.claims(&[&one]);
        let said = rig.ended(&one, crowded());
        assert_eq!(said.exchange.expect("it gives back").releases, [one.token]);
        rig.claims(&[]);
        said.reports
    };
    for n in 0..10 {
        let pause = (SPAWN_PAUSE_FIRST * (1 << n)).min(SPAWN_PAUSE_MAX);
        assert_eq!(fail(&mut rig), [paused(pause)], "pause {n}");
    }
    let two = plain(2);
    rig.at(ms(SPAWN_PAUSE_MAX), Event::Rang).exchange.expect("it looks");
    rig.claims(&[&two]);
    rig.step(Event::Keeper(KeeperEvent::Started { claim: two.token.into(), pid: 1, at_ms: rig.now }));
    rig.ended(&two, success()).exchange.expect("it settles");
    rig.settled(Settled::Done);
    assert_eq!(fail(&mut rig), [paused(SPAWN_PAUSE_FIRST)], "a start that works begins anew");
}

#[test]
fn a_crowded_machine_gives_back_and_pauses_claiming() {
    let mut rig = Rig::new(2);
    rig.learn(PREFETCH_RUNS_MIN);
    let claims: Vec<Claim> = (1..=4).map(plain).collect();
    rig.run(&claims.iter().collect::<Vec<_>>());
    let end = crowded();
    let said = rig.ended(&claims[0], end.clone());
    assert_eq!(said.reports, [paused(SPAWN_PAUSE_FIRST)]);
    assert_eq!(started(&said), [], "nor is another one tried");
    let request = said.exchange.expect("it gives back");
    let back = [claims[0].token, claims[2].token, claims[3].token];
    assert_eq!((request.releases, request.settles.len(), request.want), (back.to_vec(), 0, 0));
    assert_eq!(rig.ended(&claims[1], end).reports, [], "it was told");
    let next_due = Some(Duration::from_millis(100));
    let said = rig.reply(ExchangeReply { next_due, ..ExchangeReply::default() });
    assert_eq!(said.exchange.expect("it gives back").want, 0);
    rig.reply(ExchangeReply { next_due, ..ExchangeReply::default() });
    assert_eq!(rig.machine.wake_at(), rig.now + ms(SPAWN_PAUSE_FIRST), "due or not");
    assert!(rig.at(ms(SPAWN_PAUSE_FIRST) - 1, Event::Tick).exchange.is_none());
    assert_eq!(rig.at(1, Event::Tick).exchange.expect("the pause is over").want, 2 + PREFETCH_MAX);
}

#[test]
fn a_job_that_cannot_start_by_its_own_fault_is_charged() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    let said = rig.ended(&one, End::CouldNotStart { message: "no such program".to_owned(), ours: false });
    let request = said.exchange.expect("it settles");
    assert_eq!((request.want, request.settles[0].patch.charged), (1, true));
}

#[test]
fn a_lost_keeper_ends_no_drain() {
    let (mut rig, one) = (Rig::drained_or_not(1, true), plain(1));
    rig.run(&[&one]);
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.reply(ExchangeReply { drained: true, ..ExchangeReply::default() });
    let said = rig.step(Event::KeeperLost);
    assert_eq!((said.exit, said.exchange), (false, None), "what it ran comes back");
    assert_eq!(rig.machine.wake_at(), u64::MAX, "without a keeper there is nothing to wake for");
    let owner = "keeper2".to_owned();
    assert_eq!(rig.step(Event::KeeperReady { owner }).exchange.expect("it goes on").owner, "keeper2");
}

#[test]
fn claims_of_a_keeper_that_died_meanwhile_go_back() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.step(Event::KeeperLost);
    rig.step(Event::KeeperReady { owner: "keeper2".to_owned() });
    let said = rig.claims(&[&one]);
    assert_eq!((started(&said), said.exchange.expect("it gives back").releases), (vec![], vec![one.token]));
}

#[test]
fn an_outcome_outlives_the_keeper_that_told_it() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    rig.ended(&one, success()).exchange.expect("it settles");
    rig.fail_store();
    rig.step(Event::KeeperLost);
    let request = rig.at(50, Event::Tick).exchange.expect("it tries again");
    assert_eq!((request.settles.len(), request.want, request.owner.as_str()), (1, 0, ""));
}

#[test]
fn a_start_is_known_from_the_keeper() {
    let (mut rig, one) = (Rig::new(1), plain(1));
    rig.run(&[&one]);
    assert_eq!(rig.machine.running(), 1);
    let claim = one.token.into();
    rig.step(Event::Keeper(KeeperEvent::Started { claim, pid: 1, at_ms: rig.now }));
    assert_eq!(rig.machine.running(), 1);
    rig.ended(&one, success());
    assert_eq!(rig.machine.running(), 0);
}
