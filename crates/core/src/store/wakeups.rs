//! Rings: hints that there is news. Every waiter also looks by itself now and then.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;

/// What a ring is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// For workers: jobs, cancels, stops, settings, pauses.
    Work,
    /// For those who wait on jobs or workers: outcomes, workers that come and go.
    Outcome,
}

/// Waits for rings. A ring between two waits is not lost; many may arrive as one.
#[async_trait]
pub trait Listener: Send {
    /// True if it rang, false after `up_to`. Safe to drop at any await; a ring that was not reported stays.
    async fn wait(&mut self, up_to: Duration) -> bool;
}

#[async_trait]
pub trait Wakeups {
    /// From now on, rings of this topic by any process reach the listener.
    async fn listen(&self, topic: Topic) -> StoreResult<Box<dyn Listener>>;
}
