//! Settings, as people set them.

use queuectl_core::queue::QueueName;
use queuectl_core::settings::{Key, Settings};
use queuectl_core::store::StoreResult;

use super::Client;

impl Client {
    /// What has been set.
    pub async fn settings(&self) -> StoreResult<Settings> {
        self.store.settings().await
    }

    /// Keeps a value that [`Key::check`] took, for all queues or one; `None` unsets it.
    pub async fn configure(
        &self,
        queue: Option<&QueueName>,
        key: &'static Key,
        value: Option<&str>,
    ) -> StoreResult<()> {
        self.store.set_setting(queue, key, value).await
    }
}
