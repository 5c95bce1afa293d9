//! When a job is to run, as people write it: an instant, local or not, or so long from now.

use jiff::Zoned;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use queuectl_core::duration::parse_duration;
use queuectl_core::job::Due;
use queuectl_core::limits::TIMESTAMP_MS_MAX;
use queuectl_core::time::Timestamp;

use super::RequestError;

const EXPECTED: &str = "write ISO-8601 (2026-01-02T03:04:05Z, or without a zone in local time), \
                        epoch seconds, or a time from now such as +5m";

/// Reads `2026-01-02T03:04:05Z`, an offset or a `[Zone]` instead of `Z`, without either the time of `zone`, a date
/// alone (its first instant), epoch seconds with or without a fraction, `+5m`, `+90`, `now`. The past is allowed.
pub fn parse_run_at(text: &str, zone: &TimeZone) -> Result<Due, RequestError> {
    let trimmed = text.trim();
    let refused = |why: String| RequestError::RunAt { text: text.escape_debug().to_string(), why };
    if trimmed.eq_ignore_ascii_case("now") {
        return Ok(Due::Now);
    }
    if let Some(relative) = trimmed.strip_prefix('+') {
        if relative.starts_with(['+', '-']) {
            return Err(refused(EXPECTED.to_owned()));
        }
        return parse_duration(relative).map(Due::After).map_err(|error| refused(error.to_string()));
    }
    let millis = if is_decimal(trimmed) { epoch_millis(trimmed) } else { iso_millis(trimmed, zone) };
    millis.map(|millis| Due::At(Timestamp::from_millis(millis))).map_err(refused)
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction)
}

fn epoch_millis(text: &str) -> Result<i64, String> {
    let seconds: f64 = text.parse().map_err(|_| EXPECTED.to_owned())?;
    let millis = (seconds * 1000.0).round();
    if millis <= TIMESTAMP_MS_MAX as f64 {
        Ok(millis as i64)
    } else {
        Err("it lies beyond the year 9998; epoch time is in seconds, not in milliseconds".to_owned())
    }
}

fn iso_millis(text: &str, zone: &TimeZone) -> Result<i64, String> {
    let pieces = Pieces::parse(text).map_err(|_| EXPECTED.to_owned())?;
    let because = |error: jiff::Error| format!("{error}");
    let instant = if pieces.time_zone_annotation().is_some() {
        text.parse::<Zoned>().map_err(because)?.timestamp()
    } else if pieces.offset().is_some() {
        text.parse::<jiff::Timestamp>().map_err(because)?
    } else {
        // A wall time that the change to summer time skips moves on with the clock; one that it repeats is the first.
        let wall = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        zone.to_ambiguous_timestamp(wall).compatible().map_err(because)?
    };
    match instant.as_millisecond() {
        millis if millis <= TIMESTAMP_MS_MAX => Ok(millis),
        _ => Err("it lies beyond the year 9998".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").expect("it is bundled")
    }

    #[test]
    fn every_spelling_of_an_instant_is_read() {
        let cases = [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
            (" 2026-01-02T03:04:05Z ", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02t03:04:05z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05.000Z"),
            ("2026-01-02T03:04:05-0800", "2026-01-02T11:04:05.000Z"),
            ("2026-01-02 03:04Z", "2026-01-02T03:04:00.000Z"),
            ("2026-01-02T03:04:05[America/New_York]", "2026-01-02T08:04:05.000Z"),
            ("2026-01-02T03:04:05", "2026-01-02T02:04:05.000Z"),
            ("2026-07-02 03:04", "2026-07-02T01:04:00.000Z"),
            ("2026-07-02", "2026-07-01T22:00:00.000Z"),
            ("1767323045", "2026-01-02T03:04:05.000Z"),
            ("1767323045.678", "2026-01-02T03:04:05.678Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            ("1999-12-31T23:59:59Z", "1999-12-31T23:59:59.000Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.000Z"),
            // Skipped by the change to summer time, then repeated by the change back.
            ("2026-03-29T02:30", "2026-03-29T01:30:00.000Z"),
            ("2026-10-25T02:30", "2026-10-25T00:30:00.000Z"),
        ];
        for (text, expected) in cases {
            match parse_run_at(text, &berlin()) {
                Ok(Due::At(at)) => assert_eq!(at.to_string(), expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_time_from_now_is_read() {
        let cases = [
            ("+5m", 300_000),
            ("+90", 90_000),
            ("+0", 0),
            ("+2h30m", 9_000_000),
            ("+ 1.5", 1500),
            ("+500ms", 500),
        ];
        for (text, millis) in cases {
            assert_eq!(
                parse_run_at(text, &berlin()),
                Ok(Due::After(Duration::from_millis(millis))),
                "{text}"
            );
        }
        assert_eq!(parse_run_at("now", &berlin()), Ok(Due::Now));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let cases = [
            ("", "ISO-8601"),
            ("tomorrow", "ISO-8601"),
            ("5m", "ISO-8601"),
            ("-5m", "ISO-8601"),
            ("-5", "ISO-8601"),
            ("++5", "ISO-8601"),
            ("+-5", "ISO-8601"),
            ("+", "not a duration"),
            ("+soon", "not a duration"),
            ("+200000000000", "hundred years"),
            ("1e9", "ISO-8601"),
            ("inf", "ISO-8601"),
            ("NaN", "ISO-8601"),
            ("2026-13-02", "ISO-8601"),
            ("2026-02-30T00:00Z", "ISO-8601"),
            ("2026-01-02T25:00Z", "ISO-8601"),
            ("2026-01-02T03:04:05Z trailing", "ISO-8601"),
            ("2026-01-02T03:04:05[Mars/Phobos]", "Mars/Phobos"),
            ("03:04", "ISO-8601"),
            ("1767323045678", "milliseconds"),
            ("99999999999999999999999999", "milliseconds"),
            ("9999-06-01T00:00:00Z", "9998"),
            ("2026-01-02\0", "ISO-8601"),
        ];
        for (text, why) in cases {
            let error = parse_run_at(text, &berlin()).expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("run_at"), "{text}: {error}");
        }
    }
}
