//! Enqueue and look.

use std::time::Duration;

use queuectl::core::query::Filter;
use queuectl::core::state::{Shown, State};
use queuectl::{Access, Client, EnqueueError, Enqueuer, JobRequest};
use queuectl_testing::given::{id, queue};

use crate::place::{Place, nameless, request};

#[tokio::test]
async fn reading_makes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    assert!(Client::open(&path, Access::Read).await.expect("no error").is_none());
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
}

#[tokio::test]
async fn what_is_enqueued_is_there_for_everyone() {
    let place = Place::new().await;
    let asked = JobRequest {
        queue: Some("mail".to_owned()),
        priority: Some(7),
        delay: Some(Duration::from_secs(60)),
        tags: [("a".to_owned(), "b".to_owned())].into(),
        ..request("one")
    };
    let ids = place.client.enqueue(vec![asked], &Enqueuer::default()).await.expect("it is enqueued");
    assert_eq!(ids, [id("one")]);
    let job = place.again().await.job(&id("one")).await.expect("the store works").expect("it is there");
    assert_eq!((job.state, job.spec.queue.as_str(), job.spec.priority), (State::Pending, "mail", 7));
    assert_eq!(job.due_at.since(job.created_at), Duration::from_secs(60));
    assert_eq!(job.spec.tags["a"], "b");
    assert!(place.client.job(&id("two")).await.expect("the store works").is_none());
}

#[tokio::test]
async fn an_enqueue_is_all_or_nothing() {
    let place = Place::new().await;
    place.enqueue(&["one"]).await;
    let result = place.client.enqueue(vec![request("two"), request("one")], &Enqueuer::default()).await;
    assert!(matches!(result, Err(EnqueueError::Duplicate(twice)) if twice == id("one")));
    let result = place.client.enqueue(vec![request("three"), request("three")], &Enqueuer::default()).await;
    assert!(matches!(result, Err(EnqueueError::Duplicate(twice)) if twice == id("three")));
    let bad = JobRequest { command: None, ..request("four") };
    let result = place.client.enqueue(vec![request("five"), bad], &Enqueuer::default()).await;
    let Err(EnqueueError::Request(error)) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains('2'), "it says which: {error}");
    assert_eq!(place.ids().await, ["one"]);
}

#[tokio::test]
async fn generated_ids_rise_and_never_collide() {
    let place = Place::new().await;
    let requests = |count| (0..count).map(|_| nameless()).collect::<Vec<_>>();
    let other = place.again().await;
    let mut ids = place.client.enqueue(requests(500), &Enqueuer::default()).await.expect("all of them");
    assert!(ids.is_sorted_by(|a, b| a < b), "the order of calls is the order of ids");
    ids.extend(other.enqueue(requests(500), &Enqueuer::default()).await.expect("all of them"));
    assert_eq!(place.ids().await.len(), 1_000);
    let job = place.client.job(&ids[0]).await.expect("the store works").expect("it is there");
    assert!(job.generated);
}

#[tokio::test]
async fn a_limited_list_holds_the_newest_in_their_order() {
    let place = Place::new().await;
    place.enqueue(&["a", "b", "c", "d"]).await;
    let named = async |limit| {
        let jobs = place.client.list(&Filter::default(), limit).await.expect("the store works");
        jobs.iter().map(|job| job.id.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named(None).await, "a b c d");
    assert_eq!(named(Some(2)).await, "c d");
    assert_eq!(named(Some(9)).await, "a b c d");
    assert_eq!(named(Some(0)).await, "");
}

#[tokio::test]
async fn a_list_goes_on_past_a_page() {
    let place = Place::new().await;
    let requests = (0..2_000).map(|_| nameless()).collect();
    let ids = place.client.enqueue(requests, &Enqueuer::default()).await.expect("all of them");
    let jobs = place.client.list(&Filter::default(), None).await.expect("the store works");
    assert!(jobs.iter().map(|job| &job.id).eq(&ids));
    let jobs = place.client.list(&Filter::default(), Some(1_500)).await.expect("the store works");
    assert!(jobs.iter().map(|job| &job.id).eq(&ids[500..]));
}

#[tokio::test]
async fn counts_and_filters_agree() {
    let place = Place::new().await;
    place.enqueue(&["a", "b"]).await;
    let mail = JobRequest { queue: Some("mail".to_owned()), ..request("c") };
    place.client.enqueue(vec![mail], &Enqueuer::default()).await.expect("it is enqueued");
    let counts = place.client.counts().await.expect("the store works");
    let counts: Vec<_> =
        counts.iter().filter(|count| count.jobs > 0).map(|c| (c.queue.as_str(), c.shown, c.jobs)).collect();
    assert_eq!(counts, [("default", Shown::Pending, 2), ("mail", Shown::Pending, 1)]);
    let filter = Filter { queue: Some(queue("mail")), shown: Some(Shown::Pending), ..Filter::default() };
    assert_eq!(place.client.list(&filter, None).await.expect("the store works").len(), 1);
    let filter = Filter { shown: Some(Shown::Dead), ..Filter::default() };
    assert_eq!(place.client.list(&filter, None).await.expect("the store works").len(), 0);
}
