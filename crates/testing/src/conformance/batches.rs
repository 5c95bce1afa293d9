//! Batches: there all at once, or not at all.

use queuectl_core::edit::Edit;
use queuectl_core::query::Filter;
use queuectl_core::state::Shown;
use queuectl_core::store::{
    BatchId, Cancelled, EditOne, Edited, Inserted, Loading, Retried, RetryScope, Selection,
};

use super::Fixture;
use super::listing::all;
use crate::given::{Turn, With, claimed, id, ids, insert, job, queue};

async fn begin(f: &dyn Fixture) -> BatchId {
    f.store().begin_batch("loader").await.expect("the store works")
}

async fn stage(f: &dyn Fixture, batch: BatchId, names: &[&str]) -> Inserted {
    let jobs = names.iter().map(|name| job(name)).collect();
    f.store().stage(batch, jobs).await.expect("the store works")
}

async fn open(f: &dyn Fixture, batch: BatchId) {
    assert!(f.store().open_batch(batch).await.expect("the store works"));
}

async fn counted(f: &dyn Fixture) -> u64 {
    f.store().counts().await.expect("the store works").iter().map(|count| count.jobs).sum()
}

pub async fn a_batch_is_invisible_until_it_is_opened(f: &dyn Fixture) {
    insert(f.store(), [job("before")]).await;
    let batch = begin(f).await;
    assert_eq!(stage(f, batch, &["a", "b"]).await, Inserted::All);
    let loading = f.second().loading().await.expect("the store works");
    assert_eq!(loading, [Loading { batch, loader: "loader".to_owned() }]);
    assert_eq!((all(f).await, counted(f).await), (vec!["before".to_owned()], 1));
    let store = f.store();
    assert_eq!(store.get(&id("a")).await.expect("works"), None);
    assert_eq!(store.states(&ids(&["a"])).await.expect("works"), [None]);
    assert_eq!(store.cancel(&ids(&["a"])).await.expect("works"), [Cancelled::Absent]);
    assert_eq!(store.retry(&ids(&["a"]), RetryScope::Any).await.expect("works"), [Retried::Absent]);
    assert_eq!(store.delete(Selection::Ids(ids(&["a"]))).await.expect("works").absent, ids(&["a"]));
    let turn = Turn::of("w").want(9).at(store).await;
    assert_eq!((claimed(&turn.claims), turn.next_due), (vec!["before"], None));
    assert_eq!(store.promote_batches(100).await.expect("works"), 0);
    assert_eq!(
        store.insert(vec![job("b")]).await.expect("works"),
        Inserted::Duplicate(id("b")),
        "its id is taken"
    );
}

pub async fn an_opened_batch_is_there_at_once_and_claimed_in_order(f: &dyn Fixture) {
    let batch = begin(f).await;
    stage(f, batch, &["a", "b"]).await;
    let more = vec![job("c").priority(5), job("d").in_queue("mail"), job("late").delayed(60)];
    f.store().stage(batch, more).await.expect("the store works");
    open(f, batch).await;
    assert_eq!(all(f).await, ["a", "b", "c", "d", "late"]);
    assert_eq!(counted(f).await, 5);
    assert!(f.store().loading().await.expect("the store works").is_empty());
    let now = f.store().now().await.expect("the store works");
    let late = f.store().get(&id("late")).await.expect("works").expect("it is there");
    assert!(late.due_at > now && late.run_at == Some(late.due_at));
    let early = f.store().get(&id("a")).await.expect("works").expect("it is there");
    assert!(early.due_at <= now && early.run_at.is_none());
    let turn = Turn::of("w").want(9).drain().at(f.store()).await;
    assert_eq!(claimed(&turn.claims), ["c", "a", "b", "d"]);
    assert!(turn.next_due.is_some(), "the late one");
    let filter = Filter { queue: Some(queue("mail")), ..Filter::default() };
    let deleted = f.store().delete(Selection::Filter { filter, limit: 9 }).await.expect("works");
    assert!(deleted.deleted.is_empty(), "it runs");
    assert!(!f.store().open_batch(batch).await.expect("the store works"), "only once");
}

pub async fn an_opened_batch_can_be_changed_before_it_is_promoted(f: &dyn Fixture) {
    let batch = begin(f).await;
    stage(f, batch, &["a", "b", "c", "d"]).await;
    open(f, batch).await;
    let store = f.store();
    assert_eq!(store.cancel(&ids(&["a"])).await.expect("works"), [Cancelled::Now]);
    let change = Edit { priority: Some(7), queue: Some(queue("other")), ..Edit::default() };
    assert_eq!(
        store.edit(&[EditOne { id: id("c"), edit: change, seen: None }]).await.expect("works"),
        Edited::All
    );
    store.delete(Selection::Ids(ids(&["d"]))).await.expect("works");
    let counts = || async {
        let counts = store.counts().await.expect("works");
        counts.into_iter().map(|count| (count.queue.to_string(), count.shown, count.jobs)).collect::<Vec<_>>()
    };
    let waits = |queue: &str| (queue.to_owned(), Shown::Pending, 1);
    let cancelled = ("default".to_owned(), Shown::Cancelled, 1);
    assert_eq!(counts().await, [waits("default"), cancelled.clone(), waits("other")]);
    while store.promote_batches(10).await.expect("works") > 0 {}
    assert_eq!(counts().await, [waits("default"), cancelled, waits("other")]);
    assert_eq!(claimed(&Turn::of("w").want(9).at(store).await.claims), ["c", "b"]);
}

pub async fn an_opened_batch_keeps_a_drain_busy(f: &dyn Fixture) {
    let batch = begin(f).await;
    stage(f, batch, &["a"]).await;
    assert!(Turn::of("w").drain().at(f.store()).await.drained, "what is not there is no work");
    open(f, batch).await;
    let turn = Turn::of("w").drain().at(f.store()).await;
    assert!(!turn.drained);
    let mut left = 1;
    while left > 0 {
        left = f.store().promote_batches(10).await.expect("the store works");
    }
    assert_eq!(claimed(&Turn::of("w").want(1).at(f.store()).await.claims), ["a"]);
}

pub async fn a_duplicate_refuses_its_step(f: &dyn Fixture) {
    insert(f.store(), [job("x")]).await;
    let batch = begin(f).await;
    assert_eq!(stage(f, batch, &["a", "b"]).await, Inserted::All);
    assert_eq!(stage(f, batch, &["c", "x"]).await, Inserted::Duplicate(id("x")));
    assert_eq!(stage(f, batch, &["d", "a"]).await, Inserted::Duplicate(id("a")));
    assert_eq!(stage(f, batch, &["e", "e"]).await, Inserted::Duplicate(id("e")));
    open(f, batch).await;
    assert_eq!(all(f).await, ["x", "a", "b"]);
}

pub async fn a_dead_batch_is_removed_in_steps(f: &dyn Fixture) {
    let batch = begin(f).await;
    let other = begin(f).await;
    stage(f, batch, &["a", "b", "c"]).await;
    stage(f, other, &["o"]).await;
    let drop = async |limit| f.store().drop_batch(batch, limit).await.expect("the store works");
    assert_eq!((drop(2).await, drop(2).await, drop(2).await), (2, 1, 0));
    let left: Vec<BatchId> =
        f.store().loading().await.expect("works").into_iter().map(|one| one.batch).collect();
    assert_eq!(left, [other]);
    assert!(!f.store().open_batch(batch).await.expect("the store works"));
    insert(f.store(), [job("a")]).await;
    open(f, other).await;
    assert_eq!(f.store().drop_batch(other, 9).await.expect("works"), 0, "it is open");
    assert_eq!(all(f).await.len(), 2);
}
