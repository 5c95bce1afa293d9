//! Numbers as people read them: three digits that count.

use super::Spread;

pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

pub fn spread(spread: Spread) -> String {
    format!("{} ({}-{})", number(spread.median), number(spread.min), number(spread.max))
}

pub fn optional(value: Option<Spread>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| number(value.median))
}
