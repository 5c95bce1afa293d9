//! The wait between attempts.

use std::time::Duration;

use proptest::prelude::*;
use queuectl_core::limits::DURATION_MS_MAX;
use queuectl_core::retry::{Backoff, RetryPolicy};

fn backoff() -> impl Strategy<Value = Backoff> {
    prop_oneof![Just(Backoff::Exponential), Just(Backoff::Linear), Just(Backoff::Fixed)]
}

proptest! {
    #[test]
    fn a_wait_never_panics_nor_passes_its_cap(
        backoff in backoff(), base in any::<f64>(), max_ms in any::<u64>(), jitter: bool, attempts: u32, random: u64,
    ) {
        let policy = RetryPolicy { backoff, base, max: Duration::from_millis(max_ms), jitter };
        let wait = policy.delay(attempts, random);
        let cap = Duration::from_millis(max_ms.min(DURATION_MS_MAX as u64));
        prop_assert!(wait <= cap, "{:?} > {:?}", wait, cap);
    }

    #[test]
    fn special_bases_never_panic(backoff in backoff(), attempts: u32, which in 0..6_usize) {
        let base = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, f64::MAX][which];
        let policy = RetryPolicy { backoff, base, ..RetryPolicy::default() };
        prop_assert!(policy.delay(attempts, 0) <= policy.max);
    }

    #[test]
    fn a_wait_never_shrinks_with_more_failures(
        backoff in backoff(), base in 1.0..1000.0_f64, max_ms in 0..10_000_000_u64, attempts in 0..u32::MAX,
    ) {
        let policy = RetryPolicy { backoff, base, max: Duration::from_millis(max_ms), jitter: false };
        prop_assert!(policy.delay(attempts, 0) <= policy.delay(attempts + 1, 0));
    }

    #[test]
    fn jitter_stays_between_nothing_and_the_full_wait(
        backoff in backoff(), base in 1.0..100.0_f64, attempts in 1..100_u32, random: u64, more: u64,
    ) {
        let full = RetryPolicy { backoff, base, ..RetryPolicy::default() };
        let drawn = RetryPolicy { jitter: true, ..full };
        prop_assert!(drawn.delay(attempts, random) <= full.delay(attempts, random));
        prop_assert_eq!(drawn.delay(attempts, 0), Duration::ZERO);
        prop_assert_eq!(drawn.delay(attempts, u64::MAX), full.delay(attempts, 0));
        let (low, high) = (random.min(more), random.max(more));
        prop_assert!(drawn.delay(attempts, low) <= drawn.delay(attempts, high));
    }

    #[test]
    fn without_jitter_chance_does_not_matter(backoff in backoff(), attempts: u32, random: u64) {
        let policy = RetryPolicy { backoff, ..RetryPolicy::default() };
        prop_assert_eq!(policy.delay(attempts, random), policy.delay(attempts, 0));
    }
}

#[test]
fn the_default_waits_two_four_eight_seconds_up_to_an_hour() {
    let policy = RetryPolicy::default();
    for (attempts, seconds) in [(1, 2), (2, 4), (3, 8), (11, 2048), (12, 3600), (u32::MAX, 3600)] {
        assert_eq!(policy.delay(attempts, 7), Duration::from_secs(seconds), "after {attempts}");
    }
}

#[test]
fn each_kind_grows_its_own_way() {
    let waits = |backoff| {
        let policy = RetryPolicy { backoff, base: 1.5, ..RetryPolicy::default() };
        [1, 2, 3].map(|attempts| policy.delay(attempts, 0).as_millis())
    };
    assert_eq!(waits(Backoff::Exponential), [1500, 2250, 3375]);
    assert_eq!(waits(Backoff::Linear), [1500, 3000, 4500]);
    assert_eq!(waits(Backoff::Fixed), [1500, 1500, 1500]);
}

#[test]
fn a_kind_reads_back_by_its_name() {
    for kind in [Backoff::Exponential, Backoff::Linear, Backoff::Fixed] {
        assert_eq!(Backoff::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(Backoff::parse("Linear"), None);
}
