//! Time that moves only when a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use queuectl_core::time::Timestamp;

/// 2026-01-02T03:04:05.678Z: late enough that a test can look back a good while.
const START_MS: i64 = 1_767_323_045_678;

/// A clock that stands still; its clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::at(Timestamp::from_millis(START_MS))
    }
}

impl ManualClock {
    pub fn at(start: Timestamp) -> ManualClock {
        ManualClock { millis: Arc::new(AtomicI64::new(start.millis())) }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    /// Sets any time, also an earlier one: dates jump.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.millis(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_clock() {
        let clock = ManualClock::default();
        let (start, other) = (clock.now(), clock.clone());
        other.advance(Duration::from_secs(3));
        assert_eq!(clock.now().since(start), Duration::from_secs(3));
    }
}
