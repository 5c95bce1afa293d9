//! Rings, as permits: one is kept for each listener until its next wait.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use queuectl_core::store::{Listener, StoreResult, Topic, Wakeups};
use tokio::sync::Notify;

use super::MemoryStore;

/// Who listens to what.
#[derive(Debug, Default)]
pub struct Bells {
    listeners: Mutex<Vec<(Topic, Weak<Notify>)>>,
}

impl Bells {
    pub fn ring(&self, topic: Topic) {
        let mut listeners = self.listeners.lock().expect("no panic while it is held");
        listeners.retain(|(_, bell)| bell.strong_count() > 0);
        for bell in
            listeners.iter().filter(|(about, _)| *about == topic).filter_map(|(_, bell)| bell.upgrade())
        {
            bell.notify_one();
        }
    }

    fn add(&self, topic: Topic) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        self.listeners.lock().expect("no panic while it is held").push((topic, Arc::downgrade(&bell)));
        bell
    }
}

struct BellListener(Arc<Notify>);

#[async_trait]
impl Listener for BellListener {
    async fn wait(&mut self, up_to: Duration) -> bool {
        tokio::time::timeout(up_to, self.0.notified()).await.is_ok()
    }
}

#[async_trait]
impl Wakeups for MemoryStore {
    async fn listen(&self, topic: Topic) -> StoreResult<Box<dyn Listener>> {
        Ok(Box::new(BellListener(self.bells.add(topic))))
    }
}
