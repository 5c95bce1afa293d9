//! Jobs: insertion, cancelling, bringing back, deleting. Looking at them: see `listing.rs`.

use std::time::Duration;

use queuectl_core::edit::Edit;
use queuectl_core::job::Due;
use queuectl_core::outcome::Outcome;
use queuectl_core::query::Filter;
use queuectl_core::state::{Shown, State};
use queuectl_core::store::{
    Cancelled, EditOne, EditRefusal, Edited, Inserted, Retried, RetryScope, Selection,
};

use super::Fixture;
use super::listing::{all, get};
use crate::given::{Turn, With, claim_one, claimed, exited, id, ids, insert, job, run_one, secs, settle};

pub async fn an_inserted_job_reads_back_as_it_was_given(f: &dyn Fixture) {
    let mut new = job("a").in_queue("mail").priority(7).tag("who", "x").with(|spec| {
        spec.dir = Some(b"/tmp/\xff".to_vec());
        spec.timeout = Some(secs(9));
        spec.at_most_once = true;
    });
    new.spec.environment.set(*b"NAME", *b"\xfe value").expect("a variable");
    insert(f.store(), [new.clone()]).await;
    let now = f.store().now().await.expect("the store works");
    let read = get(f, "a").await;
    assert_eq!(read.spec, new.spec);
    assert_eq!((read.state, read.ready, read.retrying), (State::Pending, true, false));
    assert_eq!((read.due_at, read.run_at, read.created_at, read.updated_at), (now, None, now, now));
    assert_eq!((read.attempts, read.runs, read.interruptions), (0, 0, 0));
    assert_eq!((read.claim, read.owner, read.worker, read.started_at, read.completed_at), Default::default());
    assert!(
        !read.generated && !read.cancel_requested && read.last_error.is_none() && read.exit_code.is_none()
    );
}

pub async fn a_duplicate_in_the_store_refuses_the_whole_list(f: &dyn Fixture) {
    insert(f.store(), [job("b")]).await;
    let list = vec![job("a").in_queue("new"), job("b"), job("c")];
    let inserted = f.store().insert(list).await.expect("the store works");
    assert_eq!(inserted, Inserted::Duplicate(id("b")));
    assert_eq!(all(f).await, ["b"]);
    let queues = f.store().queues().await.expect("the store works");
    assert_eq!(queues.len(), 1, "the new queue has no row either");
}

pub async fn a_duplicate_in_the_list_refuses_the_whole_list(f: &dyn Fixture) {
    let list = vec![job("a"), job("b"), job("c"), job("b"), job("a")];
    let inserted = f.store().insert(list).await.expect("the store works");
    assert_eq!(inserted, Inserted::Duplicate(id("b")));
    assert_eq!(all(f).await, Vec::<String>::new());
}

pub async fn a_duplicate_leaves_the_first_untouched(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    for _ in 0..2 {
        let inserted = f.store().insert(vec![job("a").priority(9)]).await.expect("the store works");
        assert_eq!(inserted, Inserted::Duplicate(id("a")));
    }
    assert_eq!(get(f, "a").await.spec.priority, 0, "the first one is untouched");
}

pub async fn an_id_is_free_again_once_its_job_is_deleted(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    f.store().delete(Selection::Ids(ids(&["a"]))).await.expect("the store works");
    insert(f.store(), [job("a").priority(3)]).await;
    assert_eq!(get(f, "a").await.spec.priority, 3);
}

pub async fn nothing_to_insert_is_fine(f: &dyn Fixture) {
    assert_eq!(f.store().insert(Vec::new()).await.expect("the store works"), Inserted::All);
}

pub async fn a_delayed_job_waits_for_its_time(f: &dyn Fixture) {
    insert(f.store(), [job("a").delayed(60)]).await;
    let now = f.store().now().await.expect("the store works");
    let read = get(f, "a").await;
    assert_eq!(
        (read.ready, read.due_at, read.run_at),
        (false, now.after(secs(60)), Some(now.after(secs(60))))
    );
    assert_eq!(read.shown(now), Shown::Pending);
    f.advance(secs(59));
    assert!(Turn::of("w").want(1).at(f.store()).await.claims.is_empty());
    f.advance(secs(1));
    assert_eq!(claimed(&Turn::of("w").want(1).at(f.store()).await.claims), ["a"]);
}

pub async fn a_time_that_does_not_lie_ahead_is_now(f: &dyn Fixture) {
    let now = f.store().now().await.expect("the store works");
    let past = job("past").due(Due::At(now.before(secs(5))));
    let present = job("present").due(Due::At(now));
    let at_once = job("at-once").due(Due::After(Duration::ZERO));
    let ahead = job("ahead").due(Due::At(now.after(Duration::from_millis(1))));
    insert(f.store(), [past, present, at_once, ahead]).await;
    for name in ["past", "present", "at-once"] {
        let read = get(f, name).await;
        assert_eq!((read.due_at, read.run_at, read.ready), (now, None, true), "{name}");
    }
    let ahead = get(f, "ahead").await;
    assert_eq!(ahead.run_at, Some(now.after(Duration::from_millis(1))));
    assert!(!ahead.ready);
}

pub async fn a_waiting_job_is_cancelled_at_once(f: &dyn Fixture) {
    insert(f.store(), [job("ready"), job("delayed").delayed(60)]).await;
    f.advance(secs(1));
    let now = f.store().now().await.expect("the store works");
    let results = f.store().cancel(&ids(&["ready", "delayed"])).await.expect("the store works");
    assert_eq!(results, [Cancelled::Now, Cancelled::Now]);
    for name in ["ready", "delayed"] {
        let read = get(f, name).await;
        assert_eq!((read.state, read.ready), (State::Cancelled, false));
        assert_eq!((read.completed_at, read.updated_at), (Some(now), now));
    }
    f.advance(secs(60));
    assert!(Turn::of("w").want(9).at(f.store()).await.claims.is_empty());
}

pub async fn a_job_that_backs_off_is_cancelled_at_once(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    run_one(f.store(), "w", exited(1)).await;
    assert_eq!(f.store().cancel(&ids(&["a"])).await.expect("the store works"), [Cancelled::Now]);
    let read = get(f, "a").await;
    assert_eq!((read.state, read.retrying), (State::Cancelled, false));
    assert_eq!(read.last_error.as_deref(), Some("exit code 1"), "what went wrong stays to be seen");
}

pub async fn cancelling_answers_for_each_id(f: &dyn Fixture) {
    insert(f.store(), [job("done")]).await;
    run_one(f.store(), "w", exited(0)).await;
    insert(f.store(), [job("running")]).await;
    claim_one(f.store(), "w").await;
    let asked = ids(&["done", "absent", "running", "running"]);
    let results = f.store().cancel(&asked).await.expect("the store works");
    let requested = Cancelled::Requested { worker: Some("w".to_owned()) };
    assert_eq!(
        results,
        [Cancelled::Ended(State::Completed), Cancelled::Absent, requested.clone(), requested]
    );
    let running = get(f, "running").await;
    assert_eq!((running.state, running.cancel_requested), (State::Processing, true));
}

pub async fn a_cancelled_job_stays_cancelled(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    f.store().cancel(&ids(&["a"])).await.expect("the store works");
    let again = f.store().cancel(&ids(&["a"])).await.expect("the store works");
    assert_eq!(again, [Cancelled::Ended(State::Cancelled)]);
}

pub async fn a_job_comes_back_from_every_terminal_state(f: &dyn Fixture) {
    insert(f.store(), [job("completed").priority(1), job("dead").max_retries(1), job("cancelled")]).await;
    run_one(f.store(), "w", exited(0)).await;
    run_one(f.store(), "w", exited(5)).await;
    f.store().cancel(&ids(&["cancelled"])).await.expect("the store works");
    f.advance(secs(10));
    let now = f.store().now().await.expect("the store works");
    let all = ids(&["completed", "dead", "cancelled"]);
    let results = f.store().retry(&all, RetryScope::Any).await.expect("the store works");
    let states = [State::Completed, State::Dead, State::Cancelled];
    assert_eq!(results, states.map(|from| Retried::Revived { from }));
    for name in ["completed", "dead", "cancelled"] {
        let read = get(f, name).await;
        assert_eq!((read.state, read.ready, read.retrying), (State::Pending, true, false), "{name}");
        assert_eq!((read.attempts, read.interruptions, read.cancel_requested), (0, 0, false), "{name}");
        assert_eq!((read.due_at, read.updated_at, read.completed_at), (now, now, None), "{name}");
    }
    let dead = get(f, "dead").await;
    assert_eq!((dead.last_error.as_deref(), dead.exit_code), (Some("exit code 5"), Some(5)));
    assert_eq!((dead.worker.as_deref(), dead.runs), (Some("w"), 1));
}

pub async fn a_revived_job_has_all_its_attempts_again(f: &dyn Fixture) {
    insert(f.store(), [job("a").max_retries(2)]).await;
    for round in 0..2 {
        run_one(f.store(), "w", exited(1)).await;
        f.advance(secs(2));
        run_one(f.store(), "w", exited(1)).await;
        assert_eq!(get(f, "a").await.state, State::Dead, "round {round}");
        f.store().retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
    }
    assert_eq!(get(f, "a").await.runs, 4);
}

pub async fn retrying_only_the_dead_leaves_others_alone(f: &dyn Fixture) {
    insert(f.store(), [job("dead").max_retries(1)]).await;
    run_one(f.store(), "w", exited(1)).await;
    insert(f.store(), [job("backs-off")]).await;
    run_one(f.store(), "w", exited(1)).await;
    insert(f.store(), [job("done")]).await;
    run_one(f.store(), "w", exited(0)).await;
    let asked = ids(&["dead", "backs-off", "done", "absent"]);
    let results = f.store().retry(&asked, RetryScope::DeadOnly).await.expect("the store works");
    assert_eq!(
        results,
        [
            Retried::Revived { from: State::Dead },
            Retried::Refused(Shown::Failed),
            Retried::Refused(Shown::Completed),
            Retried::Absent
        ]
    );
}

pub async fn a_backoff_ends_when_asked(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    run_one(f.store(), "w", exited(1)).await;
    assert!(Turn::of("w").want(1).at(f.store()).await.claims.is_empty());
    let results = f.store().retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
    assert_eq!(results, [Retried::Hastened]);
    let (read, now) = (get(f, "a").await, f.store().now().await.expect("the store works"));
    assert_eq!((read.attempts, read.due_at, read.shown(now)), (1, now, Shown::Pending));
    assert_eq!(claimed(&Turn::of("w").want(1).at(f.store()).await.claims), ["a"]);
}

pub async fn what_waits_or_runs_is_not_retried(f: &dyn Fixture) {
    insert(f.store(), [job("running")]).await;
    claim_one(f.store(), "w").await;
    insert(f.store(), [job("pending"), job("delayed").delayed(60)]).await;
    let asked = ids(&["running", "pending", "delayed"]);
    let results = f.store().retry(&asked, RetryScope::Any).await.expect("the store works");
    assert_eq!(results, [Shown::Processing, Shown::Pending, Shown::Pending].map(Retried::Refused));
    assert!(!get(f, "delayed").await.ready);
}

pub async fn running_jobs_are_never_deleted(f: &dyn Fixture) {
    insert(f.store(), [job("running")]).await;
    let claim = claim_one(f.store(), "w").await;
    insert(f.store(), [job("pending")]).await;
    let asked = ids(&["absent", "running", "pending", "pending"]);
    let deleted = f.store().delete(Selection::Ids(asked)).await.expect("the store works");
    assert_eq!(deleted.deleted, ids(&["pending"]));
    assert_eq!(deleted.running, ids(&["running"]));
    assert_eq!(deleted.absent, ids(&["absent", "pending"]));
    let everything = Selection::Filter { filter: Filter::default(), limit: 10 };
    assert_eq!(f.store().delete(everything).await.expect("the store works").deleted, []);
    settle(f.store(), &claim, exited(0)).await;
    assert_eq!(all(f).await, ["running"]);
}

pub async fn a_deletion_by_filter_takes_the_oldest_first(f: &dyn Fixture) {
    let queues = ["x", "y", "x", "x"];
    let jobs = ["a", "b", "c", "d"].iter().zip(queues).map(|(name, queue)| job(name).in_queue(queue));
    insert(f.store(), jobs.collect::<Vec<_>>()).await;
    let filter = Filter { queue: Some(crate::given::queue("x")), ..Filter::default() };
    let selection = Selection::Filter { filter, limit: 2 };
    let deleted = f.store().delete(selection.clone()).await.expect("the store works");
    assert_eq!(deleted.deleted, ids(&["a", "c"]));
    assert_eq!(all(f).await, ["b", "d"]);
    let deleted = f.store().delete(selection).await.expect("the store works");
    assert_eq!(deleted.deleted, ids(&["d"]));
}

pub async fn a_deletion_by_age_spares_the_young(f: &dyn Fixture) {
    insert(f.store(), [job("old"), job("young")]).await;
    run_one(f.store(), "w", exited(0)).await;
    f.advance(secs(100));
    run_one(f.store(), "w", exited(0)).await;
    insert(f.store(), [job("waiting")]).await;
    let now = f.store().now().await.expect("the store works");
    let filter = Filter { ended_before: Some(now), ..Filter::default() };
    let deleted = f.store().delete(Selection::Filter { filter, limit: 10 }).await.expect("the store works");
    assert_eq!(deleted.deleted, ids(&["old"]));
}

pub async fn a_deleted_job_is_gone_with_its_attempts(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    settle(f.store(), &claim, Outcome::Signaled { signal: 9 }).await;
    f.store().delete(Selection::Ids(ids(&["a"]))).await.expect("the store works");
    assert_eq!(f.store().get(&id("a")).await.expect("the store works"), None);
    insert(f.store(), [job("a")]).await;
    assert_eq!(f.store().attempts(&id("a"), true).await.expect("the store works"), []);
    assert_eq!(get(f, "a").await.runs, 0);
}

pub async fn an_environment_outlives_one_of_its_jobs(f: &dyn Fixture) {
    let with_environment =
        |name: &str| job(name).with(|spec| spec.environment.set(*b"K", *b"shared").expect("a variable"));
    insert(f.store(), [with_environment("a"), with_environment("b")]).await;
    f.store().delete(Selection::Ids(ids(&["a"]))).await.expect("the store works");
    assert_eq!(get(f, "b").await.spec.environment, with_environment("b").spec.environment);
    assert_eq!(claim_one(f.store(), "w").await.job.spec, with_environment("b").spec);
}

fn edit(name: &str, edit: Edit) -> EditOne {
    EditOne { id: id(name), edit, seen: None }
}

pub async fn an_edit_changes_what_it_names(f: &dyn Fixture) {
    insert(f.store(), [job("a").priority(1)]).await;
    let before = get(f, "a").await;
    let command = queuectl_core::command::Command::shell("echo new".to_owned()).expect("a command");
    let change = Edit {
        command: Some(command.clone()),
        max_retries: Some(9),
        timeout: Some(Some(secs(5))),
        ..Edit::default()
    };
    f.advance(secs(1));
    assert_eq!(f.store().edit(&[edit("a", change)]).await.expect("the store works"), Edited::All);
    let after = get(f, "a").await;
    assert_eq!((after.spec.command, after.spec.max_retries), (Some(command), 9));
    assert_eq!((after.spec.timeout, after.spec.priority), (Some(secs(5)), 1));
    assert!(after.updated_at > before.updated_at && after.due_at == before.due_at && after.ready);
}

pub async fn an_edit_moves_a_job_to_another_queue(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b").priority(5)]).await;
    let change = Edit { queue: Some(crate::given::queue("other")), priority: Some(9), ..Edit::default() };
    f.store().edit(&[edit("a", change)]).await.expect("the store works");
    let counts = f.store().counts().await.expect("the store works");
    let named: Vec<(String, u64)> = counts.iter().map(|one| (one.queue.to_string(), one.jobs)).collect();
    assert_eq!(named, [("default".to_owned(), 1), ("other".to_owned(), 1)]);
    assert_eq!(f.store().queues().await.expect("the store works").len(), 2);
    let claims = Turn::of("w").want(2).at(f.store()).await.claims;
    assert_eq!(claimed(&claims), ["a", "b"], "by its new priority");
}

pub async fn an_edited_due_time_holds_back_and_hastens(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let due = |due| Edit { due: Some(due), ..Edit::default() };
    f.store().edit(&[edit("a", due(Due::After(secs(60))))]).await.expect("the store works");
    let held = get(f, "a").await;
    assert!(!held.ready && held.run_at == Some(held.due_at) && held.due_at > held.updated_at);
    assert!(Turn::of("w").want(1).at(f.store()).await.claims.is_empty());
    f.store().edit(&[edit("a", due(Due::Now))]).await.expect("the store works");
    assert_eq!(get(f, "a").await.run_at, None);
    assert_eq!(claimed(&Turn::of("w").want(1).at(f.store()).await.claims), ["a"]);
}

pub async fn edits_are_all_or_nothing(f: &dyn Fixture) {
    insert(f.store(), [job("a").priority(1), job("b"), job("c")]).await;
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(claim.job.id, id("a"));
    let seen = get(f, "c").await.updated_at;
    f.advance(secs(1));
    f.store().edit(&[edit("c", Edit { priority: Some(2), ..Edit::default() })]).await.expect("it waits");
    let change = Edit { priority: Some(7), ..Edit::default() };
    let edits = [
        edit("a", change.clone()),
        edit("b", change.clone()),
        EditOne { seen: Some(seen), ..edit("c", change.clone()) },
        edit("d", change),
    ];
    let refused = Edited::Refused(vec![
        (id("a"), EditRefusal::State(Shown::Processing)),
        (id("c"), EditRefusal::Changed),
        (id("d"), EditRefusal::Absent),
    ]);
    assert_eq!(f.store().edit(&edits).await.expect("the store works"), refused);
    assert_eq!((get(f, "b").await.spec.priority, get(f, "c").await.spec.priority), (0, 2));
}

pub async fn states_are_told_for_each_id(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b")]).await;
    run_one(f.store(), "w", exited(0)).await;
    let states = f.store().states(&ids(&["b", "x", "a"])).await.expect("the store works");
    assert_eq!(states, [Some(State::Pending), None, Some(State::Completed)]);
}
