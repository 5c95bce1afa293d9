//! The fields of a job in JSON by name: those that can be asked for, those that queuectl tells, and their spellings.

use queuectl_core::job::KIND_COMMAND;
use serde_json::Value;

use super::RequestError;
use super::values::{shorten, shown};

/// The fields that a job takes in JSON; each also in camelCase and kebab-case.
pub const FIELDS: &[&str] = &[
    "id",
    "command",
    "args",
    "queue",
    "priority",
    "max_retries",
    "timeout",
    "run_at",
    "delay",
    "backoff",
    "backoff_base",
    "backoff_max",
    "backoff_jitter",
    "no_retry_on",
    "ok_codes",
    "at_most_once",
    "leftovers",
    "tags",
    "env",
    "pass",
    "dir",
    "stdin",
    "kill_grace",
    "output_max",
    "crash_limit",
];

/// A field that queuectl tells of a job. It is accepted with the value that a new job has, and ignored.
pub(super) struct Told {
    pub name: &'static str,
    pub only: &'static str,
    fits: fn(&Value) -> bool,
}

const fn told(name: &'static str, only: &'static str, fits: fn(&Value) -> bool) -> Told {
    Told { name, only, fits }
}

const TOLD: &[Told] = &[
    told("state", "\"pending\"", |value| value == "pending"),
    told("attempts", "0", is_zero),
    told("created_at", "the date of its enqueue", |value| value.is_string() || value.is_number()),
    told("updated_at", "the date of its enqueue", |value| value.is_string() || value.is_number()),
    told("next_retry_at", "none", Value::is_null),
    told("last_error", "none", Value::is_null),
    told("exit_code", "none", Value::is_null),
    told("worker_id", "none", Value::is_null),
    told("started_at", "none", Value::is_null),
    told("completed_at", "none", Value::is_null),
    told("schema", "1", |value| value == 1),
    told("kind", "\"command\"", |value| value == KIND_COMMAND),
    told("runs", "0", is_zero),
    told("interruptions", "0", is_zero),
    told("cancel_requested", "false", |value| value == false),
];

/// What a name in JSON means.
pub(super) enum Field {
    Asked(&'static str),
    Told(&'static Told),
}

/// The name of a field that can be asked for, by any of its spellings.
pub(super) fn canonical(given: &str) -> Option<&'static str> {
    match find(given) {
        Ok(Field::Asked(field)) => Some(field),
        _ => None,
    }
}

/// Finds a field by any of its spellings.
pub(super) fn find(given: &str) -> Result<Field, RequestError> {
    let name = match snake(given).as_str() {
        "timeout_seconds" => "timeout".to_owned(),
        other => other.to_owned(),
    };
    if let Some(field) = FIELDS.iter().find(|field| **field == name) {
        return Ok(Field::Asked(field));
    }
    if let Some(told) = TOLD.iter().find(|told| told.name == name) {
        return Ok(Field::Told(told));
    }
    let hint = nearest(&name).map(|field| format!(" (did you mean `{field}`?)")).unwrap_or_default();
    Err(RequestError::UnknownField { field: shorten(&given.escape_debug().to_string()), hint })
}

fn snake(given: &str) -> String {
    let mut name = String::new();
    for c in given.chars() {
        if c == '-' {
            name.push('_');
        } else if c.is_ascii_uppercase() {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        } else {
            name.push(c);
        }
    }
    name
}

/// What other queues call our fields.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cmd", "command"),
    ("shell", "command"),
    ("script", "command"),
    ("argv", "args"),
    ("retries", "max_retries"),
    ("max_attempts", "max_retries"),
    ("cwd", "dir"),
    ("workdir", "dir"),
    ("working_directory", "dir"),
    ("environment", "env"),
    ("labels", "tags"),
    ("name", "id"),
    ("job_id", "id"),
    ("scheduled_at", "run_at"),
    ("eta", "run_at"),
];

fn nearest(name: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace('_', "").to_lowercase();
    let known = ELSEWHERE.iter().find(|(other, _)| plain(other) == plain(name)).map(|(_, field)| *field);
    known.or_else(|| queuectl_core::spelling::nearest(name, FIELDS.iter().copied()))
}

impl Told {
    /// Refuses a value that no new job has.
    pub fn check(&self, value: &Value) -> Result<(), RequestError> {
        if value.is_null() || (self.fits)(value) {
            return Ok(());
        }
        Err(RequestError::NotNew { field: self.name, given: shown(value), only: self.only })
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}
