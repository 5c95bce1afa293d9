//! The clock of everything that the keeper times: it does not jump and counts suspended time.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine booted.
pub fn now_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// What `/proc` counts the starts of processes in, in nanoseconds. It is the same on every Linux.
const TICK_NS: u64 = 1_000_000_000 / 100;

/// Ticks since the machine booted, as the start time of a process that starts now is told.
pub(crate) fn now_boot_ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64) / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::process;

    #[test]
    fn a_process_that_started_within_one_tick_bears_that_tick() {
        let mut exact = 0;
        while exact < 10 {
            let before = now_boot_ticks();
            let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
            let after = now_boot_ticks();
            let told = process(child.id() as i32).unwrap().id.start;
            child.wait().unwrap();
            assert!((before..=after).contains(&told), "{told} is not in {before}..={after}");
            exact += u32::from(before == after);
        }
    }
}
