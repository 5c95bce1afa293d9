//! One key of the configuration.

use queuectl_core::queue::QueueName;
use queuectl_core::settings::{KEYS, Key, Settings, find_key};
use serde::Serialize;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingView {
    pub key: &'static str,
    /// As it was given, or else the default.
    pub value: String,
    pub default: &'static str,
    /// Somebody set it, or a key of the same meaning.
    pub set: bool,
    /// The queue that it is for; `null` for all.
    pub queue: Option<String>,
}

impl SettingView {
    /// The value in force for a queue, or for those that have none of their own.
    pub fn new(settings: &Settings, queue: Option<&QueueName>, key: &'static Key) -> SettingView {
        SettingView {
            key: key.name,
            value: settings.raw(queue, key),
            default: key.default,
            set: settings.given(queue, key).is_some(),
            queue: queue.map(QueueName::to_string),
        }
    }

    /// Every key as it is in force for a queue.
    pub fn in_force(settings: &Settings, queue: Option<&QueueName>) -> Vec<SettingView> {
        KEYS.iter().map(|key| SettingView::new(settings, queue, key)).collect()
    }

    /// Every key, then what is set for single queues.
    pub fn all(settings: &Settings) -> Vec<SettingView> {
        let mut views = SettingView::in_force(settings, None);
        for (queue, name) in settings.values.keys() {
            if let (Some(queue), Ok(key)) = (queue, find_key(name)) {
                views.push(SettingView::new(settings, Some(queue), key));
            }
        }
        views
    }
}
