//! Settings: kept as given, with one version over all of them.

use async_trait::async_trait;

use super::StoreResult;
use crate::queue::QueueName;
use crate::settings::{Key, Settings};

#[async_trait]
pub trait SettingsStore {
    async fn settings(&self) -> StoreResult<Settings>;

    /// Keeps a checked value as it was given, for all queues or one; unsets the key's siblings there. `None` unsets
    /// the key itself. Raises the version and rings [`super::Topic::Work`].
    async fn set_setting(
        &self,
        queue: Option<&QueueName>,
        key: &'static Key,
        value: Option<&str>,
    ) -> StoreResult<()>;
}
