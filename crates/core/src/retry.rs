//! When a failed attempt is followed by another, and after how long.

use std::time::Duration;

use crate::limits::DURATION_MS_MAX;

/// How the wait grows with the number of failed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// base^n seconds.
    Exponential,
    /// base * n seconds.
    Linear,
    /// base seconds.
    Fixed,
}

impl Backoff {
    pub fn as_str(self) -> &'static str {
        match self {
            Backoff::Exponential => "exponential",
            Backoff::Linear => "linear",
            Backoff::Fixed => "fixed",
        }
    }

    pub fn parse(name: &str) -> Option<Backoff> {
        [Backoff::Exponential, Backoff::Linear, Backoff::Fixed].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    pub backoff: Backoff,
    /// In seconds (fixed, linear), or the factor (exponential). At least 1.
    pub base: f64,
    pub max: Duration,
    /// Full jitter: the wait is drawn evenly from zero to what it would be.
    pub jitter: bool,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            backoff: Backoff::Exponential,
            base: 2.0,
            max: Duration::from_secs(3600),
            jitter: false,
        }
    }
}

impl RetryPolicy {
    /// The wait after the `attempts`-th charged attempt has failed. Saturates at the cap; never panics.
    pub fn delay(&self, attempts: u32, random: u64) -> Duration {
        let n = f64::from(attempts);
        let seconds = match self.backoff {
            Backoff::Exponential => self.base.powf(n),
            Backoff::Linear => self.base * n,
            Backoff::Fixed => self.base,
        };
        let cap = self.max.as_secs_f64().min(DURATION_MS_MAX as f64 / 1000.0);
        // NaN and infinity fall to the cap: `min` returns the other operand.
        let full = seconds.min(cap).max(0.0);
        let share = if self.jitter { random as f64 / u64::MAX as f64 } else { 1.0 };
        Duration::from_millis((full * share * 1000.0).round() as u64)
    }
}

/// What exit codes mean for one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitRules {
    /// Codes that count as success, besides 0.
    pub ok_codes: Vec<i32>,
    /// Codes after which there is no other attempt.
    pub no_retry_on: Vec<i32>,
}
