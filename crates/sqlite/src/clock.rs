//! The store's clock, and the bound of its waits: the only reader of date and time in this crate.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use queuectl_core::time::Timestamp;

/// Tells the date. The system's, unless a test brings its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub fn system() -> Clock {
        Clock(Arc::new(system_now))
    }

    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// The date, in milliseconds; before the epoch counts as the epoch.
#[expect(clippy::disallowed_methods, reason = "the store owns the clock")]
fn system_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Nanoseconds since the machine started, the same for all its processes.
pub fn since_start() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The end of a wait for another process, by the machine's own time.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread that waits for a lock has no loop to be told the time by"
    )]
    pub fn after(span: Duration) -> Deadline {
        Deadline(Instant::now() + span)
    }

    #[expect(clippy::disallowed_methods, reason = "see `after`")]
    pub fn has_passed(&self) -> bool {
        Instant::now() >= self.0
    }
}
