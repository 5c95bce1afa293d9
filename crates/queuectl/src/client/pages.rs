//! Long listings, a page at a time: a million jobs need no more memory than a thousand.

use queuectl_core::job::Job;
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::store::StoreResult;

use super::Client;

/// Reads a listing in the order of insertion.
pub struct Pages {
    client: Client,
    filter: Filter,
    after: Option<i64>,
    left: usize,
}

impl Client {
    /// The jobs that the filter means, oldest first; with a limit, the newest of them.
    pub async fn pages(&self, filter: Filter, limit: Option<usize>) -> StoreResult<Pages> {
        let after = match limit {
            None => None,
            Some(limit) => self.before_newest(&filter, limit).await?,
        };
        Ok(Pages { client: self.clone(), filter, after, left: limit.unwrap_or(usize::MAX) })
    }

    /// One page of the jobs that the filter means, newest first, from before this place on.
    pub async fn newest(&self, filter: &Filter, before: Option<i64>, rows: usize) -> StoreResult<Vec<Job>> {
        self.store.list(filter, Page { order: Order::NewestFirst, after: before, rows }).await
    }

    /// The place right before the newest so many; `None` if there are not more.
    async fn before_newest(&self, filter: &Filter, limit: usize) -> StoreResult<Option<i64>> {
        let (mut after, mut seen) = (None, 0);
        while seen < limit {
            let rows = (limit - seen).min(PAGE_ROWS_MAX);
            let page = self.store.list(filter, Page { order: Order::NewestFirst, after, rows }).await?;
            seen += page.len();
            after = page.last().map(|job| job.seq).or(after);
            if page.len() < rows {
                return Ok(None);
            }
        }
        Ok(after.map(|seq| seq - 1))
    }
}

impl Pages {
    /// The next jobs; empty after the last.
    pub async fn next(&mut self) -> StoreResult<Vec<Job>> {
        let rows = self.left.min(PAGE_ROWS_MAX);
        if rows == 0 {
            return Ok(Vec::new());
        }
        let page = Page { order: Order::OldestFirst, after: self.after, rows };
        let jobs = self.client.store.list(&self.filter, page).await?;
        self.left = if jobs.len() < rows { 0 } else { self.left - rows };
        self.after = jobs.last().map(|job| job.seq).or(self.after);
        Ok(jobs)
    }

    /// True if `next` has nothing more to give.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}
