//! Queues: rows that come with the first job or pause.

use queuectl_core::store::{QueueRow, Selection};

use super::Fixture;
use crate::given::{With, ids, insert, job, queue};

async fn queues(f: &dyn Fixture) -> Vec<(String, bool)> {
    let rows = f.second().queues().await.expect("the store works");
    rows.into_iter().map(|QueueRow { name, paused }| (name.to_string(), paused)).collect()
}

pub async fn a_queue_comes_with_its_first_job(f: &dyn Fixture) {
    assert_eq!(queues(f).await, []);
    insert(f.store(), [job("a").in_queue("x"), job("b").in_queue("b"), job("c").in_queue("x")]).await;
    assert_eq!(queues(f).await, [("b".to_owned(), false), ("x".to_owned(), false)]);
    f.store().delete(Selection::Ids(ids(&["a", "b", "c"]))).await.expect("the store works");
    assert_eq!(queues(f).await.len(), 2, "and stays without jobs");
}

pub async fn pausing_tells_whether_it_changed_anything(f: &dyn Fixture) {
    let pause = async |paused| f.store().set_paused(&queue("x"), paused).await.expect("the store works");
    assert!(!pause(false).await);
    assert!(pause(true).await);
    assert!(!pause(true).await);
    assert_eq!(queues(f).await, [("x".to_owned(), true)]);
    assert!(pause(false).await);
    assert_eq!(queues(f).await, [("x".to_owned(), false)]);
}

pub async fn a_new_job_does_not_resume_its_queue(f: &dyn Fixture) {
    f.store().set_paused(&queue("x"), true).await.expect("the store works");
    insert(f.store(), [job("a").in_queue("x")]).await;
    assert_eq!(queues(f).await, [("x".to_owned(), true)]);
}
