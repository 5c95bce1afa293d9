//! Claims: which jobs, in which order, under which limits.

use std::collections::BTreeSet;

use queuectl_core::job::Due;
use queuectl_core::limits::PROMOTE_MAX;
use queuectl_core::state::State;
use queuectl_core::store::{RetryScope, Selection, Settled};

use super::Fixture;
use super::listing::get;
use crate::given::{
    Turn, With, claim, claim_one, claimed, crashed, exited, id, ids, insert, job, keeper_of, outcome, queue,
    run_one, secs, set, settle,
};

pub async fn a_claim_marks_its_job(f: &dyn Fixture) {
    insert(f.store(), [job("a").with(|spec| spec.environment.set(*b"K", *b"v").expect("a variable"))]).await;
    f.advance(secs(1));
    let now = f.store().now().await.expect("the store works");
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(claim.attempt, 1);
    assert_eq!(claim.job, get(f, "a").await, "a claim brings the job as it is now");
    let job = claim.job;
    assert_eq!((job.state, job.ready, job.retrying), (State::Processing, false, false));
    assert_eq!((job.claim, job.worker.as_deref()), (Some(claim.token), Some("w")));
    assert_eq!((job.owner, job.started_at, job.updated_at), (Some(keeper_of("w")), Some(now), now));
    assert_eq!((job.attempts, job.runs), (0, 0), "it counts once it has ended");
}

pub async fn a_job_is_claimed_once(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    claim_one(f.store(), "w").await;
    assert!(claim(f.store(), "w", 1).await.is_empty());
    assert!(claim(f.second(), "v", 1).await.is_empty());
}

pub async fn a_worker_that_wants_nothing_gets_nothing(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    assert!(claim(f.store(), "w", 0).await.is_empty());
    assert_eq!(get(f, "a").await.state, State::Pending);
}

pub async fn claims_go_by_priority_over_all_queues(f: &dyn Fixture) {
    let jobs = [("low", "x", -5), ("top", "y", 9), ("mid", "x", 3), ("zero", "z", 0), ("mid2", "z", 3)];
    insert(f.store(), jobs.map(|(name, queue, priority)| job(name).in_queue(queue).priority(priority))).await;
    assert_eq!(claimed(&claim(f.store(), "w", 2).await), ["top", "mid"]);
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["mid2", "zero", "low"]);
}

pub async fn claims_go_by_priority_within_one_queue(f: &dyn Fixture) {
    let priorities = [("low", -5), ("mid", 3), ("top", 9), ("zero", 0)];
    insert(f.store(), priorities.map(|(name, priority)| job(name).priority(priority))).await;
    for name in ["top", "mid", "zero", "low"] {
        assert_eq!(claimed(&claim(f.store(), "w", 1).await), [name]);
    }
}

pub async fn among_equals_the_earlier_due_goes_first(f: &dyn Fixture) {
    let now = f.store().now().await.expect("the store works");
    let at = |name: &str, seconds| job(name).due(Due::At(now.after(secs(seconds))));
    insert(f.store(), [at("third", 30).in_queue("x"), at("first", 10), at("second", 20).in_queue("y")]).await;
    f.advance(secs(60));
    insert(f.store(), [job("fourth")]).await;
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["first", "second", "third", "fourth"]);
}

pub async fn among_equals_the_older_goes_first(f: &dyn Fixture) {
    insert(f.store(), [job("b").in_queue("y"), job("a").in_queue("x"), job("c").in_queue("y")]).await;
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["b", "a", "c"]);
}

pub async fn a_worker_takes_only_its_queues(f: &dyn Fixture) {
    insert(f.store(), [("a", "x"), ("b", "y"), ("c", "z")].map(|(name, queue)| job(name).in_queue(queue)))
        .await;
    let reply = Turn::of("w").want(9).queues(&["z", "x", "unknown"]).at(f.store()).await;
    assert_eq!(claimed(&reply.claims), ["a", "c"]);
}

pub async fn a_worker_takes_only_its_kinds(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b").kind("mail"), job("c").kind("mailer")]).await;
    let mail = Turn::of("w").want(9).kinds(&["mail", "other"]).at(f.store()).await;
    assert_eq!(claimed(&mail.claims), ["b"]);
    let commands = Turn::of("w").want(9).kinds(&["command"]).at(f.store()).await;
    assert_eq!(claimed(&commands.claims), ["a"]);
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["c"], "no kinds: any");
}

pub async fn a_paused_queue_gives_nothing(f: &dyn Fixture) {
    insert(f.store(), [job("a").in_queue("x").priority(9), job("b").in_queue("y")]).await;
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    assert_eq!(claimed(&claim(f.second(), "w", 9).await), ["b"]);
    f.store().set_paused(&queue("x"), false).await.expect("the store works");
    assert_eq!(claimed(&claim(f.second(), "w", 9).await), ["a"]);
}

pub async fn max_running_holds_over_all_owners(f: &dyn Fixture) {
    insert(f.store(), (0..5).map(|n| job(&format!("x{n}")).in_queue("x")).collect::<Vec<_>>()).await;
    insert(f.store(), [job("y").in_queue("y").priority(-1)]).await;
    set(f.store(), Some("x"), "max-running", "2").await;
    let first = claim(f.store(), "w", 1).await;
    assert_eq!(claimed(&first), ["x0"]);
    assert_eq!(claimed(&claim(f.second(), "v", 9).await), ["x1", "y"]);
    assert!(claim(f.store(), "w", 9).await.is_empty());
    settle(f.store(), &first[0], exited(0)).await;
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["x2"]);
}

pub async fn max_running_of_all_queues_counts_for_each(f: &dyn Fixture) {
    let jobs = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"), ("e", "z"), ("f", "z")];
    insert(f.store(), jobs.map(|(name, queue)| job(name).in_queue(queue))).await;
    set(f.store(), None, "max-running", "1").await;
    set(f.store(), Some("y"), "max-running", "0").await;
    assert_eq!(claimed(&claim(f.store(), "w", 9).await), ["a", "c", "d", "e"]);
}

pub async fn a_settle_makes_room_in_its_own_exchange(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b")]).await;
    set(f.store(), None, "max-running", "1").await;
    let held = claim_one(f.store(), "w").await;
    let turn = Turn::of("w").want(1).settle(crate::given::outcome(&held, exited(0)));
    assert_eq!(claimed(&turn.at(f.store()).await.claims), ["b"]);
}

pub async fn a_worker_for_one_job_takes_exactly_it(f: &dyn Fixture) {
    insert(f.store(), [job("a").priority(9), job("b").in_queue("x"), job("later").delayed(60)]).await;
    let only = async |name: &str| {
        let reply = Turn::of("w").want(3).only(name).at(f.store()).await;
        reply.claims.iter().map(|claim| claim.job.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(only("absent").await, Vec::<String>::new());
    assert_eq!(only("later").await, Vec::<String>::new(), "it is not due");
    assert_eq!(only("b").await, ["b"]);
    assert_eq!(only("b").await, Vec::<String>::new(), "it runs");
    f.advance(secs(60));
    assert_eq!(only("later").await, ["later"]);
}

pub async fn pauses_and_limits_hold_the_one_job_too(f: &dyn Fixture) {
    insert(f.store(), [job("a").in_queue("x"), job("b").in_queue("x")]).await;
    set(f.store(), Some("x"), "max-running", "1").await;
    let claim = claim_one(f.store(), "w").await;
    let only = async || {
        let reply = Turn::of("w").want(1).only("b").at(f.store()).await;
        claimed(&reply.claims).len()
    };
    assert_eq!(only().await, 0, "the limit is reached");
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    settle(f.store(), &claim, exited(0)).await;
    assert_eq!(only().await, 0, "its queue is paused");
    f.store().set_paused(&queue("x"), false).await.expect("the store works");
    assert_eq!(only().await, 1);
}

pub async fn claim_numbers_are_never_used_again(f: &dyn Fixture) {
    let mut last = 0;
    for round in 0..4 {
        insert(f.store(), [job("a"), job("b")]).await;
        let store = if round % 2 == 0 { f.store() } else { f.second() };
        let claims = claim(store, "w", 2).await;
        for claim in &claims {
            assert!(claim.token.number > last, "{} after {last}", claim.token);
            last = claim.token.number;
        }
        Turn::of("w").release(claims[1].token).at(store).await;
        settle(store, &claims[0], exited(0)).await;
        store.retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
        let again = claim_one(store, "w").await;
        assert!(again.token.number > last);
        last = again.token.number;
        settle(store, &again, exited(0)).await;
        store.delete(Selection::Ids(ids(&["a", "b"]))).await.expect("the store works");
    }
}

pub async fn two_processes_never_claim_one_job_twice(f: &dyn Fixture) {
    let names: Vec<String> = (0..40).map(|n| format!("j{n}")).collect();
    insert(f.store(), names.iter().map(|name| job(name)).collect::<Vec<_>>()).await;
    let take = async |store, worker: &str| {
        let mut taken = Vec::new();
        loop {
            let claims = claim(store, worker, 3).await;
            if claims.is_empty() {
                return taken;
            }
            taken.extend(claims);
        }
    };
    let (first, second) = tokio::join!(take(f.store(), "w"), take(f.second(), "v"));
    let both = || first.iter().chain(&second);
    let tokens: BTreeSet<u64> = both().map(|claim| claim.token.number).collect();
    let jobs: BTreeSet<&str> = both().map(|claim| claim.job.id.as_str()).collect();
    assert_eq!((both().count(), tokens.len(), jobs.len()), (40, 40, 40));
}

pub async fn claims_are_found_by_their_owner(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c"), job("waits").delayed(60)]).await;
    let of_w = claim(f.store(), "w", 2).await;
    let of_v = claim(f.store(), "v", 1).await;
    assert_eq!(f.second().claims_of(&keeper_of("w")).await.expect("the store works"), of_w);
    assert_eq!(f.second().claims_of("nobody").await.expect("the store works"), []);
    let owners = async || f.second().owners().await.expect("the store works");
    assert_eq!(owners().await, [keeper_of("v"), keeper_of("w")]);
    settle(f.store(), &of_v[0], exited(0)).await;
    assert_eq!(owners().await, [keeper_of("w")]);
}

/// A process with handlers owns its claims by a lock of its own, and has no keeper. Whoever finds that lock free asks the
/// store what it had, and interrupts it: the job is ready again, uncharged, for whoever handles its kind.
pub async fn what_a_lost_handler_had_is_interrupted_for_its_kind(f: &dyn Fixture) {
    insert(f.store(), [job("a").kind("mail"), job("b").kind("mail")]).await;
    let had = Turn::of("lost").want(1).kinds(&["mail"]).at(f.store()).await.claims;
    let found = f.second().claims_of(&keeper_of("lost")).await.expect("the store works");
    assert_eq!(found, had, "by its owner, as it was claimed");
    settle(f.second(), &found[0], crashed()).await;
    let late = Turn::of("lost").settle(outcome(&had[0], exited(0))).at(f.store()).await;
    assert_eq!(late.settled, [Settled::Lost], "it is no longer the lost one's to settle");
    assert_eq!(f.store().owners().await.expect("the store works"), Vec::<String>::new());
    let read = get(f, "a").await;
    assert_eq!((read.state, read.ready, read.owner), (State::Pending, true, None));
    assert_eq!((read.attempts, read.runs, read.interruptions), (0, 1, 1));
    assert_eq!(Turn::of("w").want(9).kinds(&["command"]).at(f.store()).await.claims, []);
    let again = Turn::of("v").want(9).kinds(&["mail"]).at(f.store()).await;
    assert_eq!(claimed(&again.claims), ["a", "b"], "in its old place");
}

pub async fn many_due_jobs_are_promoted_a_bounded_number_at_a_time(f: &dyn Fixture) {
    let count = PROMOTE_MAX + 50;
    let jobs = (0..count).map(|n| job(&format!("j{n}")).delayed(10));
    insert(f.store(), jobs.collect::<Vec<_>>()).await;
    f.advance(secs(10));
    let mut claimed = 0;
    for _ in 0..3 {
        claimed += claim(f.store(), "w", count).await.len();
    }
    assert_eq!(claimed, count, "all of them come in a few turns");
}

pub async fn next_due_tells_how_long_to_sleep(f: &dyn Fixture) {
    let next = async |turn: Turn| turn.at(f.store()).await.next_due;
    assert_eq!(next(Turn::of("w").want(1)).await, None);
    insert(f.store(), [job("a").in_queue("x").delayed(30), job("b").in_queue("y").delayed(20)]).await;
    assert_eq!(next(Turn::of("w").want(1)).await, Some(secs(20)));
    assert_eq!(next(Turn::of("w")).await, Some(secs(20)), "also for one who wants nothing now");
    assert_eq!(next(Turn::of("w").want(1).queues(&["x"])).await, Some(secs(30)));
    assert_eq!(next(Turn::of("w").want(1).only("a")).await, Some(secs(30)));
    f.store().set_paused(&queue("y"), true).await.expect("the store works");
    f.advance(secs(5));
    assert_eq!(next(Turn::of("w").want(1)).await, Some(secs(25)));
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    assert_eq!(next(Turn::of("w").want(1)).await, None);
}

pub async fn next_due_counts_only_jobs_that_the_worker_can_run(f: &dyn Fixture) {
    insert(f.store(), [job("mail").kind("mail").delayed(10), job("command").delayed(30)]).await;
    let reply = Turn::of("w").want(1).kinds(&["command"]).at(f.store()).await;
    assert_eq!(reply.next_due, Some(secs(30)));
}

pub async fn a_ready_job_waits_for_no_time(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    assert_eq!(Turn::of("w").at(f.store()).await.next_due, None);
    assert_eq!(Turn::of("w").only("a").at(f.store()).await.next_due, None);
}

pub async fn next_due_knows_a_backoff_of_the_same_exchange(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let held = claim_one(f.store(), "w").await;
    let turn = Turn::of("w").want(1).settle(crate::given::outcome(&held, exited(1)));
    assert_eq!(turn.at(f.store()).await.next_due, Some(secs(2)));
}

pub async fn a_worker_is_drained_once_nothing_is_left_for_it(f: &dyn Fixture) {
    let drained = async |turn: Turn| turn.at(f.store()).await.drained;
    assert!(drained(Turn::of("w").drain()).await);
    assert!(!drained(Turn::of("w")).await, "always false unless asked");
    insert(f.store(), [job("a").in_queue("x"), job("far").in_queue("y").delayed(600)]).await;
    assert!(!drained(Turn::of("w").drain()).await);
    assert!(drained(Turn::of("w").drain().queues(&["y"])).await, "one that waits for its time is no work");
    assert!(drained(Turn::of("w").drain().kinds(&["mail"])).await, "nor is one of another kind");
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    assert!(drained(Turn::of("w").drain()).await, "a paused queue is no work");
    f.store().set_paused(&queue("x"), false).await.expect("the store works");
    run_one(f.store(), "w", exited(1)).await;
    assert!(!drained(Turn::of("w").drain().want(1)).await, "a backoff is");
    f.store().delete(Selection::Ids(vec![id("a")])).await.expect("the store works");
    assert!(drained(Turn::of("w").drain().want(1)).await);
    f.advance(secs(600));
    assert!(!drained(Turn::of("w").drain()).await, "its time has come");
    assert!(drained(Turn::of("w").drain().want(1)).await, "the last one is claimed in this very exchange");
}

pub async fn every_reply_names_the_paused_queues(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let paused = async |want| Turn::of("w").want(want).at(f.store()).await.paused;
    assert_eq!(paused(0).await, []);
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    assert_eq!(paused(0).await, [queue("x")], "a reply that only reads");
    assert_eq!(paused(1).await, [queue("x")], "a reply that claims");
    f.store().set_paused(&queue("x"), false).await.expect("the store works");
    assert_eq!(paused(0).await, []);
}
