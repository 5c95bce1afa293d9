//! Hearing of every change: for those who show the queue as it is.

use std::time::Duration;

use queuectl_core::store::{Listener, StoreResult, Topic};

use super::Client;

/// Rings at new work and at outcomes.
pub struct Changes {
    work: Box<dyn Listener>,
    outcome: Box<dyn Listener>,
}

impl Client {
    /// From now on, changes by any process are heard.
    pub async fn changes(&self) -> StoreResult<Changes> {
        Ok(Changes {
            work: self.store.listen(Topic::Work).await?,
            outcome: self.store.listen(Topic::Outcome).await?,
        })
    }
}

impl Changes {
    /// True if there is news, false after `up_to`. Safe to drop at any await.
    pub async fn wait(&mut self, up_to: Duration) -> bool {
        tokio::select! {
            rung = self.work.wait(up_to) => rung,
            rung = self.outcome.wait(up_to) => rung,
        }
    }
}
