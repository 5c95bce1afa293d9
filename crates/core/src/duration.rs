//! Durations as people write them: `90`, `1.5`, `500ms`, `5m`, `2h30m`, `7d`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::limits::DURATION_MS_MAX;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("`{0}` is not a duration: write seconds (90, 1.5) or units (500ms, 90s, 5m, 2h30m, 7d)")]
    Syntax(String),
    #[error("`{0}` is negative; a duration is zero or more")]
    Negative(String),
    #[error("`{0}` is longer than a hundred years")]
    TooLong(String),
}

/// Reads a duration; a bare number is seconds. A day has 24 hours. Resolution: one millisecond, rounded up.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<f64>() {
        return duration_from_seconds(seconds);
    }
    let span: Span = trimmed.parse().map_err(|_| DurationError::Syntax(text.to_owned()))?;
    let exact = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| DurationError::Syntax(text.to_owned()))?;
    let exact = Duration::try_from(exact).map_err(|_| DurationError::Negative(text.to_owned()))?;
    bounded(exact, text)
}

/// A duration from a number of seconds, fractions allowed.
pub fn duration_from_seconds(seconds: f64) -> Result<Duration, DurationError> {
    if seconds.is_nan() {
        return Err(DurationError::Syntax(seconds.to_string()));
    }
    if seconds < 0.0 {
        return Err(DurationError::Negative(seconds.to_string()));
    }
    let exact =
        Duration::try_from_secs_f64(seconds).map_err(|_| DurationError::TooLong(seconds.to_string()))?;
    bounded(exact, &seconds.to_string())
}

fn bounded(exact: Duration, text: &str) -> Result<Duration, DurationError> {
    let millis = exact.as_nanos().div_ceil(1_000_000);
    match u64::try_from(millis) {
        Ok(millis) if millis <= DURATION_MS_MAX as u64 => Ok(Duration::from_millis(millis)),
        _ => Err(DurationError::TooLong(text.to_owned())),
    }
}

/// The shortest spelling that [`parse_duration`] reads back: `500ms`, `90s`, `2h30m`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, rest) = (millis / 1000 % 60, millis % 1000);
    let mut text = String::new();
    for (amount, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s"), (rest, "ms")] {
        if amount > 0 {
            text.push_str(&format!("{amount}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
