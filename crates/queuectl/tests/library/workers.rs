//! Workers as a client sees them. What they do with jobs is tested with the program.

use std::time::Duration;

use queuectl::core::store::StopMode;
use queuectl::{Error, StopWait, Worker, WorkerOptions};
use queuectl_testing::given::{queue, worker};

use crate::place::Place;

fn options(queues: &[&str]) -> WorkerOptions {
    WorkerOptions {
        slots: 2,
        queues: queues.iter().map(|name| queue(name)).collect(),
        only: None,
        drain: true,
        environment: Vec::new(),
        home: b"/".to_vec(),
        program: "/nonexistent/keeper".into(),
        umask: 0o022,
        on_crash: queuectl::OnCrash::Adopt,
        host: "here".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

#[tokio::test]
async fn without_workers_nothing_is_served() {
    let place = Place::new().await;
    assert_eq!(place.client.live_workers().await.expect("the store works"), []);
    assert!(!place.client.is_served(&queue("default")).await.expect("the store works"));
    assert_eq!(place.client.request_stop(StopMode::Drain).await.expect("the store works"), []);
    let gone = place.client.await_gone(Vec::new(), None).await.expect("the store works");
    assert_eq!(gone, StopWait::Gone(Vec::new()));
}

#[tokio::test]
async fn a_row_without_a_lock_is_no_worker() {
    let place = Place::new().await;
    place.store.register(worker("ghost")).await.expect("the store works");
    assert_eq!(place.client.live_workers().await.expect("the store works"), []);
    assert!(!place.client.is_served(&queue("default")).await.expect("the store works"));
    let gone = place.client.await_gone(vec![worker("ghost")], None).await.expect("the store works");
    assert!(matches!(gone, StopWait::Gone(_)));
}

#[tokio::test]
async fn a_registered_worker_lives_until_its_lock_is_free() {
    let place = Place::new().await;
    let one = Worker::register(place.client.clone(), options(&["mail"])).await.expect("it registers");
    let live = place.again().await.live_workers().await.expect("the store works");
    assert_eq!((live.len(), live[0].id.as_str(), live[0].slots), (1, one.id(), 2));
    assert!(place.client.is_served(&queue("mail")).await.expect("the store works"));
    assert!(!place.client.is_served(&queue("default")).await.expect("the store works"));
    let asked = place.client.request_stop(StopMode::Drain).await.expect("the store works");
    assert_eq!(asked.len(), 1);
    assert!(!place.client.is_served(&queue("mail")).await.expect("the store works"), "it is stopping");
    let wait = |up_to| place.client.await_gone(asked.clone(), Some(up_to));
    let still = wait(Duration::from_millis(20)).await.expect("the store works");
    assert!(matches!(still, StopWait::TimedOut(rows) if rows[0].id == one.id()));
    drop(one);
    assert!(matches!(wait(Duration::from_secs(10)).await.expect("the store works"), StopWait::Gone(_)));
}

#[tokio::test]
async fn the_worker_of_one_job_serves_nobody_and_is_not_asked_to_stop() {
    let place = Place::new().await;
    let only = Some(place.enqueue(&["a"]).await.swap_remove(0));
    let options = WorkerOptions { only, ..options(&[]) };
    let _one = Worker::register(place.client.clone(), options).await.expect("it registers");
    assert!(!place.client.is_served(&queue("default")).await.expect("the store works"));
    assert_eq!(place.client.request_stop(StopMode::Now).await.expect("the store works"), []);
}

#[tokio::test]
async fn a_worker_whose_keeper_does_not_start_says_so_and_leaves_nothing() {
    let place = Place::new().await;
    let one = Worker::register(place.client.clone(), options(&[])).await.expect("it registers");
    let (_stop, stopped) = tokio::sync::watch::channel(None);
    let Err(Error::Keeper { what, .. }) = one.run(stopped).await else { panic!("there is no keeper") };
    assert!(what.contains("could not be started"), "{what}");
    assert_eq!(place.store.workers().await.expect("the store works"), []);
    let run_dir = place.client.place().run_dir;
    let left: Vec<_> = std::fs::read_dir(run_dir).expect("it is there").flatten().collect();
    let locks = left.iter().filter(|entry| entry.file_name().to_string_lossy().contains("lock"));
    assert_eq!(locks.count(), 0, "{left:?}");
}
