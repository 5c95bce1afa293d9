//! Settings: kept as given, for all queues or one.

use std::time::Duration;

use queuectl_core::queue::QueueName;
use queuectl_core::settings::{Settings, find_key};

use super::Fixture;
use crate::given::{queue, set};

async fn settings(f: &dyn Fixture) -> Settings {
    f.second().settings().await.expect("the store works")
}

async fn unset(f: &dyn Fixture, scope: Option<&QueueName>, key: &str) {
    let key = find_key(key).expect("a key");
    f.store().set_setting(scope, key, None).await.expect("the store works");
}

pub async fn nothing_is_set_at_first(f: &dyn Fixture) {
    assert!(settings(f).await.values.is_empty());
}

pub async fn a_value_is_kept_as_it_was_given(f: &dyn Fixture) {
    set(f.store(), None, "backoff-max", " 90 ").await;
    let key = find_key("backoff-max").expect("a key");
    assert_eq!(settings(f).await.given(None, key).as_deref(), Some(" 90 "));
}

pub async fn every_change_raises_the_version(f: &dyn Fixture) {
    let mut last = settings(f).await.version;
    for value in ["1", "1", "2"] {
        set(f.store(), None, "max-retries", value).await;
        let version = settings(f).await.version;
        assert!(version > last);
        last = version;
    }
    unset(f, None, "max-retries").await;
    assert!(settings(f).await.version > last);
}

pub async fn a_queue_has_its_own_value_before_that_of_all(f: &dyn Fixture) {
    set(f.store(), None, "max-retries", "5").await;
    set(f.store(), Some("x"), "max-retries", "7").await;
    let max = async |name: &str| settings(f).await.for_queue(&queue(name)).max_retries;
    assert_eq!((max("x").await, max("y").await), (7, 5));
    unset(f, Some(&queue("x")), "max-retries").await;
    assert_eq!((max("x").await, max("y").await), (5, 5));
    unset(f, None, "max-retries").await;
    assert_eq!((max("x").await, max("y").await), (3, 3));
}

pub async fn a_new_value_unsets_the_keys_siblings_there(f: &dyn Fixture) {
    set(f.store(), None, "poll-interval-ms", "500").await;
    set(f.store(), Some("x"), "poll-interval-ms", "700").await;
    set(f.store(), None, "worker-poll-interval", "2s").await;
    let now = settings(f).await;
    let of = |name: &str| now.for_queue(&queue(name)).poll_interval;
    assert_eq!((of("x"), of("y")), (Duration::from_millis(700), Duration::from_secs(2)));
    assert_eq!(now.values.len(), 2);
    set(f.store(), None, "max-retries", "4").await;
    assert_eq!(settings(f).await.values.len(), 3, "others stay");
}
