//! Workers: rows that come, are asked to stop, and go.

use queuectl_core::store::{StopMode, WorkerRow};

use super::Fixture;
use super::listing::get;
use crate::given::{claim_one, exited, insert, job, queue, secs, settle, worker};

async fn workers(f: &dyn Fixture) -> Vec<WorkerRow> {
    f.second().workers().await.expect("the store works")
}

pub async fn a_worker_is_registered_at_the_stores_time(f: &dyn Fixture) {
    let row = WorkerRow { queues: vec![queue("a"), queue("b/c")], only_job: true, ..worker("w") };
    f.store().register(row.clone()).await.expect("the store works");
    let now = f.store().now().await.expect("the store works");
    assert_eq!(workers(f).await, [WorkerRow { started_at: now, ..row }]);
}

pub async fn workers_are_listed_oldest_first(f: &dyn Fixture) {
    for name in ["z", "a", "m"] {
        f.store().register(worker(name)).await.expect("the store works");
        f.advance(secs(1));
    }
    let names: Vec<String> = workers(f).await.into_iter().map(|row| row.id).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

pub async fn a_retired_worker_keeps_its_claims(f: &dyn Fixture) {
    f.store().register(worker("w")).await.expect("the store works");
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    f.store().retire("w").await.expect("the store works");
    f.store().retire("w").await.expect("going twice is fine");
    assert_eq!(workers(f).await, []);
    assert_eq!(get(f, "a").await.claim, Some(claim.token));
    settle(f.store(), &claim, exited(0)).await;
}

pub async fn a_weaker_stop_replaces_no_stronger_one(f: &dyn Fixture) {
    for name in ["w", "v"] {
        f.store().register(worker(name)).await.expect("the store works");
    }
    let names = ["w".to_owned(), "gone".to_owned()];
    for (asked, then) in
        [(StopMode::Drain, StopMode::Drain), (StopMode::Now, StopMode::Now), (StopMode::Drain, StopMode::Now)]
    {
        f.store().request_stop(&names, asked).await.expect("the store works");
        let stops: Vec<_> = workers(f).await.into_iter().map(|row| (row.id, row.stop)).collect();
        assert_eq!(stops, [("v".to_owned(), None), ("w".to_owned(), Some(then))]);
    }
}
