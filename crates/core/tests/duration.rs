//! Durations as people write them.

use std::time::Duration;

use proptest::prelude::*;
use queuectl_core::duration::{DurationError, duration_from_seconds, format_duration, parse_duration};
use queuectl_core::limits::DURATION_MS_MAX;

proptest! {
    #[test]
    fn what_is_formatted_reads_back(millis in 0..=DURATION_MS_MAX as u64) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn a_bare_number_is_seconds(seconds in 0..1_000_000_u64, thousandths in 0..1000_u64) {
        let text = format!(" {seconds}.{thousandths:03} ");
        prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(seconds * 1000 + thousandths)));
        prop_assert_eq!(parse_duration(&seconds.to_string()), Ok(Duration::from_secs(seconds)));
    }

    #[test]
    fn no_text_and_no_number_panics(text in any::<String>(), number in any::<f64>()) {
        let bounded = |read: Result<Duration, DurationError>| {
            read.is_err() || read.is_ok_and(|it| it.as_millis() <= DURATION_MS_MAX as u128)
        };
        prop_assert!(bounded(parse_duration(&text)));
        prop_assert!(bounded(parse_duration(&number.to_string())));
        prop_assert!(bounded(duration_from_seconds(number)));
    }

    #[test]
    fn parts_of_a_millisecond_round_up(micros in 1..1000_u64) {
        let text = format!("0.{micros:06}");
        prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(1)));
    }
}

#[test]
fn units_are_read() {
    let cases: &[(&str, u64)] = &[
        ("500ms", 500),
        ("90s", 90_000),
        ("5m", 300_000),
        ("2h30m", 9_000_000),
        ("7d", 7 * 86_400_000),
        ("1.5", 1500),
        ("0", 0),
        ("0s", 0),
        ("1e3", 1_000_000),
    ];
    for (text, millis) in cases {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(*millis)), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_by_what_is_wrong_with_it() {
    for bad in ["", " ", "x", "5 parsecs", "1mo", "2y", "nan", "5m later"] {
        assert!(
            matches!(parse_duration(bad), Err(DurationError::Syntax(_))),
            "{bad}: {:?}",
            parse_duration(bad)
        );
    }
    for bad in ["-1", "-5m", "-0.5", "-inf"] {
        assert!(matches!(parse_duration(bad), Err(DurationError::Negative(_))), "{bad}");
    }
    for bad in ["inf", "1e300", "36601d", "1000000h", "3162240001"] {
        assert!(
            matches!(parse_duration(bad), Err(DurationError::TooLong(_))),
            "{bad}: {:?}",
            parse_duration(bad)
        );
    }
}

#[test]
fn the_longest_duration_is_a_hundred_years() {
    let longest = Duration::from_millis(DURATION_MS_MAX as u64);
    assert_eq!(parse_duration("36600d"), Ok(longest));
    assert_eq!(format_duration(longest), "878400h");
}

#[test]
fn the_shortest_spelling_is_chosen() {
    for (millis, text) in
        [(0, "0s"), (1, "1ms"), (90_000, "1m30s"), (9_000_000, "2h30m"), (3_600_001, "1h1ms")]
    {
        assert_eq!(format_duration(Duration::from_millis(millis)), text);
    }
}
