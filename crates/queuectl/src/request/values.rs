//! The values that the fields of a job take in JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use queuectl_core::duration::{DurationError, duration_from_seconds, parse_duration};
use queuectl_core::job::Leftovers;
use queuectl_core::limits::{MAX_RETRIES_MAX, PRIORITY_MAX, PRIORITY_MIN};
use queuectl_core::retry::Backoff;
use queuectl_core::settings::parse_bytes;
use serde_json::Value;

use super::codes::CODES;
use super::{JobRequest, RequestError, parse_codes};

/// Puts the value of an asked field into the request; `null` leaves it unsaid.
pub(super) fn read(request: &mut JobRequest, field: &'static str, value: &Value) -> Result<(), RequestError> {
    if value.is_null() {
        return Ok(());
    }
    match field {
        "id" => request.id = Some(text(field, value)?),
        "command" => request.command = Some(text(field, value)?),
        "args" => request.args = Some(words(field, value)?.into_iter().map(String::into_bytes).collect()),
        "queue" => request.queue = Some(text(field, value)?),
        "priority" => {
            let range = (i64::from(PRIORITY_MIN), i64::from(PRIORITY_MAX));
            request.priority = Some(whole(field, value, range)? as i32);
        }
        "max_retries" => {
            request.max_retries = Some(whole(field, value, (0, i64::from(MAX_RETRIES_MAX)))? as u32);
        }
        "timeout" => request.timeout = Some(timeout(field, value)?),
        "run_at" => request.run_at = Some(instant(field, value)?),
        "delay" => request.delay = Some(duration(field, value)?),
        "backoff" => {
            let kinds = "\"exponential\", \"linear\" or \"fixed\"";
            request.backoff = Some(one_of(field, value, kinds, Backoff::parse)?);
        }
        "backoff_base" => request.backoff_base = Some(factor(field, value)?),
        "backoff_max" => request.backoff_max = Some(duration(field, value)?),
        "backoff_jitter" => request.backoff_jitter = Some(switch(field, value)?),
        "no_retry_on" => request.no_retry_on = Some(codes(field, value)?),
        "ok_codes" => request.ok_codes = Some(codes(field, value)?),
        "at_most_once" => request.at_most_once = Some(switch(field, value)?),
        "leftovers" => {
            request.leftovers = Some(one_of(field, value, "\"kill\" or \"keep\"", leftovers)?);
        }
        "tags" => request.tags = tags(field, value)?,
        "env" => request.env = variables(field, value)?,
        "pass" => request.pass = names(field, value)?,
        "dir" => request.dir = Some(text(field, value)?.into_bytes()),
        "stdin" => request.stdin = Some(text(field, value)?.into_bytes()),
        "kill_grace" => request.kill_grace = Some(duration(field, value)?),
        "output_max" => request.output_max = Some(bytes(field, value)?),
        "crash_limit" => request.crash_limit = Some(whole(field, value, (1, i64::from(u32::MAX)))? as u32),
        _ => unreachable!("every field of the table is read"),
    }
    Ok(())
}

fn bad(field: &str, expected: impl Into<String>, value: &Value) -> RequestError {
    RequestError::BadField { field: field.to_owned(), expected: expected.into(), given: shown(value) }
}

/// A value as JSON, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => shorten(&other.to_string()),
    }
}

pub(super) fn shorten(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn text(field: &str, value: &Value) -> Result<String, RequestError> {
    value.as_str().map(str::to_owned).ok_or_else(|| bad(field, "a string", value))
}

fn switch(field: &str, value: &Value) -> Result<bool, RequestError> {
    value.as_bool().ok_or_else(|| bad(field, "true or false", value))
}

fn whole(field: &str, value: &Value, (min, max): (i64, i64)) -> Result<i64, RequestError> {
    // JSON does not tell 3 from 3.0, and some programs write the latter.
    let same = |number: f64| number.fract() == 0.0 && number.abs() <= f64::from(u32::MAX);
    let number = value.as_i64().or_else(|| value.as_f64().filter(|n| same(*n)).map(|n| n as i64));
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(bad(field, format!("a whole number from {min} to {max}"), value)),
    }
}

fn factor(field: &str, value: &Value) -> Result<f64, RequestError> {
    match value.as_f64() {
        Some(number) if number >= 1.0 && number.is_finite() => Ok(number),
        _ => Err(bad(field, "a number of at least 1, fractions allowed", value)),
    }
}

fn one_of<T>(
    field: &str,
    value: &Value,
    expected: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, RequestError> {
    value.as_str().and_then(parse).ok_or_else(|| bad(field, expected, value))
}

fn leftovers(name: &str) -> Option<Leftovers> {
    match name {
        "kill" => Some(Leftovers::Kill),
        "keep" => Some(Leftovers::Keep),
        _ => None,
    }
}

fn duration(field: &'static str, value: &Value) -> Result<Duration, RequestError> {
    let parsed = match value {
        Value::Number(number) => duration_from_seconds(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => parse_duration(text),
        _ => return Err(bad(field, "a number of seconds or a text such as \"5m\"", value)),
    };
    parsed.map_err(|error| RequestError::Duration { field, error })
}

fn timeout(field: &'static str, value: &Value) -> Result<Duration, RequestError> {
    match value {
        Value::String(text) => parse_timeout(text).map_err(|error| RequestError::Duration { field, error }),
        other => duration(field, other),
    }
}

/// Reads the bound of an attempt: a duration, or `none` for none, which is zero.
pub fn parse_timeout(text: &str) -> Result<Duration, DurationError> {
    if text.trim().eq_ignore_ascii_case("none") { Ok(Duration::ZERO) } else { parse_duration(text) }
}

fn instant(field: &str, value: &Value) -> Result<String, RequestError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(bad(field, "a date in ISO-8601, epoch seconds, or a text such as \"+5m\"", value)),
    }
}

fn bytes(field: &str, value: &Value) -> Result<u64, RequestError> {
    let parsed = match value {
        Value::String(text) => parse_bytes(text),
        other => other.as_u64(),
    };
    parsed.ok_or_else(|| bad(field, "a number of bytes or a text such as \"16M\"", value))
}

fn words(field: &str, value: &Value) -> Result<Vec<String>, RequestError> {
    let expected = "an array of strings, the program first";
    let words = value.as_array().filter(|words| !words.is_empty()).ok_or_else(|| match value {
        Value::Array(_) => RequestError::BadField {
            field: field.to_owned(),
            expected: expected.to_owned(),
            given: "an empty one".to_owned(),
        },
        other => bad(field, expected, other),
    })?;
    let indexed = words.iter().enumerate();
    indexed.map(|(index, word)| text(&format!("{field}[{index}]"), word)).collect()
}

fn codes(field: &str, value: &Value) -> Result<Vec<i32>, RequestError> {
    let (min, max) = (i64::from(*CODES.start()), i64::from(*CODES.end()));
    match value {
        Value::String(text) => parse_codes(text).map_err(|_| {
            bad(field, "exit codes from 0 to 255 and ranges of them, such as \"1,2,5-7\"", value)
        }),
        Value::Array(codes) => codes
            .iter()
            .enumerate()
            .map(|(index, code)| Ok(whole(&format!("{field}[{index}]"), code, (min, max))? as i32))
            .collect(),
        number if number.is_number() => Ok(vec![whole(field, number, (min, max))? as i32]),
        other => Err(bad(field, "an array of exit codes or a text such as \"1,2,5-7\"", other)),
    }
}

fn tags(field: &str, value: &Value) -> Result<BTreeMap<String, String>, RequestError> {
    let members =
        value.as_object().ok_or_else(|| bad(field, "an object such as {\"team\": \"red\"}", value))?;
    let mut tags = BTreeMap::new();
    for (key, value) in members {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => return Err(bad(&member(field, key), "a string, a number, true or false", other)),
        };
        tags.insert(key.clone(), text);
    }
    Ok(tags)
}

fn variables(field: &str, value: &Value) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, RequestError> {
    let members =
        value.as_object().ok_or_else(|| bad(field, "an object such as {\"NAME\": \"value\"}", value))?;
    let variable = |(name, value): (&String, &Value)| {
        // A value may be a secret: it never shows in a message.
        let expected = "a string".to_owned();
        let text = value.as_str().ok_or_else(|| RequestError::BadField {
            field: member(field, name),
            expected,
            given: type_name(value).to_owned(),
        })?;
        Ok((name.as_bytes().to_vec(), text.as_bytes().to_vec()))
    };
    members.iter().map(variable).collect()
}

fn names(field: &str, value: &Value) -> Result<Vec<String>, RequestError> {
    match value {
        Value::String(text) => {
            let parts = text.split(|c: char| c == ',' || c.is_whitespace());
            Ok(parts.filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(names) => {
            let indexed = names.iter().enumerate();
            indexed.map(|(index, name)| text(&format!("{field}[{index}]"), name)).collect()
        }
        other => Err(bad(field, "an array of names of variables", other)),
    }
}

fn member(field: &str, key: &str) -> String {
    format!("{field}.{}", shorten(&key.escape_debug().to_string()))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
