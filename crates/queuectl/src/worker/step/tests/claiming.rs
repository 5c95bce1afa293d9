//! What is claimed, when, and what goes back.

use std::time::Duration;

use queuectl_core::limits::{PREFETCH_HORIZON, PREFETCH_MAX, PREFETCH_RUNS_MIN, SETTLE_DELAY, UNSTARTED_MAX};
use queuectl_core::settings::Settings;
use queuectl_core::state::State;
use queuectl_core::store::{Claim, ExchangeReply, Settled};

use super::super::ms;
use super::{Rig, plain, started, success};
use crate::worker::events::Event;
use crate::worker::simulation::claims::claim;

#[test]
fn a_free_slot_takes_what_was_claimed() {
    let (mut rig, one, two) = (Rig::new(2), plain(1), plain(2));
    let request = rig.step(Event::Rang).exchange.expect("it looks");
    assert_eq!((request.want, request.owner.as_str()), (2, "keeper1"));
    assert_eq!(started(&rig.claims(&[&one, &two])), [one.token, two.token]);
    let said = rig.ended(&one, success());
    let request = said.exchange.expect("nothing is claimed ahead, so it settles at once");
    assert_eq!((request.settles.len(), request.want), (1, 1));
    assert_eq!(request.settles[0].patch.to(), State::Completed);
}

#[test]
fn at_most_one_exchange_is_on_its_way() {
    let (mut rig, one) = (Rig::new(2), plain(1));
    rig.run(&[&one]);
    rig.step(Event::Rang).exchange.expect("it looks");
    assert_eq!(rig.machine.wake_at(), u64::MAX);
    assert!(rig.step(Event::Rang).exchange.is_none());
    assert!(rig.ended(&one, success()).exchange.is_none());
    assert!(rig.at(5_000, Event::Tick).exchange.is_none());
    let request = rig.claims(&[]).exchange.expect("what came meanwhile");
    assert_eq!(request.settles.len(), 1);
}

#[test]
fn nothing_is_claimed_ahead_before_enough_runs() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN - 1);
    assert_eq!(rig.step(Event::Rang).exchange.expect("it looks").want, 1);
    rig.claims(&[]);
    rig.learn(1);
    assert_eq!(
        rig.step(Event::Rang).exchange.expect("it looks").want,
        1 + (ms(PREFETCH_HORIZON) as usize).min(PREFETCH_MAX)
    );
}

#[test]
fn an_unstarted_claim_goes_back_after_its_time() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, two) = (plain(1), plain(2));
    assert_eq!(started(&rig.run(&[&one, &two])), [one.token]);
    assert_eq!(rig.machine.wake_at(), rig.now + ms(UNSTARTED_MAX));
    assert!(rig.at(ms(UNSTARTED_MAX) - 1, Event::Tick).exchange.is_none());
    let request = rig.at(1, Event::Tick).exchange.expect("it gives back");
    assert_eq!((request.releases, request.want), (vec![two.token], 0));
}

#[test]
fn what_was_claimed_ahead_follows_at_once() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, two) = (plain(1), plain(2));
    rig.run(&[&one, &two]);
    assert_eq!(started(&rig.ended(&one, success())), [two.token]);
}

#[test]
fn an_outcome_waits_a_moment_for_company_while_work_is_at_hand() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let claims: Vec<Claim> = (1..=25).map(plain).collect();
    rig.run(&claims.iter().collect::<Vec<_>>());
    // The slot is taken again, and there is no room for more.
    let request = rig.ended(&claims[0], success()).exchange;
    assert!(request.is_none(), "it waits");
    assert_eq!(rig.machine.wake_at(), rig.now + ms(SETTLE_DELAY));
    rig.now += 1;
    assert!(rig.ended(&claims[1], success()).exchange.is_none());
    let request = rig.at(ms(SETTLE_DELAY) - 1, Event::Tick).exchange.expect("the time is up");
    assert_eq!(request.settles.len(), 2);
}

#[test]
fn more_is_claimed_in_one_go_once_most_of_what_was_claimed_ahead_has_gone() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let want = rig.step(Event::Rang).exchange.expect("it looks").want;
    let claims: Vec<Claim> = (1..=want as u64).map(plain).collect();
    rig.claims(&claims.iter().collect::<Vec<_>>());
    let most = (want - 1) * 3 / 4 + 1;
    for one in &claims[..most - 1] {
        assert!(rig.ended(one, success()).exchange.is_none(), "there is enough to do");
    }
    let request = rig.ended(&claims[most - 1], success()).exchange.expect("a quarter is left");
    assert_eq!((request.settles.len(), request.want), (most, most));
}

#[test]
fn each_slot_has_one_at_hand_when_more_is_claimed() {
    let slots = PREFETCH_MAX / 3;
    let mut rig = Rig::new(slots);
    rig.learn(PREFETCH_RUNS_MIN);
    let want = rig.step(Event::Rang).exchange.expect("it looks").want;
    assert_eq!(want, slots + PREFETCH_MAX);
    let claims: Vec<Claim> = (1..=want as u64).map(plain).collect();
    rig.claims(&claims.iter().collect::<Vec<_>>());
    let spare = PREFETCH_MAX - slots;
    for one in &claims[..spare] {
        assert!(rig.ended(one, success()).exchange.is_none(), "there is one for each slot");
    }
    rig.ended(&claims[spare], success()).exchange.expect("one slot would have none");
}

#[test]
fn what_may_run_once_is_not_held_waiting() {
    let mut rig = Rig::new(1);
    rig.learn(PREFETCH_RUNS_MIN);
    let (one, single) = (plain(1), claim(2, |spec| spec.at_most_once = true));
    let said = rig.run(&[&one, &single]);
    assert_eq!(started(&said), [one.token]);
    assert_eq!(said.exchange.expect("it gives back at once").releases, [single.token]);
}

#[test]
fn newer_settings_are_taken_over() {
    let mut rig = Rig::new(1);
    let mut settings = Settings { version: 7, ..Settings::default() };
    settings.values.insert((None, "poll-interval".to_owned()), "30s".to_owned());
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.reply(ExchangeReply { settings: Some(settings), ..ExchangeReply::default() });
    assert_eq!(rig.machine.wake_at(), rig.now + 30_000);
    let request = rig.at(30_000, Event::Tick).exchange.expect("it looks");
    assert_eq!(request.settings_seen, 7);
}

#[test]
fn it_asks_again_as_long_as_it_gets_all_it_wants() {
    let (mut rig, one, two) = (Rig::new(1), plain(1), plain(2));
    rig.run(&[&one]);
    let request = rig.ended(&one, success()).exchange.expect("it settles and claims");
    assert_eq!(request.want, 1);
    let claims = vec![two.clone()];
    rig.reply(ExchangeReply { claims, settled: vec![Settled::Done], ..ExchangeReply::default() });
    rig.ended(&two, success()).exchange.expect("it settles and claims");
    rig.settled(Settled::Done);
    assert_eq!(rig.machine.wake_at(), rig.now + 1_000, "nothing was left");
}

#[test]
fn a_slow_look_is_taken_with_the_beat_before_it_and_no_other_is_hastened() {
    let mut rig = Rig::new(1);
    assert!(rig.machine.is_at_rest());
    let look = rig.machine.wake_at();
    assert!(rig.step(Event::Beat { next: look }).exchange.is_none(), "the next beat is early enough");
    assert!(rig.step(Event::Beat { next: look + 1 }).exchange.is_some());
    assert!(!rig.machine.is_at_rest(), "it waits for the reply");
    rig.claims(&[&plain(1)]);
    assert!(!rig.machine.is_at_rest());
    assert!(
        rig.step(Event::Beat { next: u64::MAX }).exchange.is_none(),
        "what runs is looked after in its own time"
    );
}

#[test]
fn it_wakes_for_a_job_that_becomes_due() {
    let mut rig = Rig::new(1);
    rig.step(Event::Rang).exchange.expect("it looks");
    rig.reply(ExchangeReply { next_due: Some(Duration::from_millis(300)), ..ExchangeReply::default() });
    assert_eq!(rig.machine.wake_at(), rig.now + 300);
    assert_eq!(rig.at(300, Event::Tick).exchange.expect("it is due").want, 1);
}
