//! Jobs: put in, looked at, cancelled, brought back, deleted.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use queuectl_core::environment::Environment;
use queuectl_core::id::JobId;
use queuectl_core::job::{Job, NewJob};
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::outcome::OutputBody;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::{Event, Shown, State as JobState, transition};
use queuectl_core::store::{
    Cancelled, Count, Deleted, EditOne, Edited, Inserted, Jobs, Retried, RetryScope, Selection, StoreResult,
};
use queuectl_core::time::Timestamp;

use super::MemoryStore;
use super::state::State;

#[async_trait]
impl Jobs for MemoryStore {
    async fn now(&self) -> StoreResult<Timestamp> {
        Ok(self.clock.now())
    }

    async fn insert(&self, jobs: Vec<NewJob>) -> StoreResult<Inserted> {
        Ok(self.verb(|state, now, rings| {
            let mut seen = BTreeSet::new();
            for job in &jobs {
                if state.is_taken(&job.id) || !seen.insert(&job.id) {
                    return Inserted::Duplicate(job.id.clone());
                }
            }
            for job in &jobs {
                state.insert(job, now);
            }
            rings.work = true;
            Inserted::All
        }))
    }

    async fn get(&self, id: &JobId) -> StoreResult<Option<Job>> {
        Ok(self.verb(|state, _, _| state.find(id).map(|entry| entry.job.clone())))
    }

    async fn states(&self, ids: &[JobId]) -> StoreResult<Vec<Option<JobState>>> {
        Ok(self
            .verb(|state, _, _| ids.iter().map(|id| state.find(id).map(|entry| entry.job.state)).collect()))
    }

    async fn list(&self, filter: &Filter, page: Page) -> StoreResult<Vec<Job>> {
        Ok(self.verb(|state, now, _| {
            let meant = state.jobs.values().map(|entry| &entry.job).filter(|job| filter.matches(job, now));
            let rows = page.rows.min(PAGE_ROWS_MAX);
            let after = page.after;
            match page.order {
                Order::OldestFirst => {
                    meant.filter(|job| after.is_none_or(|seq| job.seq > seq)).take(rows).map(listed).collect()
                }
                Order::NewestFirst => meant
                    .rev()
                    .filter(|job| after.is_none_or(|seq| job.seq < seq))
                    .take(rows)
                    .map(listed)
                    .collect(),
            }
        }))
    }

    async fn find_prefix(&self, prefix: &str, limit: usize) -> StoreResult<Vec<JobId>> {
        Ok(self.verb(|state, _, _| {
            let generated = state.jobs.values().filter(|entry| entry.job.generated);
            let mut ids: Vec<JobId> = generated
                .map(|entry| entry.job.id.clone())
                .filter(|id| id.as_str().starts_with(prefix))
                .collect();
            ids.sort();
            ids.truncate(limit);
            ids
        }))
    }

    async fn counts(&self) -> StoreResult<Vec<Count>> {
        Ok(self.verb(|state, now, _| {
            let mut counts = BTreeMap::new();
            for entry in state.jobs.values() {
                *counts.entry((entry.job.spec.queue.clone(), entry.job.shown(now))).or_insert(0) += 1;
            }
            counts.into_iter().map(|((queue, shown), jobs)| Count { queue, shown, jobs }).collect()
        }))
    }

    async fn cancel(&self, ids: &[JobId]) -> StoreResult<Vec<Cancelled>> {
        Ok(self.verb(|state, now, rings| {
            let results: Vec<Cancelled> = ids.iter().map(|id| cancel(state, id, now)).collect();
            rings.work |= results.iter().any(|what| matches!(what, Cancelled::Requested { .. }));
            rings.outcome |= results.contains(&Cancelled::Now);
            results
        }))
    }

    async fn retry(&self, ids: &[JobId], scope: RetryScope) -> StoreResult<Vec<Retried>> {
        Ok(self.verb(|state, now, rings| {
            rings.work = true;
            ids.iter().map(|id| retry(state, id, scope, now)).collect()
        }))
    }

    async fn edit(&self, edits: &[EditOne]) -> StoreResult<Edited> {
        Ok(self.verb(|state, now, rings| {
            let mut refused = Vec::new();
            for one in edits {
                let job = state.find(&one.id).map(|entry| &entry.job);
                refused.extend(one.refusal(job, now).map(|why| (one.id.clone(), why)));
            }
            if !refused.is_empty() {
                return Edited::Refused(refused);
            }
            for one in edits {
                let seq = state.find(&one.id).map(|entry| entry.job.seq).expect("it was just found");
                let queue = one.edit.queue.clone();
                queue.map(|queue| state.queues.entry(queue).or_insert(false));
                state.change(seq, |job| one.edit.apply(job, now));
            }
            rings.work = true;
            Edited::All
        }))
    }

    async fn delete(&self, selection: Selection) -> StoreResult<Deleted> {
        Ok(self.verb(|state, now, rings| {
            rings.outcome = true;
            match selection {
                Selection::Ids(ids) => delete_these(state, ids),
                Selection::Filter { filter, limit } => delete_meant(state, &filter, limit, now),
            }
        }))
    }
}

/// A job as a listing shows it.
fn listed(job: &Job) -> Job {
    let mut job = job.clone();
    job.spec.environment = Environment::default();
    job
}

fn cancel(state: &mut State, id: &JobId, now: Timestamp) -> Cancelled {
    let Some(job) = state.find(id).map(|entry| entry.job.clone()) else { return Cancelled::Absent };
    if job.state == JobState::Processing {
        state.change(job.seq, |job| {
            job.cancel_requested = true;
            job.updated_at = now;
        });
        return Cancelled::Requested { worker: job.worker };
    }
    if transition(job.state, Event::Cancel).is_err() {
        return Cancelled::Ended(job.state);
    }
    state.happen(job.seq, Event::Cancel, |job| {
        job.ready = false;
        job.retrying = false;
        job.updated_at = now;
        job.completed_at = Some(now);
    });
    Cancelled::Now
}

fn retry(state: &mut State, id: &JobId, scope: RetryScope, now: Timestamp) -> Retried {
    let Some(job) = state.find(id).map(|entry| entry.job.clone()) else { return Retried::Absent };
    let shown = job.shown(now);
    if scope == RetryScope::DeadOnly && job.state != JobState::Dead {
        return Retried::Refused(shown);
    }
    let due_now = |job: &mut Job| {
        job.ready = true;
        job.due_at = now;
        job.updated_at = now;
    };
    if transition(job.state, Event::Revive).is_ok() {
        state.happen(job.seq, Event::Revive, |job| {
            due_now(job);
            job.attempts = 0;
            job.interruptions = 0;
            job.cancel_requested = false;
            job.completed_at = None;
        });
        return Retried::Revived { from: job.state };
    }
    if shown == Shown::Failed {
        state.happen(job.seq, Event::Hasten, due_now);
        return Retried::Hastened;
    }
    Retried::Refused(shown)
}

fn delete_these(state: &mut State, ids: Vec<JobId>) -> Deleted {
    let mut deleted = Deleted::default();
    for id in ids {
        match state.find(&id).map(|entry| (entry.job.seq, entry.job.state)) {
            None => deleted.absent.push(id),
            Some((_, JobState::Processing)) => deleted.running.push(id),
            Some((seq, _)) => delete_one(state, seq, &mut deleted),
        }
    }
    deleted
}

fn delete_meant(state: &mut State, filter: &Filter, limit: usize, now: Timestamp) -> Deleted {
    let jobs = state.jobs.values().map(|entry| &entry.job);
    let meant = jobs.filter(|job| job.state != JobState::Processing && filter.matches(job, now));
    let chosen: Vec<i64> = meant.take(limit).map(|job| job.seq).collect();
    let mut deleted = Deleted::default();
    for seq in chosen {
        delete_one(state, seq, &mut deleted);
    }
    deleted
}

fn delete_one(state: &mut State, seq: i64, deleted: &mut Deleted) {
    let entry = state.remove(seq);
    deleted.deleted.push(entry.job.id);
    for output in entry.attempts.into_iter().flat_map(|attempt| [attempt.stdout, attempt.stderr]) {
        if let OutputBody::File { name, .. } = output.body {
            deleted.files.push(name);
        }
    }
}
