//! Changes of waiting jobs, as people write them: `FIELD=VALUE`, or the values of a document.

use jiff::tz::TimeZone;
use queuectl_core::edit::Edit;
use queuectl_core::queue::QueueName;
use serde_json::Value;

use super::fields::canonical;
use super::{JobRequest, RequestError, parse_run_at, values};

/// The fields of a job that can be changed while it waits.
pub const EDITABLE: &[&str] =
    &["command", "args", "queue", "priority", "max_retries", "timeout", "run_at", "delay"];

/// Reads changes, each a field and its new value. A text counts as a number where the field is one.
pub fn parse_edit<'a>(
    changes: impl IntoIterator<Item = (&'a str, Value)>,
    zone: &TimeZone,
) -> Result<Edit, RequestError> {
    let mut request = JobRequest::default();
    for (given, value) in changes {
        let field = canonical(given).filter(|field| EDITABLE.contains(field));
        let field = field.ok_or_else(|| RequestError::NotEditable { field: given.to_owned() })?;
        values::read(&mut request, field, &as_meant(field, value))?;
    }
    request.check()?;
    let due = match (&request.run_at, request.delay) {
        (Some(text), _) => Some(parse_run_at(text, zone)?),
        (None, delay) => delay.map(queuectl_core::job::Due::After),
    };
    Ok(Edit {
        command: request.checked_command()?,
        queue: request.queue.map(QueueName::new).transpose()?,
        priority: request.priority,
        max_retries: request.max_retries,
        timeout: request.timeout.map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero())),
        due,
    })
}

/// On a command line everything is text.
fn as_meant(field: &str, value: Value) -> Value {
    match (&value, field) {
        (Value::String(text), "priority" | "max_retries") => {
            text.trim().parse::<i64>().map_or(value.clone(), Value::from)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queuectl_core::job::Due;

    use super::*;

    fn parse(changes: &[(&str, &str)]) -> Result<Edit, RequestError> {
        let changes = changes.iter().map(|(field, value)| (*field, Value::from(*value)));
        parse_edit(changes, &TimeZone::UTC)
    }

    #[test]
    fn fields_are_read_as_at_enqueue() {
        let edit = parse(&[("priority", "-5"), ("maxRetries", "7"), ("timeout", "none"), ("run-at", "+5m")])
            .expect("all of them");
        assert_eq!((edit.priority, edit.max_retries, edit.timeout), (Some(-5), Some(7), Some(None)));
        assert_eq!(edit.due, Some(Due::After(Duration::from_secs(300))));
        assert_eq!(
            parse(&[("timeout", "90s")]).expect("a duration").timeout,
            Some(Some(Duration::from_secs(90)))
        );
        assert!(parse(&[]).expect("nothing").is_empty());
    }

    #[test]
    fn what_cannot_be_changed_is_refused_by_name() {
        for field in ["id", "state", "tags", "nosuch"] {
            let error = parse(&[(field, "x")]).expect_err("not editable").to_string();
            assert!(error.contains(field) && error.contains("priority"), "{error}");
        }
        assert!(parse(&[("priority", "high")]).is_err());
        assert!(parse(&[("queue", "two words")]).is_err());
        assert!(parse(&[("run_at", "+5m"), ("delay", "3")]).is_err());
    }
}
