//! Everything that can be read of a store, without what may differ between two.

use std::fmt::Write as _;

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::job::Job;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::{Shown, State};

use super::play::Claims;
use crate::conformance::Fixture;

/// A job with its claim by index and without `seq`; `ready` counts only where it is no matter of promotion.
pub fn job(job: &Job, side: usize, claims: &Claims) -> Job {
    let number = |token| claims.index(side, token).map_or(u64::MAX, |index| index as u64);
    let claim = job.claim.map(|token| ClaimToken { incarnation: Incarnation(0), number: number(token) });
    Job { seq: 0, ready: false, claim, ..job.clone() }
}

/// The whole store as text.
pub async fn read(f: &dyn Fixture, side: usize, claims: &Claims) -> String {
    let store = f.store();
    let now = store.now().await.expect("the store works");
    let jobs = list(f, Filter::default(), Order::OldestFirst).await;
    let mut text = String::new();
    for one in &jobs {
        assert!(
            !one.ready || (one.state == State::Pending && one.due_at <= now),
            "{} is ready too soon",
            one.id
        );
        assert!(one.spec.environment.is_empty(), "a listing leaves environments out");
        let whole = store.get(&one.id).await.expect("the store works").expect("it was listed");
        writeln!(text, "{:#?}", job(&whole, side, claims)).expect("a text takes it");
        for mut attempt in store.attempts(&one.id, true).await.expect("the store works") {
            let number = claims.index(side, attempt.claim).expect("a claim of this history") as u64;
            attempt.claim = ClaimToken { incarnation: Incarnation(0), number };
            writeln!(text, "{attempt:?}").expect("a text takes it");
        }
    }
    let mut newest = list(f, Filter::default(), Order::NewestFirst).await;
    newest.reverse();
    assert_eq!(newest, jobs, "both orders list the same");
    for shown in Shown::ALL {
        let some = list(f, Filter { shown: Some(shown), ..Filter::default() }, Order::OldestFirst).await;
        let meant: Vec<&Job> = jobs.iter().filter(|job| job.shown(now) == shown).collect();
        assert!(some.iter().eq(meant), "the filter by {shown} finds what shows so");
    }
    let mut counts: Vec<_> = store.counts().await.expect("the store works");
    counts.retain(|count| count.jobs > 0);
    counts.sort_by(|a, b| (&a.queue, a.shown).cmp(&(&b.queue, b.shown)));
    for count in &counts {
        let same = |job: &&Job| job.spec.queue == count.queue && job.shown(now) == count.shown;
        assert_eq!(jobs.iter().filter(same).count() as u64, count.jobs, "{count:?} is not what is listed");
    }
    let owners = store.owners().await.expect("the store works");
    for owner in &owners {
        for claim in store.claims_of(owner).await.expect("the store works") {
            let index = claims.index(side, claim.token);
            writeln!(text, "{owner} {index:?} {} {}", claim.attempt, claim.job.id).expect("a text takes it");
        }
    }
    let queues = store.queues().await.expect("the store works");
    let (workers, settings) = (store.workers().await, store.settings().await);
    let rest =
        (counts, owners, queues, workers.expect("the store works"), settings.expect("the store works"));
    writeln!(text, "{rest:#?}").expect("a text takes it");
    text
}

/// All pages of a filter.
async fn list(f: &dyn Fixture, filter: Filter, order: Order) -> Vec<Job> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Page { order, after, rows: 4 };
        let jobs = f.store().list(&filter, page).await.expect("the store works");
        let Some(last) = jobs.last() else { return all };
        after = Some(last.seq);
        all.extend(jobs);
    }
}
