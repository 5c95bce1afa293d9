//! JSON as this family's scripts print and match it: on one line, a space after each colon and comma, UTF-8 as it is.

use std::io;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// One line without its line break: `{"id": "job1", "attempts": 0}`.
///
/// # Panics
///
/// If a map has keys that are neither texts nor numbers; wire types have none.
pub fn to_line<T: Serialize + ?Sized>(value: &T) -> String {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Spaced);
    value.serialize(&mut serializer).expect("wire types have plain keys, and memory does not fail to write");
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// As Python's `json.dumps` sets its separators.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A number that shows without a fraction where it has none: 2, 1.5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Number {
    /// A duration in seconds.
    pub fn seconds(duration: Duration) -> Number {
        Number(duration.as_secs_f64())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here every whole `f64` is exact.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() <= WHOLE_MAX {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_a_space_after_each_colon_and_comma() {
        let cases = [
            (json!({"attempts": 0, "id": "job1"}), r#"{"attempts": 0, "id": "job1"}"#),
            (json!([1, [2, 3], {"a": null}]), r#"[1, [2, 3], {"a": null}]"#),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!({"a": {"b": [], "c": {}}}), r#"{"a": {"b": [], "c": {}}}"#),
        ];
        for (value, expected) in cases {
            assert_eq!(to_line(&value), expected);
        }
    }

    #[test]
    fn text_stays_as_it_is_but_for_what_would_break_the_line() {
        assert_eq!(to_line("naïve 日本 \"a, b: c\"\n\u{1}"), "\"naïve 日本 \\\"a, b: c\\\"\\n\\u0001\"");
    }

    #[test]
    fn a_whole_number_shows_no_fraction() {
        let cases = [
            (2.0, "2"),
            (1.5, "1.5"),
            (0.0, "0"),
            (-0.0, "0"),
            (-3.0, "-3"),
            (1e300, "1e+300"),
            (f64::NAN, "null"),
        ];
        for (number, expected) in cases {
            assert_eq!(to_line(&Number(number)), expected);
        }
        assert_eq!(to_line(&Number::seconds(Duration::from_millis(90_500))), "90.5");
        assert_eq!(to_line(&Number::seconds(Duration::from_hours(1))), "3600");
    }
}
