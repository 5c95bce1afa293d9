//! Explaining and measuring: why a job does not run, and what has run lately.

use std::cmp::Reverse;
use std::time::Duration;

use queuectl_core::job::Job;
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::queue::QueueName;
use queuectl_core::state::{Shown, State};
use queuectl_core::store::StoreResult;

use super::Client;
use crate::view::{ExplainView, Facts, StatsGatherer, StatsView};

/// Pages of a queue that are looked through for jobs that go before another.
const PAGES_MAX: usize = 10;

impl Client {
    /// What has to be known to explain any number of jobs.
    pub async fn facts(&self) -> StoreResult<Facts> {
        let (queues, counts) = (self.queues().await?, self.counts().await?);
        let (workers, settings) = (self.live_workers().await?, self.settings().await?);
        Ok(Facts::new(self.now().await?, &queues, &counts, workers, settings))
    }

    /// Why a job is where it is.
    pub async fn explain(&self, job: &Job) -> StoreResult<ExplainView> {
        let facts = self.facts().await?;
        let waits = job.state == State::Pending && job.due_at <= facts.now;
        let ahead = if waits { Some(self.ahead_of(job).await?) } else { None };
        Ok(ExplainView::new(job, &facts, ahead))
    }

    /// How many ready jobs of its queue go before it, and whether there are more than were looked at.
    pub async fn ahead_of(&self, job: &Job) -> StoreResult<(usize, bool)> {
        let rank = |job: &Job| (Reverse(job.spec.priority), job.due_at, job.seq);
        let queue = Some(job.spec.queue.clone());
        let filter = Filter { shown: Some(Shown::Pending), queue, ..Filter::default() };
        let (mut ahead, mut after, now) = (0, None, self.now().await?);
        for _ in 0..PAGES_MAX {
            let page = Page { order: Order::OldestFirst, after, rows: PAGE_ROWS_MAX };
            let jobs = self.store.list(&filter, page).await?;
            ahead += jobs.iter().filter(|other| other.due_at <= now && rank(other) < rank(job)).count();
            match jobs.last() {
                Some(last) if jobs.len() == PAGE_ROWS_MAX => after = Some(last.seq),
                _ => return Ok((ahead, false)),
            }
        }
        Ok((ahead, true))
    }

    /// What has run in the last so long.
    pub async fn stats(&self, window: Duration, queue: Option<&QueueName>) -> StoreResult<StatsView> {
        let to = self.now().await?;
        let from = to.before(window);
        let mut gatherer = StatsGatherer::new(from, to);
        self.store.ran_since(from, queue, &mut |ran| gatherer.add(&ran)).await?;
        Ok(gatherer.view(queue.map(QueueName::to_string)))
    }
}
