//! Cancel, retry, delete.

use queuectl::core::query::Filter;
use queuectl::core::state::{Shown, State};
use queuectl::core::store::{Cancelled, Retried, RetryScope};
use queuectl::{Selector, SelectorError};
use queuectl_testing::given::{With, claim_one, exited, id, ids, job, queue, run_one, settle};

use crate::place::Place;

#[tokio::test]
async fn a_waiting_job_is_cancelled_now_and_a_running_one_is_asked() {
    let place = Place::new().await;
    place.enqueue(&["runs", "waits"]).await;
    let claim = claim_one(&*place.store, "worker").await;
    assert_eq!(claim.job.id, id("runs"));
    let results = place.client.cancel(&ids(&["runs", "waits", "absent"])).await.expect("the store works");
    let asked = Cancelled::Requested { worker: Some("worker".to_owned()) };
    assert_eq!(results, [asked, Cancelled::Now, Cancelled::Absent]);
    let results = place.client.cancel(&ids(&["waits"])).await.expect("the store works");
    assert_eq!(results, [Cancelled::Ended(State::Cancelled)]);
    settle(&*place.store, &claim, exited(0)).await;
    let job = place.client.job(&id("runs")).await.expect("the store works").expect("it is there");
    assert_eq!(job.state, State::Completed, "it was faster");
}

#[tokio::test]
async fn retry_brings_back_what_has_ended() {
    let place = Place::new().await;
    queuectl_testing::given::insert(&*place.store, [job("dies").max_retries(1)]).await;
    run_one(&*place.store, "worker", exited(3)).await;
    place.enqueue(&["waits"]).await;
    let retry = async |scope| place.client.retry(&ids(&["dies", "waits"]), scope).await.expect("it works");
    let waits = Retried::Refused(Shown::Pending);
    assert_eq!(retry(RetryScope::DeadOnly).await, [Retried::Revived { from: State::Dead }, waits.clone()]);
    assert_eq!(retry(RetryScope::Any).await, [waits.clone(), waits]);
    let job = place.client.job(&id("dies")).await.expect("the store works").expect("it is there");
    assert_eq!((job.state, job.attempts, job.runs), (State::Pending, 0, 1));
}

#[tokio::test]
async fn all_dead_jobs_of_a_queue_come_back() {
    let place = Place::new().await;
    let jobs = (0..3).map(|n| job(&format!("m{n}")).in_queue("mail").max_retries(1));
    queuectl_testing::given::insert(&*place.store, jobs).await;
    queuectl_testing::given::insert(&*place.store, [job("other").max_retries(1)]).await;
    for _ in 0..4 {
        run_one(&*place.store, "worker", exited(1)).await;
    }
    let dead = |queue| Filter { shown: Some(Shown::Dead), queue, ..Filter::default() };
    let mails = place.client.select_all(&[], &dead(Some(queue("mail")))).await.expect("there are some");
    assert_eq!(mails, ids(&["m0", "m1", "m2"]));
    assert_eq!(place.client.count(&dead(None)).await.expect("the store works"), 4);
    place.client.retry(&mails, RetryScope::DeadOnly).await.expect("the store works");
    assert_eq!(place.client.select_all(&[], &dead(None)).await.expect("one is left"), ids(&["other"]));
    let words = [Selector::Id("m1".to_owned()), Selector::Id("other".to_owned())];
    assert_eq!(place.client.select_all(&words, &dead(None)).await.expect("both mean one"), ids(&["other"]));
    let none = place.client.select_all(&words[..1], &dead(None)).await;
    assert!(matches!(none, Err(SelectorError::NoMatch)));
}

#[tokio::test]
async fn a_running_job_is_not_deleted() {
    let place = Place::new().await;
    place.enqueue(&["runs", "waits"]).await;
    claim_one(&*place.store, "worker").await;
    let deleted = place.client.delete(&ids(&["runs", "waits", "absent"])).await.expect("the store works");
    assert_eq!((deleted.deleted, deleted.running), (ids(&["waits"]), ids(&["runs"])));
    assert_eq!(deleted.absent, ids(&["absent"]));
    assert_eq!(place.ids().await, ["runs"]);
}

#[tokio::test]
async fn clear_deletes_what_the_filter_means() {
    let place = Place::new().await;
    place.enqueue(&["a", "b", "c"]).await;
    place.client.cancel(&ids(&["a", "c"])).await.expect("the store works");
    let filter = Filter { shown: Some(Shown::Cancelled), ..Filter::default() };
    assert_eq!(place.client.clear(filter.clone(), |_| {}).await.expect("the store works"), 2);
    assert_eq!(place.client.clear(filter, |_| {}).await.expect("the store works"), 0);
    assert_eq!(place.ids().await, ["b"]);
}
