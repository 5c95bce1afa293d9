//! Lists of exit codes: `1,2,5-7`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::RequestError;

/// What an exit code can be.
pub(super) const CODES: RangeInclusive<i32> = 0..=255;

/// Reads exit codes and ranges of them, separated by commas or blanks; sorted, each once.
pub fn parse_codes(text: &str) -> Result<Vec<i32>, RequestError> {
    let mut codes = BTreeSet::new();
    for part in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty()) {
        codes.extend(parse_part(part).ok_or_else(|| bad_codes(text))?);
    }
    if codes.is_empty() { Err(bad_codes(text)) } else { Ok(codes.into_iter().collect()) }
}

fn parse_part(part: &str) -> Option<RangeInclusive<i32>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (parse_code(first)?, parse_code(last)?);
    (first <= last).then_some(first..=last)
}

fn parse_code(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|code| digits && CODES.contains(code))
}

fn bad_codes(given: &str) -> RequestError {
    RequestError::BadField {
        field: "exit codes".to_owned(),
        expected: "numbers from 0 to 255 and ranges of them, such as 1,2,5-7".to_owned(),
        given: format!("`{}`", given.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_are_read() {
        let cases: [(&str, &[i32]); 6] = [
            ("1", &[1]),
            ("1,2,5-7", &[1, 2, 5, 6, 7]),
            (" 7, 2 2 ", &[2, 7]),
            ("3-3", &[3]),
            ("0,255", &[0, 255]),
            ("75,", &[75]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_codes(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(parse_codes("0-255").map(|codes| codes.len()), Ok(256));
    }

    #[test]
    fn what_is_no_exit_code_is_refused() {
        for text in
            ["", " ", ",", "256", "-1", "1-", "-", "7-5", "a", "1;2", "+1", "1--2", "99999999999", "1.5"]
        {
            let error = parse_codes(text).expect_err(text).to_string();
            assert!(error.contains("0 to 255"), "{text}: {error}");
        }
    }
}
