//! Looking at jobs: pages, filters, prefixes, counts.

use queuectl_core::id::JobId;
use queuectl_core::job::{Job, NewJob};
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::Shown;
use queuectl_core::store::Selection;

use super::Fixture;
use crate::given::{Turn, With, claim_one, exited, id, ids, insert, job, queue, run_one, secs, settle};

/// The job with this id, which must be there.
pub(super) async fn get(f: &dyn Fixture, name: &str) -> Job {
    f.store().get(&id(name)).await.expect("the store works").expect("it is there")
}

/// The ids of all jobs, oldest first.
pub(super) async fn all(f: &dyn Fixture) -> Vec<String> {
    found(f, Filter::default()).await
}

async fn found(f: &dyn Fixture, filter: Filter) -> Vec<String> {
    let page = Page { order: Order::OldestFirst, after: None, rows: PAGE_ROWS_MAX };
    names(&f.store().list(&filter, page).await.expect("the store works"))
}

fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| job.id.to_string()).collect()
}

/// The counts of one queue.
async fn counts(f: &dyn Fixture, name: &str) -> Vec<(Shown, u64)> {
    let counts = f.store().counts().await.expect("the store works");
    let here = counts.into_iter().filter(|count| count.queue == queue(name) && count.jobs > 0);
    let mut here: Vec<(Shown, u64)> = here.map(|count| (count.shown, count.jobs)).collect();
    here.sort();
    here
}

pub async fn an_absent_job_is_absent(f: &dyn Fixture) {
    assert_eq!(f.store().get(&id("nobody")).await.expect("the store works"), None);
    assert_eq!(all(f).await, Vec::<String>::new());
    assert_eq!(f.store().counts().await.expect("the store works"), []);
}

pub async fn an_id_is_matched_exactly(f: &dyn Fixture) {
    insert(f.store(), [job("Job"), job("job"), job("job%"), job("jöb")]).await;
    for name in ["Job", "job", "job%", "jöb"] {
        assert_eq!(get(f, name).await.id, id(name));
    }
    assert_eq!(f.store().get(&id("jo_")).await.expect("the store works"), None);
}

pub async fn a_listing_is_in_the_order_of_insertion(f: &dyn Fixture) {
    insert(f.store(), [job("z"), job("a").priority(5), job("m").delayed(9)]).await;
    insert(f.store(), [job("b")]).await;
    assert_eq!(all(f).await, ["z", "a", "m", "b"]);
    let page = Page { order: Order::NewestFirst, after: None, rows: 3 };
    let newest = f.store().list(&Filter::default(), page).await.expect("the store works");
    assert_eq!(names(&newest), ["b", "m", "a"]);
    assert!(newest.is_sorted_by(|a, b| a.seq > b.seq));
}

pub async fn pages_cover_everything_once_in_both_orders(f: &dyn Fixture) {
    let all: Vec<String> = (0..7).map(|n| format!("j{n}")).collect();
    insert(f.store(), all.iter().map(|name| job(name)).collect::<Vec<_>>()).await;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = Page { order, after, rows: 3 };
            let jobs = f.store().list(&Filter::default(), page).await.expect("the store works");
            assert!(jobs.len() <= 3);
            let Some(last) = jobs.last() else { break };
            after = Some(last.seq);
            seen.extend(names(&jobs));
        }
        if order == Order::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, all);
    }
}

pub async fn a_page_goes_on_where_the_last_one_ended(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c")]).await;
    let first = Page { order: Order::OldestFirst, after: None, rows: 3 };
    let read = f.store().list(&Filter::default(), first).await.expect("the store works");
    // What was seen last is deleted, and something new comes in: it must not take the place of the old.
    f.store().delete(Selection::Ids(ids(&["a", "c"]))).await.expect("the store works");
    insert(f.store(), [job("d")]).await;
    let next = Page { after: read.last().map(|job| job.seq), ..first };
    let read = f.store().list(&Filter::default(), next).await.expect("the store works");
    assert_eq!(names(&read), ["d"]);
}

pub async fn a_page_has_a_bound(f: &dyn Fixture) {
    let jobs = (0..=PAGE_ROWS_MAX).map(|n| job(&format!("j{n}")));
    insert(f.store(), jobs.collect::<Vec<_>>()).await;
    let page = Page { order: Order::OldestFirst, after: None, rows: usize::MAX };
    let read = f.store().list(&Filter::default(), page).await.expect("the store works");
    assert_eq!(read.len(), PAGE_ROWS_MAX);
}

pub async fn a_listing_leaves_environments_out(f: &dyn Fixture) {
    insert(f.store(), [job("a").with(|spec| spec.environment.set(*b"K", *b"v").expect("a variable"))]).await;
    let page = Page { order: Order::OldestFirst, after: None, rows: 1 };
    let read = f.store().list(&Filter::default(), page).await.expect("the store works");
    assert!(read[0].spec.environment.is_empty());
    assert!(!get(f, "a").await.spec.environment.is_empty());
}

pub async fn a_filter_by_state_means_what_people_see(f: &dyn Fixture) {
    insert(f.store(), [job("failed").priority(9)]).await;
    run_one(f.store(), "w", exited(1)).await;
    insert(f.store(), [job("dead").max_retries(1).priority(8), job("completed").priority(7)]).await;
    run_one(f.store(), "w", exited(1)).await;
    run_one(f.store(), "w", exited(0)).await;
    insert(f.store(), [job("processing")]).await;
    claim_one(f.store(), "w").await;
    insert(f.store(), [job("pending"), job("delayed").delayed(60), job("cancelled")]).await;
    f.store().cancel(&ids(&["cancelled"])).await.expect("the store works");
    let shown = |shown| Filter { shown: Some(shown), ..Filter::default() };
    assert_eq!(found(f, shown(Shown::Pending)).await, ["pending", "delayed"]);
    for one in [Shown::Processing, Shown::Completed, Shown::Failed, Shown::Dead, Shown::Cancelled] {
        assert_eq!(found(f, shown(one)).await, [one.as_str()]);
    }
    assert_eq!(found(f, shown(Shown::Blocked)).await, Vec::<String>::new());
    f.advance(secs(2));
    assert_eq!(found(f, shown(Shown::Failed)).await, Vec::<String>::new(), "its backoff is over");
    assert_eq!(found(f, shown(Shown::Pending)).await, ["failed", "pending", "delayed"]);
}

pub async fn a_filter_by_tags_wants_all_of_them(f: &dyn Fixture) {
    let both = job("both").tag("k", "v").tag("k.2 \"x\"", "ü");
    insert(f.store(), [job("none"), job("one").tag("k", "v"), both, job("other").tag("k", "w")]).await;
    let tagged = |tags: &[(&str, &str)]| Filter {
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Filter::default()
    };
    assert_eq!(found(f, tagged(&[("k", "v")])).await, ["one", "both"]);
    assert_eq!(found(f, tagged(&[("k", "v"), ("k.2 \"x\"", "ü")])).await, ["both"]);
    assert_eq!(found(f, tagged(&[("k", "v"), ("k", "w")])).await, Vec::<String>::new());
    assert_eq!(found(f, tagged(&[("K", "v")])).await, Vec::<String>::new());
}

pub async fn a_filter_wants_all_of_its_conditions(f: &dyn Fixture) {
    let jobs = [("a", "x", "1"), ("b", "x", "2"), ("c", "y", "1"), ("d", "x", "1")];
    insert(f.store(), jobs.map(|(name, queue, tag)| job(name).in_queue(queue).tag("t", tag))).await;
    f.store().cancel(&ids(&["a"])).await.expect("the store works");
    let filter = Filter {
        shown: Some(Shown::Pending),
        queue: Some(queue("x")),
        tags: vec![("t".to_owned(), "1".to_owned())],
        ended_before: None,
    };
    assert_eq!(found(f, filter).await, ["d"]);
}

pub async fn a_filter_by_end_wants_one(f: &dyn Fixture) {
    insert(f.store(), [job("early"), job("late")]).await;
    run_one(f.store(), "w", exited(0)).await;
    let first_end = get(f, "early").await.completed_at.expect("it has ended");
    f.advance(secs(5));
    run_one(f.store(), "w", exited(0)).await;
    insert(f.store(), [job("waits")]).await;
    let before = |at| Filter { ended_before: Some(at), ..Filter::default() };
    assert_eq!(found(f, before(first_end)).await, Vec::<String>::new(), "before means before");
    assert_eq!(found(f, before(first_end.after(secs(1)))).await, ["early"]);
    assert_eq!(found(f, before(first_end.after(secs(99)))).await, ["early", "late"]);
}

pub async fn a_prefix_finds_only_generated_ids(f: &dyn Fixture) {
    let generated = |name| NewJob { generated: true, ..job(name) };
    insert(f.store(), [job("abcx"), generated("abcz"), generated("abca"), generated("abd")]).await;
    let found = async |prefix: &str, limit| -> Vec<JobId> {
        f.store().find_prefix(prefix, limit).await.expect("the store works")
    };
    assert_eq!(found("abc", 9).await, ids(&["abca", "abcz"]));
    assert_eq!(found("abc", 1).await, ids(&["abca"]));
    assert_eq!(found("abcz", 9).await, ids(&["abcz"]), "a whole id is a prefix of itself");
    assert_eq!(found("ABC", 9).await, []);
    assert_eq!(found("a%", 9).await, []);
    assert_eq!(found("a_c", 9).await, []);
}

pub async fn counts_follow_every_change(f: &dyn Fixture) {
    insert(f.store(), [job("a"), job("b"), job("c").in_queue("other"), job("d").delayed(60)]).await;
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 3)]);
    assert_eq!(counts(f, "other").await, [(Shown::Pending, 1)]);
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 2), (Shown::Processing, 1)]);
    settle(f.store(), &claim, exited(0)).await;
    f.store().cancel(&ids(&["b"])).await.expect("the store works");
    let ended = [(Shown::Pending, 1), (Shown::Completed, 1), (Shown::Cancelled, 1)];
    assert_eq!(counts(f, "default").await, ended);
    f.store().delete(Selection::Ids(ids(&["a", "b", "d"]))).await.expect("the store works");
    assert_eq!(counts(f, "default").await, []);
    assert_eq!(counts(f, "other").await, [(Shown::Pending, 1)]);
}

pub async fn a_failed_job_counts_as_pending_once_it_is_due(f: &dyn Fixture) {
    insert(f.store(), [job("a").priority(1), job("b"), job("c").delayed(60)]).await;
    run_one(f.store(), "w", exited(1)).await;
    f.advance(secs(1));
    run_one(f.store(), "w", exited(1)).await;
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 1), (Shown::Failed, 2)]);
    f.advance(secs(1));
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 2), (Shown::Failed, 1)], "nobody promoted it");
    Turn::of("w").want(1).queues(&["elsewhere"]).at(f.store()).await;
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 2), (Shown::Failed, 1)]);
    claim_one(f.store(), "w").await;
    let running = [(Shown::Pending, 1), (Shown::Processing, 1), (Shown::Failed, 1)];
    assert_eq!(counts(f, "default").await, running);
    f.advance(secs(60));
    assert_eq!(counts(f, "default").await, [(Shown::Pending, 2), (Shown::Processing, 1)]);
}
