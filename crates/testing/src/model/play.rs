//! Plays one step on both stores, under the claims that each of them has given.

use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, NewJob};
use queuectl_core::outcome::{Interruption, Outcome};
use queuectl_core::query::Filter;
use queuectl_core::settings::find_key;
use queuectl_core::settle::Patch;
use queuectl_core::state::Event;
use queuectl_core::store::{Claim, ExchangeReply, Selection, Settle, Settled, Store};
use queuectl_core::time::Timestamp;

use super::history::{self, End, Pick, Seed, Step, Turn, What};
use super::view;
use crate::conformance::Fixture;
use crate::given::{self, With};

/// Every claim that was given, as each of the two stores knows it.
#[derive(Debug, Default)]
pub struct Claims(Vec<[Claim; 2]>);

impl Claims {
    /// Which claim this is, counted from the first.
    pub fn index(&self, side: usize, token: ClaimToken) -> Option<usize> {
        self.0.iter().position(|pair| pair[side].token == token)
    }

    fn pick(&self, side: usize, pick: Pick) -> Option<&Claim> {
        let at = self.0.len().checked_sub(pick.0 + 1)?;
        Some(&self.0[at][side])
    }
}

/// What both answer, as text without what may differ.
pub async fn play(
    one: &dyn Fixture,
    other: &dyn Fixture,
    claims: &mut Claims,
    step: &Step,
) -> (String, String) {
    if let Step::Pass { millis } = step {
        one.advance(Duration::from_millis(*millis));
        other.advance(Duration::from_millis(*millis));
        return Default::default();
    }
    if let Step::Exchange(turn) = step {
        let mut left = exchange(one, 0, claims, turn).await;
        let mut right = exchange(other, 1, claims, turn).await;
        // A job that is due and not promoted yet is still waiting, for no time at all: who promotes when is free.
        if [&left, &right].iter().any(|reply| reply.next_due == Some(Duration::ZERO)) {
            (left.next_due, right.next_due) = (None, None);
        }
        assert_eq!(left.claims.len(), right.claims.len(), "different claims: {left:#?}\n{right:#?}");
        let pairs = left.claims.iter().zip(&right.claims).map(|(l, r)| [l.clone(), r.clone()]);
        claims.0.extend(pairs);
        return (answer(&left, 0, claims), answer(&right, 1, claims));
    }
    (verb(one.store(), step).await, verb(other.store(), step).await)
}

async fn verb(store: &dyn Store, step: &Step) -> String {
    let now = store.now().await.expect("the store works");
    let answer = match step {
        Step::Insert(seeds) => {
            let jobs = seeds.iter().map(|seed| grow(seed, now)).collect();
            store.insert(jobs).await.map(|answer| format!("{answer:?}"))
        }
        Step::Cancel(jobs) => store.cancel(&names(jobs)).await.map(|answer| format!("{answer:?}")),
        Step::Retry(jobs, scope) => {
            store.retry(&names(jobs), *scope).await.map(|answer| format!("{answer:?}"))
        }
        Step::Delete(jobs) => {
            store.delete(Selection::Ids(names(jobs))).await.map(|answer| format!("{answer:?}"))
        }
        Step::DeleteEnded { older_secs, limit } => {
            let before = now.before(Duration::from_secs(*older_secs));
            let filter = Filter { ended_before: Some(before), ..Filter::default() };
            let selection = Selection::Filter { filter, limit: *limit };
            store.delete(selection).await.map(|answer| format!("{answer:?}"))
        }
        Step::Pause { queue, paused } => {
            store.set_paused(&given::queue(&queue_name(*queue)), *paused).await.map(|it| it.to_string())
        }
        Step::MaxRunning { queue, limit } => {
            let key = find_key("max-running").expect("a key");
            let scope = queue.map(|queue| given::queue(&queue_name(queue)));
            let value = limit.map(|limit| limit.to_string());
            store.set_setting(scope.as_ref(), key, value.as_deref()).await.map(|()| String::new())
        }
        Step::Register { worker } => {
            let name = worker_name(*worker);
            let there = store.workers().await.expect("the store works").iter().any(|row| row.id == name);
            if there {
                return String::new();
            }
            store.register(given::worker(&name)).await.map(|()| String::new())
        }
        Step::Retire { worker } => store.retire(&worker_name(*worker)).await.map(|()| String::new()),
        Step::RequestStop { workers, mode } => {
            let workers: Vec<String> = workers.iter().map(|worker| worker_name(*worker)).collect();
            store.request_stop(&workers, *mode).await.map(|()| String::new())
        }
        Step::Exchange(_) | Step::Pass { .. } => unreachable!("played by `play`"),
    };
    answer.expect("the store works")
}

async fn exchange(f: &dyn Fixture, side: usize, claims: &Claims, turn: &Turn) -> ExchangeReply {
    let store = f.store();
    let now = store.now().await.expect("the store works");
    let seen = store.settings().await.expect("the store works").version;
    let mut request = given::Turn::of(&worker_name(turn.worker)).request();
    for (n, (pick, end)) in turn.settles.iter().enumerate() {
        let Some(claim) = claims.pick(side, *pick) else { continue };
        let mut one = settle(claim, *end);
        one.inserts.extend(turn.insert.iter().filter(|_| n == 0).map(|seed| grow(seed, now)));
        request.settles.push(one);
    }
    request.releases =
        turn.releases.iter().filter_map(|pick| claims.pick(side, *pick)).map(|c| c.token).collect();
    request.want = turn.want;
    request.take.queues = turn.queues.iter().map(|queue| given::queue(&queue_name(*queue))).collect();
    request.take.kinds = turn.kinds.iter().map(|kind| kind_name(*kind)).collect();
    request.take.only = turn.only.map(job_name);
    request.drain = turn.drain;
    request.settings_seen = if turn.knows_settings { seen } else { u64::MAX };
    store.exchange(request).await.expect("the store works")
}

fn settle(claim: &Claim, end: End) -> Settle {
    let outcome = match end.what {
        What::Exited(code) => Outcome::Exited { code },
        What::Signaled => Outcome::Signaled { signal: 11 },
        What::TimedOut => Outcome::TimedOut,
        What::CouldNotStart => Outcome::CouldNotStart { message: "no such thing".to_owned() },
        What::Crashed => Outcome::Interrupted(Interruption::Crash),
        What::Shutdown => Outcome::Interrupted(Interruption::Shutdown),
        What::Stopped | What::Impossible => Outcome::Interrupted(Interruption::Stop),
        What::Cancelled => Outcome::Cancelled,
    };
    let mut one = given::outcome(claim, outcome);
    one.attempt.ended_ago = Duration::from_millis(end.millis_ago);
    one.attempt.started_ago = end.printed.then(|| Duration::from_millis(end.millis_ago + 10));
    if end.printed {
        one.attempt.stdout = given::printed("something");
    }
    if matches!(end.what, What::Impossible) {
        one.patch = Patch { event: Event::Unblock, ..one.patch };
    }
    one
}

/// A reply, with claims by their index; why something was refused is the store's own matter.
fn answer(reply: &ExchangeReply, side: usize, claims: &Claims) -> String {
    let index = |token| claims.index(side, token);
    let settled: Vec<Settled> = reply
        .settled
        .iter()
        .map(|what| match what {
            Settled::Refused(_) => Settled::Refused(String::new()),
            other => other.clone(),
        })
        .collect();
    let taken: Vec<_> = reply
        .claims
        .iter()
        .map(|claim| (index(claim.token), claim.attempt, view::job(&claim.job, side, claims)))
        .collect();
    let mut cancels: Vec<_> = reply.cancels.iter().map(|token| index(*token)).collect();
    cancels.sort();
    let rest = (reply.stop, reply.drained, reply.next_due, &reply.settings);
    format!("{settled:?} {taken:#?} {cancels:?} {rest:?}")
}

fn grow(seed: &Seed, now: Timestamp) -> NewJob {
    let mut new = given::job(job_name(seed.job).as_str())
        .in_queue(&queue_name(seed.queue))
        .priority(seed.priority)
        .kind(&kind_name(seed.kind))
        .max_retries(seed.max_retries);
    new.spec.crash_limit = seed.crash_limit;
    new.spec.at_most_once = seed.at_most_once;
    if let Some(value) = seed.environment {
        new.spec.environment.set(*b"VALUE", vec![b'v', value + b'0']).expect("a variable");
    }
    new.due = match seed.due {
        history::Due::Now => Due::Now,
        history::Due::AfterMillis(millis) => Due::After(Duration::from_millis(millis)),
        history::Due::AtMillis(millis) => Due::At(Timestamp::from_millis(now.millis() + millis)),
    };
    new
}

fn names(jobs: &[u8]) -> Vec<JobId> {
    jobs.iter().map(|job| job_name(*job)).collect()
}

pub fn job_name(job: u8) -> JobId {
    given::id(&format!("job-{job}"))
}

fn queue_name(queue: u8) -> String {
    format!("queue-{queue}")
}

pub fn worker_name(worker: u8) -> String {
    format!("worker-{worker}")
}

fn kind_name(kind: u8) -> String {
    ["command", "mail"][usize::from(kind)].to_owned()
}
