//! The client: enqueue, look, change. One method for each thing a person asks of the queue.

mod changes;
mod configure;
mod enqueue;
mod explain;
mod follow;
mod load;
mod orphans;
mod output;
mod pages;
mod select;
mod upgrade;
mod upkeep;
mod wait;
mod workers;

use std::path::Path;
use std::sync::{Arc, Mutex};

use queuectl_core::id::{IdGenerator, JobId};
use queuectl_core::job::Job;
use queuectl_core::limits::{CHANGE_BATCH_MAX, PAGE_ROWS_MAX};
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::{
    Attempt, Cancelled, Count, Deleted, EditOne, Edited, Listener, Place, QueueRow, Retried, RetryScope,
    Selection, Store, StoreResult, Topic,
};
use queuectl_core::time::Timestamp;

pub use changes::Changes;
pub use follow::{Follower, Live, Piece};
pub use load::Loader;
pub use orphans::{Orphan, OrphansStopped};
pub use output::{OutputPieces, OutputReader, RemovedFiles};
pub use pages::Pages;
pub use select::{Selector, SelectorError};
pub use upgrade::{Newest, VERSION, in_the_way};
pub use wait::{Ended, Waiter};
pub use workers::StopWait;

use crate::open::{Access, Network, open};

/// A handle to one queue. Cheap to clone; all clones share the store's connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) store: Arc<dyn Store>,
    ids: Arc<Mutex<IdGenerator>>,
}

impl Client {
    /// Opens the queue in a database file; `None` if [`Access::Read`] finds no file.
    pub async fn open(path: &Path, access: Access) -> StoreResult<Option<Client>> {
        Client::open_with_network(path, access, Network::Refused).await
    }

    /// The same, and also on a network file system if that is allowed.
    pub async fn open_with_network(
        path: &Path,
        access: Access,
        network: Network,
    ) -> StoreResult<Option<Client>> {
        Ok(open(path, access, network).await?.map(Client::on))
    }

    /// A client on a store that is open already.
    pub fn on(store: Arc<dyn Store>) -> Client {
        Client { store, ids: Arc::default() }
    }

    /// Where the store is.
    pub fn place(&self) -> Place {
        self.store.place()
    }

    /// The store's clock.
    pub async fn now(&self) -> StoreResult<Timestamp> {
        self.store.now().await
    }

    /// The job with exactly this id.
    pub async fn job(&self, id: &JobId) -> StoreResult<Option<Job>> {
        self.store.get(id).await
    }

    /// The jobs that the filter means, in the order of insertion; with a limit, the newest of them.
    pub async fn list(&self, filter: &Filter, limit: Option<usize>) -> StoreResult<Vec<Job>> {
        let order = if limit.is_some() { Order::NewestFirst } else { Order::OldestFirst };
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            let rows = limit.map_or(PAGE_ROWS_MAX, |limit| (limit - jobs.len()).min(PAGE_ROWS_MAX));
            if rows == 0 {
                break;
            }
            let after = jobs.last().map(|job| job.seq);
            let page = self.store.list(filter, Page { order, after, rows }).await?;
            let last = page.len() < rows;
            jobs.extend(page);
            if last {
                break;
            }
        }
        if order == Order::NewestFirst {
            jobs.reverse();
        }
        Ok(jobs)
    }

    /// How many jobs of each queue show as each state.
    pub async fn counts(&self) -> StoreResult<Vec<Count>> {
        self.store.counts().await
    }

    /// How many jobs the filter means.
    pub async fn count(&self, filter: &Filter) -> StoreResult<u64> {
        let by_counts = filter.tags.is_empty() && filter.ended_before.is_none();
        if by_counts {
            let meant = |count: &&Count| {
                filter.shown.is_none_or(|shown| count.shown == shown)
                    && filter.queue.as_ref().is_none_or(|queue| count.queue == *queue)
            };
            return Ok(self.counts().await?.iter().filter(meant).map(|count| count.jobs).sum());
        }
        let (mut total, mut after) = (0, None);
        loop {
            let page = Page { order: Order::OldestFirst, after, rows: PAGE_ROWS_MAX };
            let jobs = self.store.list(filter, page).await?;
            let Some(last) = jobs.last() else { return Ok(total) };
            after = Some(last.seq);
            total += jobs.len() as u64;
        }
    }

    /// The state of each; `None` if it is not there.
    pub async fn states(&self, ids: &[JobId]) -> StoreResult<Vec<Option<State>>> {
        self.store.states(ids).await
    }

    /// The attempts of a job that have ended.
    pub async fn attempts(&self, id: &JobId) -> StoreResult<Vec<Attempt>> {
        self.store.attempts(id, true).await
    }

    /// One of them; `None` if it has not ended, or is not there.
    pub async fn attempt(&self, id: &JobId, number: u32) -> StoreResult<Option<Attempt>> {
        self.store.attempt(id, number).await
    }

    /// Cancels each; a running one is told through its worker.
    pub async fn cancel(&self, ids: &[JobId]) -> StoreResult<Vec<Cancelled>> {
        let mut results = Vec::with_capacity(ids.len());
        for part in ids.chunks(CHANGE_BATCH_MAX) {
            results.extend(self.store.cancel(part).await?);
        }
        Ok(results)
    }

    /// Brings each back to `pending`.
    pub async fn retry(&self, ids: &[JobId], scope: RetryScope) -> StoreResult<Vec<Retried>> {
        let mut results = Vec::with_capacity(ids.len());
        for part in ids.chunks(CHANGE_BATCH_MAX) {
            results.extend(self.store.retry(part, scope).await?);
        }
        Ok(results)
    }

    /// Changes all of these waiting jobs or none.
    pub async fn edit(&self, edits: &[EditOne]) -> StoreResult<Edited> {
        self.store.edit(edits).await
    }

    /// Deletes jobs that are not running, and their output files.
    pub async fn delete(&self, ids: &[JobId]) -> StoreResult<Deleted> {
        let mut all = Deleted::default();
        for part in ids.chunks(CHANGE_BATCH_MAX) {
            let deleted = self.store.delete(Selection::Ids(part.to_vec())).await?;
            self.remove_outputs(&deleted.files);
            all.deleted.extend(deleted.deleted);
            all.running.extend(deleted.running);
            all.absent.extend(deleted.absent);
        }
        Ok(all)
    }

    /// Deletes every job that the filter means and that is not running, in small steps; tells each step how many it
    /// deleted, and returns the sum.
    pub async fn clear(&self, filter: Filter, mut step: impl FnMut(u64)) -> StoreResult<u64> {
        let mut total = 0;
        loop {
            let deleted = self.clear_step(filter.clone()).await?;
            if deleted == 0 {
                return Ok(total);
            }
            total += deleted;
            step(deleted);
        }
    }

    /// One step of [`Client::clear`].
    pub(crate) async fn clear_step(&self, filter: Filter) -> StoreResult<u64> {
        let selection = Selection::Filter { filter, limit: CHANGE_BATCH_MAX };
        let deleted = self.store.delete(selection).await?;
        self.remove_outputs(&deleted.files);
        Ok(deleted.deleted.len() as u64)
    }

    /// Every queue that has had a job or was paused.
    pub async fn queues(&self) -> StoreResult<Vec<QueueRow>> {
        self.store.queues().await
    }

    /// Pauses or resumes a queue; tells whether that changed anything.
    pub async fn set_paused(&self, queue: &QueueName, paused: bool) -> StoreResult<bool> {
        self.store.set_paused(queue, paused).await
    }

    /// Hears of outcomes and of workers that come and go.
    pub async fn listen(&self) -> StoreResult<Box<dyn Listener>> {
        self.store.listen(Topic::Outcome).await
    }
}
