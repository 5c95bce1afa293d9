//! Rings reach everyone who listens, in this process and in others.

use std::time::Duration;

use queuectl_core::store::{Listener, RetryScope, StopMode, Topic};

use super::Fixture;
use crate::given::{
    Turn, claim_one, crashed, exited, ids, insert, job, outcome, queue, secs, set, settle, worker,
};

/// Long enough for any ring, on any machine.
const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that nobody rang.
const SHORT: Duration = Duration::from_millis(40);

async fn listen(f: &dyn Fixture, topic: Topic) -> Box<dyn Listener> {
    f.second().listen(topic).await.expect("the store works")
}

/// Takes what has rung so far.
async fn quiet(listener: &mut Box<dyn Listener>) {
    while listener.wait(SHORT).await {}
}

pub async fn a_new_job_rings(f: &dyn Fixture) {
    let (mut work, mut outcomes) = (listen(f, Topic::Work).await, listen(f, Topic::Outcome).await);
    assert!(!work.wait(SHORT).await, "nobody has rung");
    insert(f.store(), [job("a")]).await;
    assert!(work.wait(LONG).await);
    assert!(!outcomes.wait(SHORT).await, "another topic");
}

pub async fn a_ring_between_two_waits_is_not_lost(f: &dyn Fixture) {
    let mut work = listen(f, Topic::Work).await;
    for name in ["a", "b", "c"] {
        insert(f.store(), [job(name)]).await;
    }
    assert!(work.wait(LONG).await);
    quiet(&mut work).await;
    insert(f.store(), [job("d")]).await;
    assert!(work.wait(LONG).await);
}

pub async fn a_dropped_wait_loses_no_ring(f: &dyn Fixture) {
    let mut work = listen(f, Topic::Work).await;
    for round in 0..5 {
        // The wait is begun, then dropped at its await.
        let waited = tokio::time::timeout(Duration::from_millis(1), work.wait(LONG)).await;
        assert!(waited.is_err(), "nobody has rung yet");
        insert(f.store(), [job(&format!("j{round}"))]).await;
        assert!(work.wait(LONG).await, "round {round}");
        quiet(&mut work).await;
    }
}

pub async fn a_ring_reaches_every_listener(f: &dyn Fixture) {
    let (mut one, mut two) = (listen(f, Topic::Work).await, listen(f, Topic::Work).await);
    let mut here = f.store().listen(Topic::Work).await.expect("the store works");
    drop(listen(f, Topic::Work).await);
    insert(f.store(), [job("a")]).await;
    assert!(one.wait(LONG).await && two.wait(LONG).await && here.wait(LONG).await);
}

pub async fn a_claim_rings_for_those_who_wait_on_its_job(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let mut outcomes = listen(f, Topic::Outcome).await;
    claim_one(f.store(), "w").await;
    assert!(outcomes.wait(LONG).await);
}

pub async fn a_settled_outcome_rings(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let mut outcomes = listen(f, Topic::Outcome).await;
    settle(f.store(), &claim, exited(0)).await;
    assert!(outcomes.wait(LONG).await);
    quiet(&mut outcomes).await;
    Turn::of("w").settle(outcome(&claim, exited(0))).want(1).at(f.store()).await;
    assert!(!outcomes.wait(SHORT).await, "a lost one is no news, nor is a claim of nothing");
}

pub async fn what_becomes_ready_for_others_rings(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let mut work = listen(f, Topic::Work).await;
    Turn::of("w").release(claim.token).at(f.store()).await;
    assert!(work.wait(LONG).await, "a release");
    quiet(&mut work).await;
    let claim = claim_one(f.store(), "w").await;
    settle(f.store(), &claim, crashed()).await;
    assert!(work.wait(LONG).await, "an interruption");
    quiet(&mut work).await;
    let claim = claim_one(f.store(), "w").await;
    let mut one = outcome(&claim, exited(0));
    one.inserts = vec![job("hook")];
    Turn::of("w").settle(one).at(f.store()).await;
    assert!(work.wait(LONG).await, "what a settle carries");
}

pub async fn a_cancel_rings_those_who_must_hear_of_it(f: &dyn Fixture) {
    insert(f.store(), [job("runs")]).await;
    claim_one(f.store(), "w").await;
    insert(f.store(), [job("waits")]).await;
    let (mut work, mut outcomes) = (listen(f, Topic::Work).await, listen(f, Topic::Outcome).await);
    f.store().cancel(&ids(&["runs"])).await.expect("the store works");
    assert!(work.wait(LONG).await);
    f.store().cancel(&ids(&["waits"])).await.expect("the store works");
    assert!(outcomes.wait(LONG).await, "for those who wait on it");
}

pub async fn what_workers_must_know_rings(f: &dyn Fixture) {
    f.store().register(worker("w")).await.expect("the store works");
    insert(f.store(), [job("a")]).await;
    f.store().cancel(&ids(&["a"])).await.expect("the store works");
    let mut work = listen(f, Topic::Work).await;
    f.store().retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
    assert!(work.wait(LONG).await, "a job that comes back");
    quiet(&mut work).await;
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    assert!(work.wait(LONG).await, "a pause");
    quiet(&mut work).await;
    set(f.store(), None, "max-running", "1").await;
    assert!(work.wait(LONG).await, "settings");
    quiet(&mut work).await;
    f.store().request_stop(&["w".to_owned()], StopMode::Drain).await.expect("the store works");
    assert!(work.wait(LONG).await, "a stop");
}

pub async fn workers_that_come_and_go_ring(f: &dyn Fixture) {
    let mut outcomes = listen(f, Topic::Outcome).await;
    f.store().register(worker("w")).await.expect("the store works");
    assert!(outcomes.wait(LONG).await);
    quiet(&mut outcomes).await;
    f.store().retire("w").await.expect("the store works");
    assert!(outcomes.wait(LONG).await);
}

pub async fn an_exchange_with_nothing_to_do_rings_nobody(f: &dyn Fixture) {
    let (mut work, mut outcomes) = (listen(f, Topic::Work).await, listen(f, Topic::Outcome).await);
    for _ in 0..3 {
        Turn::of("w").want(4).at(f.store()).await;
        f.advance(secs(1));
    }
    assert!(!work.wait(SHORT).await && !outcomes.wait(SHORT).await);
}

pub async fn room_under_a_limit_rings(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c"), job("d")]).await;
    let claim = claim_one(f.store(), "w").await;
    let mut work = listen(f, Topic::Work).await;
    settle(f.store(), &claim, exited(0)).await;
    assert!(!work.wait(SHORT).await, "without a limit there was room before");
    set(f.store(), None, "max-running", "1").await;
    let claim = claim_one(f.store(), "w").await;
    quiet(&mut work).await;
    settle(f.store(), &claim, exited(0)).await;
    assert!(work.wait(LONG).await, "another worker may take the room");
    quiet(&mut work).await;
    let claim = claim_one(f.store(), "w").await;
    quiet(&mut work).await;
    Turn::of("w").settle(outcome(&claim, exited(0))).want(1).at(f.store()).await;
    assert!(!work.wait(SHORT).await, "whoever made the room took it");
}
