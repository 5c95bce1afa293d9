//! What has run lately, for statistics.

use queuectl_core::state::State;
use queuectl_core::store::Ran;

use super::Fixture;
use crate::given::{With, claim_one, exited, id, insert, job, queue, run_one, secs, settle};

async fn since(f: &dyn Fixture, ago: u64, name: Option<&str>) -> Vec<Ran> {
    let mut seen = Vec::new();
    let name = name.map(queue);
    let then = f.store().now().await.expect("the store works").before(secs(ago));
    f.store().ran_since(then, name.as_ref(), &mut |ran| seen.push(ran)).await.expect("the store works");
    seen.sort_by_key(|ran| (ran.ended_at, ran.number));
    seen
}

pub async fn attempts_are_found_by_when_they_ended(f: &dyn Fixture) {
    insert(f.store(), [job("old"), job("new").in_queue("mail"), job("fails").max_retries(2)]).await;
    run_one(f.store(), "w", exited(0)).await;
    f.advance(secs(100));
    run_one(f.store(), "w", exited(0)).await;
    run_one(f.store(), "w", exited(7)).await;
    let seen = since(f, 50, None).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((seen[0].queue.as_str(), seen[0].ended), ("mail", Some(State::Completed)));
    assert_eq!((seen[1].ended, &seen[1].outcome), (None, &exited(7)), "it waits for its retry");
    assert_eq!(since(f, 200, None).await.len(), 3);
    assert_eq!(since(f, 200, Some("mail")).await.len(), 1);
    f.advance(secs(10));
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(since(f, 50, None).await.len(), 2, "its first attempt, while the second runs");
    settle(f.store(), &claim, exited(7)).await;
    let seen = since(f, 50, None).await;
    assert_eq!(seen.len(), 3);
    assert_eq!((seen[2].number, seen[2].ended), (2, Some(State::Dead)));
}

pub async fn a_wait_begins_when_the_job_is_due(f: &dyn Fixture) {
    insert(f.store(), [job("a").delayed(10)]).await;
    f.advance(secs(12));
    run_one(f.store(), "w", exited(0)).await;
    let (seen, due) =
        (since(f, 50, None).await, f.store().get(&id("a")).await.expect("works").expect("there"));
    assert_eq!(Some(seen[0].due_at), due.run_at);
}

pub async fn many_attempts_are_all_visited_once(f: &dyn Fixture) {
    let count = 2 * queuectl_core::limits::PAGE_ROWS_MAX + 7;
    insert(f.store(), (0..count).map(|n| job(&format!("j{n}")))).await;
    let claims = crate::given::claim(f.store(), "w", count).await;
    for part in claims.chunks(1_000) {
        let mut turn = crate::given::Turn::of("w");
        for claim in part {
            turn = turn.settle(crate::given::outcome(claim, exited(0)));
        }
        turn.at(f.store()).await;
    }
    assert_eq!(since(f, 50, None).await.len(), count);
}
