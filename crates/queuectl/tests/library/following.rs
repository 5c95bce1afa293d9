//! Following a job without a keeper: states, and what ended attempts printed.

use std::time::Duration;

use queuectl::core::outcome::Stream;
use queuectl::core::state::State;
use queuectl::{Follower, Live, Piece};
use queuectl_testing::given::{
    Turn, With, claim_one, exited, id, ids, insert, job, outcome, printed, settle,
};

use crate::output::gapped;
use crate::place::Place;

/// The next thing in a few words; `none` after the end.
async fn next(follower: &mut Follower) -> String {
    let live = tokio::time::timeout(Duration::from_secs(10), follower.next()).await.expect("there is news");
    match live.expect("the store works") {
        Some(Live::Changed(job)) => format!("{}", job.state),
        Some(Live::Output(Piece::Bytes(stream, bytes))) => {
            format!("{} {}", name(stream), String::from_utf8_lossy(&bytes))
        }
        Some(Live::Output(Piece::Gap(stream, bytes))) => format!("{} gap {bytes}", name(stream)),
        Some(Live::AttemptEnded(attempt)) => format!("end of {}", attempt.number),
        Some(Live::Ended(job)) => format!("ended {}", job.state),
        Some(Live::Deleted) => "deleted".to_owned(),
        None => "none".to_owned(),
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    }
}

async fn all(follower: &mut Follower) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        match next(follower).await {
            end if end == "none" => return heard,
            news => heard.push(news),
        }
    }
}

#[tokio::test]
async fn a_finished_job_tells_all_of_it_and_ends() {
    let place = Place::new().await;
    insert(&*place.store, [job("a").max_retries(2).with(|spec| spec.retry.base = 1.0)]).await;
    let claim = claim_one(&*place.store, "worker").await;
    let mut first = outcome(&claim, exited(1));
    first.patch.delay = Some(Duration::ZERO);
    first.attempt.stdout = gapped("head", 50, "tail");
    first.attempt.stderr = printed("why");
    Turn::of("worker").settle(first).at(&*place.store).await;
    let claim = claim_one(&*place.store, "worker").await;
    settle(&*place.store, &claim, exited(0)).await;
    let mut follower = place.client.follow(id("a"), 0).await.expect("the store works");
    let told = ["out head", "out gap 50", "out tail", "err why", "end of 1", "end of 2"];
    let told: Vec<&str> = told.into_iter().chain(["completed", "ended completed"]).collect();
    assert_eq!(all(&mut follower).await, told);
    assert_eq!(next(&mut follower).await, "none", "for ever");
    let mut follower = place.client.follow(id("a"), 1).await.expect("the store works");
    assert_eq!(all(&mut follower).await, ["end of 2", "completed", "ended completed"]);
}

#[tokio::test]
async fn states_are_told_as_they_change() {
    let place = Place::new().await;
    place.enqueue(&["a"]).await;
    let mut follower = place.client.follow(id("a"), 0).await.expect("the store works");
    assert_eq!(next(&mut follower).await, "pending");
    let claim = claim_one(&*place.store, "worker").await;
    assert_eq!(next(&mut follower).await, "processing");
    settle(&*place.store, &claim, exited(0)).await;
    assert_eq!(all(&mut follower).await, ["end of 1", "completed", "ended completed"]);
}

#[tokio::test]
async fn a_cancelled_and_a_deleted_job_end_the_following() {
    let place = Place::new().await;
    place.enqueue(&["a", "b"]).await;
    let mut one = place.client.follow(id("a"), 0).await.expect("the store works");
    let mut two = place.client.follow(id("b"), 0).await.expect("the store works");
    assert_eq!((next(&mut one).await, next(&mut two).await), ("pending".to_owned(), "pending".to_owned()));
    place.client.cancel(&ids(&["a"])).await.expect("the store works");
    place.client.delete(&ids(&["b"])).await.expect("the store works");
    assert_eq!(all(&mut one).await, ["cancelled", "ended cancelled"]);
    assert_eq!(all(&mut two).await, ["deleted"]);
    let job = place.client.job(&id("a")).await.expect("the store works").expect("it is there");
    assert_eq!(job.state, State::Cancelled);
}
