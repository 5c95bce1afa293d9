//! The store's clock: the only reader of the date in this crate.

use std::time::{SystemTime, UNIX_EPOCH};

use queuectl_core::time::Timestamp;

/// The date, in milliseconds; before the epoch counts as the epoch.
#[expect(clippy::disallowed_methods, reason = "the store owns the clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
