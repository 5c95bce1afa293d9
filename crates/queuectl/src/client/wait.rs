//! Waiting for jobs to end: woken by rings, in bounded looks however many jobs are waited for.

use std::collections::VecDeque;
use std::time::Duration;

use queuectl_core::id::JobId;
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::state::State;
use queuectl_core::store::{Listener, StoreResult, Topic};

use super::Client;

/// How often a waiter looks even if nobody rang.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks are at least so far apart, however often somebody rings.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How a job that was waited for has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub id: JobId,
    /// A terminal state; `None` if the job was deleted.
    pub state: Option<State>,
}

/// Jobs that are waited for. [`Waiter::next`] is safe to drop and call again.
pub struct Waiter {
    client: Client,
    listener: Box<dyn Listener>,
    /// In the order given; those looked at last are at the end.
    open: VecDeque<JobId>,
    told: VecDeque<Ended>,
}

impl Client {
    /// Waits for these jobs, whatever becomes of them.
    pub async fn wait(&self, ids: Vec<JobId>) -> StoreResult<Waiter> {
        let listener = self.store.listen(Topic::Outcome).await?;
        Ok(Waiter { client: self.clone(), listener, open: ids.into(), told: VecDeque::new() })
    }
}

impl Waiter {
    /// The next job that has ended, in the order in which it was noticed; `None` once all have.
    pub async fn next(&mut self) -> StoreResult<Option<Ended>> {
        loop {
            if let Some(ended) = self.told.pop_front() {
                return Ok(Some(ended));
            }
            if self.open.is_empty() {
                return Ok(None);
            }
            self.look().await?;
            if self.told.is_empty() {
                if self.listener.wait(LOOK_INTERVAL).await {
                    // More is likely to follow at once.
                    tokio::time::sleep(LOOK_PAUSE).await;
                } else {
                    // Nobody else may be there to do it.
                    self.client.settle_dead().await;
                }
            }
        }
    }

    /// How many have not ended.
    pub fn remaining(&self) -> usize {
        self.open.len() + self.told.len()
    }

    /// Looks at the jobs in front, and goes on as long as a page of them has ended; then at one page of the others, so
    /// that in time all are seen whatever runs in front.
    async fn look(&mut self) -> StoreResult<()> {
        while !self.open.is_empty() {
            if self.look_at(PAGE_ROWS_MAX.min(self.open.len()), false).await? == 0 {
                break;
            }
        }
        let front = PAGE_ROWS_MAX.min(self.open.len());
        let others = self.open.len() - front;
        if others > 0 {
            self.open.rotate_left(front);
            self.look_at(PAGE_ROWS_MAX.min(others), true).await?;
            self.open.rotate_right(front.min(self.open.len()));
        }
        Ok(())
    }

    /// Looks at so many of the first; those that have not ended go back to the front, or to the end. Returns how many
    /// had ended.
    async fn look_at(&mut self, count: usize, to_end: bool) -> StoreResult<usize> {
        let ids: Vec<JobId> = self.open.iter().take(count).cloned().collect();
        let states = self.client.store.states(&ids).await?;
        // Only now, so that a dropped look forgets nobody.
        self.open.drain(..count);
        let before = self.told.len();
        let mut still = Vec::new();
        for (id, state) in ids.into_iter().zip(states) {
            match state {
                Some(state) if !state.is_terminal() => still.push(id),
                state => self.told.push_back(Ended { id, state }),
            }
        }
        if to_end {
            self.open.extend(still);
        } else {
            for id in still.into_iter().rev() {
                self.open.push_front(id);
            }
        }
        Ok(self.told.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use queuectl_testing::given::{Turn, exited, id, insert, job, outcome};
    use queuectl_testing::{ManualClock, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn every_job_is_told_once_whatever_its_order() {
        let store = Arc::new(MemoryStore::new(ManualClock::default()));
        let names: Vec<String> = (0..3 * PAGE_ROWS_MAX).map(|n| format!("j{n}")).collect();
        insert(&*store, names.iter().map(|name| job(name))).await;
        let client = Client::on(store.clone());
        let ids = names.iter().map(|name| id(name)).chain([id("never")]).collect();
        let mut waiter = client.wait(ids).await.expect("the store works");
        assert_eq!(waiter.next().await.expect("works"), Some(Ended { id: id("never"), state: None }));
        let mut told = BTreeSet::new();
        let claims = Turn::of("w").want(names.len()).at(&*store).await.claims;
        // From the last to the first.
        for part in claims.rchunks(500) {
            let mut turn = Turn::of("w");
            for claim in part {
                turn = turn.settle(outcome(claim, exited(0)));
            }
            turn.at(&*store).await;
        }
        while let Some(ended) = waiter.next().await.expect("the store works") {
            assert_eq!(ended.state, Some(State::Completed));
            assert!(told.insert(ended.id), "told twice");
        }
        assert_eq!((told.len(), waiter.remaining()), (names.len(), 0));
    }
}
