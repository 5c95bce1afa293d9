//! The exchange: the fence, isolation, releases, cancels, stops, settings, hooks. Claims: see `claims.rs`.

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::outcome::Outcome;
use queuectl_core::settle::Patch;
use queuectl_core::state::{Event, State};
use queuectl_core::store::{RetryScope, Selection, Settle, Settled, StopMode};

use super::Fixture;
use super::listing::{all, get};
use crate::given::{
    Turn, With, claim, claim_one, claimed, crashed, exited, id, ids, insert, job, outcome, run_one, secs,
    set, settle, worker,
};

async fn settled(f: &dyn Fixture, one: Settle) -> Settled {
    Turn::of("w").settle(one).at(f.store()).await.settled.remove(0)
}

pub async fn an_outcome_is_settled_once(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let one = outcome(&claim, exited(1));
    let reply = Turn::of("w").settle(one.clone()).settle(one.clone()).at(f.store()).await;
    assert_eq!(reply.settled, [Settled::Done, Settled::Lost]);
    assert_eq!(settled(f, one).await, Settled::Lost);
    let read = get(f, "a").await;
    assert_eq!((read.attempts, read.runs), (1, 1));
    assert_eq!(f.store().attempts(&id("a"), false).await.expect("the store works").len(), 1);
}

pub async fn a_claim_of_another_number_cannot_settle(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    for number in [claim.token.number + 1, u64::MAX, 0] {
        let other = ClaimToken { number, ..claim.token };
        let one = Settle { claim: other, ..outcome(&claim, exited(0)) };
        assert_eq!(settled(f, one).await, Settled::Lost, "{other}");
    }
    assert_eq!(get(f, "a").await.state, State::Processing);
}

pub async fn a_claim_of_another_incarnation_cannot_settle(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let incarnation = Incarnation(claim.token.incarnation.0 ^ 1);
    let other = ClaimToken { incarnation, ..claim.token };
    assert_eq!(settled(f, Settle { claim: other, ..outcome(&claim, exited(0)) }).await, Settled::Lost);
    Turn::of("w").release(other).at(f.store()).await;
    assert_eq!(get(f, "a").await.claim, Some(claim.token));
    assert_eq!(settled(f, outcome(&claim, exited(0))).await, Settled::Done);
}

pub async fn a_lost_claim_cannot_settle(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let old = claim_one(f.store(), "w").await;
    settle(f.second(), &old, crashed()).await;
    let new = claim_one(f.second(), "v").await;
    assert_eq!(settled(f, outcome(&old, exited(0))).await, Settled::Lost);
    assert_eq!(get(f, "a").await.claim, Some(new.token), "the new claim is untouched");
    assert_eq!(settled(f, outcome(&new, exited(0))).await, Settled::Done);
}

pub async fn a_claim_on_a_deleted_job_is_lost(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = run_one(f.store(), "w", exited(0)).await;
    f.store().delete(Selection::Ids(ids(&["a"]))).await.expect("the store works");
    insert(f.store(), [job("a")]).await;
    assert_eq!(settled(f, outcome(&claim, exited(0))).await, Settled::Lost);
    assert_eq!(get(f, "a").await.state, State::Pending);
}

pub async fn a_settle_that_is_refused_undoes_no_other(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c")]).await;
    let claims = claim(f.store(), "w", 3).await;
    f.store().cancel(&ids(&["b"])).await.expect("the store works");
    // No outcome ends like this: it stands for anything that a store cannot take.
    let impossible = Patch { event: Event::Revive, ..Patch::release() };
    let bad = Settle { patch: impossible, inserts: vec![job("hook")], ..outcome(&claims[1], exited(0)) };
    let turn = Turn::of("w").settle(outcome(&claims[0], exited(0))).settle(bad);
    let reply = turn.settle(outcome(&claims[2], exited(1))).at(f.store()).await;
    assert_eq!(reply.settled[0], Settled::Done);
    assert!(matches!(reply.settled[1], Settled::Refused(_)), "{:?}", reply.settled[1]);
    assert_eq!(reply.settled[2], Settled::Done);
    assert_eq!(get(f, "a").await.state, State::Completed);
    assert_eq!(get(f, "c").await.state, State::Pending);
    let refused = get(f, "b").await;
    assert_eq!((refused.state, refused.claim, refused.runs), (State::Processing, Some(claims[1].token), 0));
    assert_eq!(f.store().attempts(&id("b"), true).await.expect("the store works"), []);
    assert_eq!(all(f).await, ["a", "b", "c"]);
    assert_eq!(settled(f, outcome(&claims[1], exited(0))).await, Settled::Done, "its claim still holds");
}

pub async fn one_exchange_settles_and_claims(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c")]).await;
    let held = claim(f.store(), "w", 2).await;
    let turn = Turn::of("w").settle(outcome(&held[0], exited(0))).release(held[1].token).want(9);
    let reply = turn.at(f.store()).await;
    assert_eq!(reply.settled, [Settled::Done]);
    assert_eq!(claimed(&reply.claims), ["b", "c"], "what was released can be claimed again at once");
    assert_ne!(reply.claims[0].token, held[1].token);
}

pub async fn a_release_leaves_no_trace(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    run_one(f.store(), "w", exited(1)).await;
    f.advance(secs(2));
    let before = get(f, "a").await;
    let claim = claim_one(f.store(), "w").await;
    f.advance(secs(1));
    Turn::of("w").release(claim.token).at(f.store()).await;
    let read = get(f, "a").await;
    assert_eq!((read.state, read.ready, read.claim, read.owner), (State::Pending, true, None, None));
    assert_eq!((read.attempts, read.runs, read.interruptions), (1, 1, 0));
    assert_eq!((read.due_at, &read.last_error, read.exit_code), (before.due_at, &before.last_error, Some(1)));
    assert_eq!(f.store().attempts(&id("a"), false).await.expect("the store works").len(), 1);
    assert_eq!(claim_one(f.store(), "w").await.attempt, claim.attempt, "its number is still free");
}

pub async fn a_lost_claim_cannot_be_released(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let old = claim_one(f.store(), "w").await;
    Turn::of("w").release(old.token).at(f.store()).await;
    let new = claim_one(f.second(), "v").await;
    Turn::of("w").release(old.token).release(old.token).at(f.store()).await;
    assert_eq!(get(f, "a").await.claim, Some(new.token));
}

pub async fn cancels_are_told_to_the_owner_alone(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c")]).await;
    let of_w = claim(f.store(), "w", 2).await;
    claim_one(f.store(), "v").await;
    assert!(Turn::of("w").at(f.store()).await.cancels.is_empty());
    f.second().cancel(&ids(&["b"])).await.expect("the store works");
    assert_eq!(Turn::of("w").at(f.store()).await.cancels, [of_w[1].token]);
    assert_eq!(Turn::of("w").at(f.store()).await.cancels, [of_w[1].token], "until it has ended");
    assert!(Turn::of("v").at(f.store()).await.cancels.is_empty());
    let reply = Turn::of("w").settle(outcome(&of_w[1], Outcome::Cancelled)).at(f.store()).await;
    assert!(reply.cancels.is_empty());
    let read = get(f, "b").await;
    assert_eq!((read.state, read.attempts, read.runs), (State::Cancelled, 0, 1));
    assert!(read.completed_at.is_some() && !read.cancel_requested);
}

pub async fn a_cancelled_job_that_would_come_back_is_cancelled(f: &dyn Fixture) {
    insert(f.store(), [job("fails"), job("breaks"), job("released")]).await;
    let claims = claim(f.store(), "w", 3).await;
    f.store().cancel(&ids(&["fails", "breaks", "released"])).await.expect("the store works");
    let turn = Turn::of("w").settle(outcome(&claims[0], exited(1))).settle(outcome(&claims[1], crashed()));
    turn.release(claims[2].token).at(f.store()).await;
    let now = f.store().now().await.expect("the store works");
    for (name, runs) in [("fails", 1), ("breaks", 1), ("released", 0)] {
        let read = get(f, name).await;
        assert_eq!((read.state, read.runs, read.completed_at), (State::Cancelled, runs, Some(now)), "{name}");
        assert!(!read.cancel_requested && !read.retrying && !read.ready, "{name}");
    }
}

pub async fn an_end_stands_though_a_cancel_was_asked_for(f: &dyn Fixture) {
    insert(f.store(), [job("done"), job("dead").max_retries(1)]).await;
    let claims = claim(f.store(), "w", 2).await;
    f.store().cancel(&ids(&["done", "dead"])).await.expect("the store works");
    settle(f.store(), &claims[0], exited(0)).await;
    settle(f.store(), &claims[1], exited(1)).await;
    assert_eq!(get(f, "done").await.state, State::Completed);
    assert_eq!(get(f, "dead").await.state, State::Dead);
    f.store().retry(&ids(&["done"]), RetryScope::Any).await.expect("the store works");
    run_one(f.store(), "w", exited(1)).await;
    assert_eq!(get(f, "done").await.state, State::Pending, "the old cancel is forgotten");
}

pub async fn a_worker_hears_of_its_stop(f: &dyn Fixture) {
    for name in ["w", "v"] {
        f.store().register(worker(name)).await.expect("the store works");
    }
    assert_eq!(Turn::of("w").at(f.store()).await.stop, None);
    f.second().request_stop(&["w".to_owned()], StopMode::Drain).await.expect("the store works");
    assert_eq!(Turn::of("w").at(f.store()).await.stop, Some(StopMode::Drain));
    assert_eq!(Turn::of("v").at(f.store()).await.stop, None);
    assert_eq!(Turn::of("unknown").at(f.store()).await.stop, None);
    f.second().request_stop(&["w".to_owned()], StopMode::Now).await.expect("the store works");
    assert_eq!(Turn::of("w").want(1).at(f.store()).await.stop, Some(StopMode::Now));
}

pub async fn new_settings_come_once(f: &dyn Fixture) {
    let seen = f.store().settings().await.expect("the store works").version;
    let ask = async |version| Turn::of("w").settings_seen(version).at(f.store()).await.settings;
    assert_eq!(ask(seen).await, None);
    set(f.second(), Some("x"), "max-retries", "9").await;
    let newer = ask(seen).await.expect("they have changed");
    assert!(newer.version > seen);
    assert_eq!(newer, f.store().settings().await.expect("the store works"));
    assert_eq!(newer.for_queue(&crate::given::queue("x")).max_retries, 9);
    assert_eq!(ask(newer.version).await, None);
}

pub async fn what_a_settle_carries_goes_in_with_it(f: &dyn Fixture) {
    insert(f.store(), [job("a").max_retries(1), job("there").delayed(60)]).await;
    let claim = claim_one(f.store(), "w").await;
    let hooks = vec![job("hook").in_queue("hooks"), job("there").priority(5), job("more")];
    let one = Settle { inserts: hooks, ..outcome(&claim, exited(1)) };
    let reply = Turn::of("w").settle(one).want(9).at(f.store()).await;
    assert_eq!(reply.settled, [Settled::Done]);
    assert_eq!(claimed(&reply.claims), ["hook", "more"]);
    assert_eq!(get(f, "there").await.spec.priority, 0, "an id that exists is skipped");
    let queues = f.store().queues().await.expect("the store works");
    assert!(queues.iter().any(|row| row.name == crate::given::queue("hooks")));
}

pub async fn what_is_skipped_leaves_no_queue_behind(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let one = Settle { inserts: vec![job("a").in_queue("new")], ..outcome(&claim, exited(0)) };
    assert_eq!(settled(f, one).await, Settled::Done);
    assert_eq!(f.store().queues().await.expect("the store works").len(), 1);
}

pub async fn what_a_lost_settle_carries_stays_out(f: &dyn Fixture) {
    insert(f.store(), [job("a").max_retries(1)]).await;
    let claim = run_one(f.store(), "w", exited(1)).await;
    let again = Settle { inserts: vec![job("hook")], ..outcome(&claim, exited(1)) };
    assert_eq!(settled(f, again).await, Settled::Lost);
    assert_eq!(all(f).await, ["a"]);
}

pub async fn what_a_settle_carries_stays_out_if_it_lands_otherwise(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    f.store().cancel(&ids(&["a"])).await.expect("the store works");
    let one = Settle { inserts: vec![job("next")], ..outcome(&claim, exited(1)) };
    assert_eq!(settled(f, one).await, Settled::Done);
    assert_eq!(get(f, "a").await.state, State::Cancelled);
    assert_eq!(all(f).await, ["a"]);
}

pub async fn a_backoff_that_is_over_already_is_ready(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    f.advance(secs(100));
    let mut one = outcome(&claim, exited(1));
    (one.attempt.started_ago, one.attempt.ended_ago) = (Some(secs(60)), secs(50));
    let reply = Turn::of("w").settle(one).want(1).at(f.store()).await;
    assert_eq!(claimed(&reply.claims), ["a"], "it was due 48 seconds ago");
}
