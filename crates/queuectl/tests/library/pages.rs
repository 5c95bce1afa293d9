//! Long listings, a page at a time.

use queuectl::core::limits::PAGE_ROWS_MAX;
use queuectl::core::query::Filter;
use queuectl::{Enqueuer, JobRequest};
use queuectl_testing::given::id;

use crate::place::{Place, request};

/// The ids of a listing, and how many pages it took.
async fn read(place: &Place, limit: Option<usize>) -> (Vec<String>, usize) {
    let mut pages = place.client.pages(Filter::default(), limit).await.expect("the store works");
    let (mut ids, mut count) = (Vec::new(), 0);
    while !pages.is_over() {
        let page = pages.next().await.expect("the store works");
        assert!(page.len() <= PAGE_ROWS_MAX);
        ids.extend(page.into_iter().map(|job| job.id.to_string()));
        count += 1;
    }
    assert!(pages.next().await.expect("the store works").is_empty(), "the end stays the end");
    (ids, count)
}

#[tokio::test]
async fn pages_are_the_listing_in_pieces() {
    let place = Place::new().await;
    assert_eq!(read(&place, None).await, (Vec::new(), 1));
    let total = PAGE_ROWS_MAX * 2 + 3;
    let requests: Vec<JobRequest> = (0..total).map(|n| request(&format!("n{n}"))).collect();
    place.client.enqueue(requests, &Enqueuer::default()).await.expect("all of them");
    let all: Vec<String> = (0..total).map(|n| format!("n{n}")).collect();
    assert_eq!(read(&place, None).await, (all.clone(), 3));
    for limit in [0, 1, PAGE_ROWS_MAX, PAGE_ROWS_MAX + 1, total - 1, total, total + 1] {
        let (ids, _) = read(&place, Some(limit)).await;
        assert_eq!(ids, all[total.saturating_sub(limit)..], "the newest {limit}");
    }
}

#[tokio::test]
async fn the_newest_come_first_and_go_on_from_a_place() {
    let place = Place::new().await;
    place.enqueue(&["a", "b", "c", "d"]).await;
    let newest = async |before, rows| {
        let jobs = place.client.newest(&Filter::default(), before, rows).await.expect("the store works");
        let ids: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
        (ids, jobs.last().map(|job| job.seq))
    };
    let (ids, before) = newest(None, 3).await;
    assert_eq!(ids, ["d", "c", "b"]);
    assert_eq!(newest(before, 3).await.0, ["a"]);
}

#[tokio::test]
async fn changes_are_heard_of_both_topics() {
    let place = Place::new().await;
    let mut changes = place.client.changes().await.expect("the store works");
    let patience = std::time::Duration::from_secs(60);
    place.enqueue(&["one"]).await;
    assert!(changes.wait(patience).await, "new work");
    place.client.cancel(&[id("one")]).await.expect("the store works");
    assert!(changes.wait(patience).await, "an outcome");
}
