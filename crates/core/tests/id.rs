//! Ids: what users may give, and what the generator makes.

use std::collections::HashSet;

use proptest::prelude::*;
use queuectl_core::id::{IdGenerator, JobId, JobIdError};
use queuectl_core::limits::{GENERATED_ID_CHARS, JOB_ID_CHARS_MAX};
use queuectl_core::time::Timestamp;

proptest! {
    #[test]
    fn a_generated_id_is_sixteen_plain_characters(millis in any::<i64>(), random in any::<u64>()) {
        let id = IdGenerator::default().next_id(Timestamp::from_millis(millis), random);
        prop_assert_eq!(id.as_str().len(), GENERATED_ID_CHARS);
        let plain = |c: char| c.is_ascii_digit() || (c.is_ascii_lowercase() && !"ilou".contains(c));
        prop_assert!(id.as_str().chars().all(plain), "{}", id);
        prop_assert_eq!(JobId::new(id.as_str()), Ok(id));
    }

    #[test]
    fn ids_of_one_generator_rise_strictly_whatever_the_clock_does(
        draws in prop::collection::vec((0..2_000_000_000_000_i64, any::<u64>()), 2..50),
    ) {
        let mut generator = IdGenerator::default();
        let ids: Vec<JobId> = draws
            .iter()
            .map(|(millis, random)| generator.next_id(Timestamp::from_millis(*millis), *random))
            .collect();
        prop_assert!(ids.is_sorted_by(|a, b| a < b), "{:?}", ids);
    }

    #[test]
    fn ids_of_two_generators_differ_by_their_random_bits(
        millis in 1..35_184_372_088_831_i64, one in 0..1_u64 << 35, other in 0..1_u64 << 35,
    ) {
        prop_assume!(one != other);
        let at = Timestamp::from_millis(millis);
        let (one, other) = (IdGenerator::default().next_id(at, one), IdGenerator::default().next_id(at, other));
        prop_assert_ne!(one, other);
    }

    #[test]
    fn ids_of_two_generators_sort_by_time(
        first in 1..35_184_372_088_830_i64, later in 1..1000_i64, one: u64, other: u64,
    ) {
        let (at, after) = (Timestamp::from_millis(first), Timestamp::from_millis(first + later));
        prop_assume!(first + later < 1 << 45);
        prop_assert!(IdGenerator::default().next_id(at, one) < IdGenerator::default().next_id(after, other));
    }

    #[test]
    fn printable_text_is_an_id_exactly_if_it_cannot_be_misread(text in "[a-zA-Z0-9_.:/äß漢🦀#%+=-]{1,128}") {
        let reserved = text == "all" || text == "last" || text.starts_with("last:");
        let accepted = JobId::new(text.as_str()).is_ok();
        prop_assert_eq!(accepted, !reserved && !text.starts_with(['-', '@']));
    }

    #[test]
    fn an_accepted_id_is_kept_as_it_is(text in any::<String>()) {
        if let Ok(id) = JobId::new(text.as_str()) {
            prop_assert_eq!(id.as_str(), text.as_str());
            prop_assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control()));
            prop_assert!((1..=JOB_ID_CHARS_MAX).contains(&text.chars().count()));
        }
    }
}

#[test]
fn a_thousand_ids_of_one_millisecond_are_all_different() {
    let mut generator = IdGenerator::default();
    let at = Timestamp::from_millis(1_767_323_045_678);
    let ids: HashSet<JobId> = (0..1000).map(|_| generator.next_id(at, 42)).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn length_counts_characters_not_bytes() {
    assert!(JobId::new("漢".repeat(JOB_ID_CHARS_MAX)).is_ok());
    let long = JOB_ID_CHARS_MAX + 1;
    assert_eq!(JobId::new("x".repeat(long)), Err(JobIdError::Length(long)));
    assert_eq!(JobId::new(""), Err(JobIdError::Length(0)));
}

#[test]
fn what_cannot_be_seen_or_would_be_misread_is_refused() {
    for bad in [
        "a b",
        "a\tb",
        "\n",
        "a\u{a0}b",
        "a\u{200b}b",
        "\u{feff}a",
        "a\u{202e}b",
        "a\0b",
        "a\u{7f}",
        "\u{85}",
    ] {
        assert!(matches!(JobId::new(bad), Err(JobIdError::Unprintable(_))), "{bad:?}");
    }
    for bad in ["all", "last", "last:", "last:3", "last:x"] {
        assert!(matches!(JobId::new(bad), Err(JobIdError::Reserved(_))), "{bad}");
    }
    for bad in ["-", "-a", "--all", "@file", "@"] {
        assert!(matches!(JobId::new(bad), Err(JobIdError::Prefix(_))), "{bad}");
    }
    for good in ["All", "LAST", "lastly", "last-3", "a-", "a@b", "1", "é", "job:1", "."] {
        assert!(JobId::new(good).is_ok(), "{good}");
    }
}
