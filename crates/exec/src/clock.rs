//! The clock of everything that the keeper times: it does not jump and counts suspended time.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine booted.
pub fn now_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
