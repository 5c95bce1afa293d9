//! How many jobs a worker claims ahead of its free slots: only what starts at once.

use std::collections::VecDeque;

use queuectl_core::limits::{PREFETCH_HORIZON, PREFETCH_MAX, PREFETCH_RUNS_MIN};

/// Recent runs that the estimate looks at.
const WINDOW: usize = 64;

/// Learns from how long recent runs took.
#[derive(Debug, Default)]
pub struct Prefetch {
    recent_ms: VecDeque<u64>,
    /// 90th percentile of the recent runs.
    p90_ms: u64,
    seen: usize,
}

impl Prefetch {
    pub fn saw_run(&mut self, millis: u64) {
        self.seen = self.seen.saturating_add(1);
        self.recent_ms.push_back(millis);
        if self.recent_ms.len() > WINDOW {
            self.recent_ms.pop_front();
        }
        let mut sorted: Vec<u64> = self.recent_ms.iter().copied().collect();
        sorted.sort_unstable();
        self.p90_ms = sorted[(sorted.len() - 1) * 9 / 10];
    }

    /// A claim did not start in time: the estimate was wrong, and learning starts anew.
    pub fn gave_back(&mut self) {
        self.seen = 0;
        self.recent_ms.clear();
    }

    /// Claims ahead for so many slots: slots x horizon / p90, zero until enough runs were seen.
    pub fn depth(&self, slots: usize) -> usize {
        if self.seen < PREFETCH_RUNS_MIN {
            return 0;
        }
        let horizon = PREFETCH_HORIZON.as_millis() as usize;
        (slots * horizon / (self.p90_ms.max(1) as usize)).min(PREFETCH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_ahead_until_enough_runs_were_seen() {
        let mut prefetch = Prefetch::default();
        for _ in 1..PREFETCH_RUNS_MIN {
            prefetch.saw_run(1);
        }
        assert_eq!(prefetch.depth(4), 0);
        prefetch.saw_run(1);
        assert_eq!(prefetch.depth(4), PREFETCH_MAX);
    }

    #[test]
    fn long_runs_stop_claiming_ahead() {
        let mut prefetch = Prefetch::default();
        for _ in 0..PREFETCH_RUNS_MIN {
            prefetch.saw_run(5 * PREFETCH_HORIZON.as_millis() as u64);
        }
        assert_eq!(prefetch.depth(4), 0);
        assert_eq!(prefetch.depth(10), 2);
    }

    #[test]
    fn a_claim_given_back_starts_learning_anew() {
        let mut prefetch = Prefetch::default();
        for _ in 0..WINDOW {
            prefetch.saw_run(1);
        }
        prefetch.gave_back();
        assert_eq!(prefetch.depth(4), 0);
    }
}
