//! A benchmark reads the clock: here, and nowhere else.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of the epoch, as another process on this machine reads them.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn epoch_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
