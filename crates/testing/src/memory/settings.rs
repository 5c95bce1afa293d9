//! Settings.

use async_trait::async_trait;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::{Key, Settings};
use queuectl_core::store::{SettingsStore, StoreResult};

use super::MemoryStore;

#[async_trait]
impl SettingsStore for MemoryStore {
    async fn settings(&self) -> StoreResult<Settings> {
        Ok(self.verb(|state, _, _| state.settings.clone()))
    }

    async fn set_setting(
        &self,
        queue: Option<&QueueName>,
        key: &'static Key,
        value: Option<&str>,
    ) -> StoreResult<()> {
        if let Some(value) = value {
            key.check(value).expect("a store is handed checked values");
        }
        self.verb(|state, _, rings| {
            rings.work = true;
            let values = &mut state.settings.values;
            let at = |key: &Key| (queue.cloned(), key.name.to_owned());
            for same in key.siblings().chain([key]) {
                values.remove(&at(same));
            }
            if let Some(value) = value {
                values.insert(at(key), value.to_owned());
            }
            state.settings.version += 1;
        });
        Ok(())
    }
}
