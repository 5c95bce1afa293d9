//! The configuration that all workers share: keys, their checks, their defaults, and what they mean for a queue.
//!
//! A value is kept as it was given; each key may be set for one queue besides. Other spellings of a key
//! (`max_retries`, `maxRetries`) are the same key. An *alias* is a key of this family with the meaning of one of ours
//! (in its own unit); an *inert* key is accepted, kept and shown, where the design needs no such knob.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::duration::{format_duration, parse_duration};
use crate::job::JobSpec;
use crate::limits;
use crate::queue::QueueName;

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number between these bounds.
    Count {
        min: u64,
        max: u64,
    },
    /// A number of at least 1, fractions allowed.
    Factor,
    /// A duration; a bare number is seconds.
    Span,
    /// A duration; a bare number is milliseconds.
    MillisSpan,
    /// A duration or `none`.
    OptionalSpan,
    /// A size: bytes, or with K, M, G (1024).
    Bytes,
    Switch,
    /// Words separated by blanks or commas, or `all`.
    Names,
    /// A program and its options, separated by blanks.
    Words,
    /// Any text.
    Text,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be given; empty where nothing is set unless someone sets it.
    pub default: &'static str,
    /// The key whose meaning it has.
    pub alias_of: Option<&'static str>,
    pub about: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, alias_of: None, about }
}

const fn alias(name: &'static str, kind: Kind, of: &'static str, about: &'static str) -> Key {
    Key { name, kind, default: "", alias_of: Some(of), about }
}

/// Every key that exists.
pub const KEYS: &[Key] = &[
    key(
        "max-retries",
        Kind::Count { min: 0, max: limits::MAX_RETRIES_MAX as u64 },
        "3",
        "executions of a failing job before it is dead",
    ),
    key("backoff-base", Kind::Factor, "2", "the wait after attempt n is base^n seconds"),
    key("backoff-max", Kind::Span, "1h", "longest wait between attempts"),
    key("backoff-jitter", Kind::Switch, "off", "draw the wait evenly from zero to its full length"),
    key("job-timeout", Kind::OptionalSpan, "none", "longest run of one attempt"),
    key("kill-grace", Kind::Span, "10s", "between TERM and KILL"),
    key("poll-interval", Kind::Span, "1s", "how often an idle worker looks even if nobody rang"),
    key(
        "crash-limit",
        Kind::Count { min: 1, max: 1_000_000 },
        "3",
        "interruptions by a crash before a job is dead",
    ),
    key("output-max", Kind::Bytes, "16M", "kept of one attempt's output, head and tail"),
    key("retain-completed", Kind::OptionalSpan, "none", "delete completed jobs after this long"),
    key("retain-dead", Kind::OptionalSpan, "none", "delete dead jobs after this long"),
    key(
        "max-running",
        Kind::Count { min: 0, max: 1_000_000 },
        "0",
        "most jobs of a queue that run at once, over all workers; 0 = no limit",
    ),
    key("pass-env", Kind::Names, "", "variables that travel from the enqueuer to the job"),
    key("shell", Kind::Words, "/bin/sh -c", "what runs a shell line"),
    key("on-dead", Kind::Text, "", "a shell line enqueued into queue `hooks` when a job dies"),
    key("stop-timeout", Kind::OptionalSpan, "none", "how long `worker stop` waits"),
    alias("poll-interval-ms", Kind::MillisSpan, "poll-interval", "poll-interval in milliseconds"),
    alias("worker-poll-interval", Kind::Span, "poll-interval", "poll-interval"),
    alias("default-timeout", Kind::OptionalSpan, "job-timeout", "job-timeout"),
    alias("stop-timeout-seconds", Kind::OptionalSpan, "stop-timeout", "stop-timeout"),
    key("recovery-timeout", Kind::Span, "", "no effect: a dead worker is noticed by its lock, at once"),
    key("recovery-interval", Kind::Span, "", "no effect: recovery runs at least once a second"),
    key("worker-timeout", Kind::Span, "", "no effect: a dead worker is noticed by its lock, at once"),
    key("heartbeat-interval", Kind::Span, "", "no effect: nobody needs a heartbeat"),
];

/// Why a key or a value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("there is no key `{given}`; the keys are: {}", key_names().join(", "))]
    UnknownKey { given: String },
    #[error("`{value}` is no value for {key}: {expected}")]
    BadValue { key: &'static str, value: String, expected: String },
}

/// The names of all keys, in the order of the docs.
pub fn key_names() -> Vec<&'static str> {
    KEYS.iter().map(|key| key.name).collect()
}

/// Finds a key by any of its spellings.
pub fn find_key(given: &str) -> Result<&'static Key, SettingError> {
    let name = kebab(given);
    KEYS.iter()
        .find(|key| key.name == name)
        .ok_or_else(|| SettingError::UnknownKey { given: given.to_owned() })
}

fn kebab(given: &str) -> String {
    let mut name = String::new();
    for c in given.trim().chars() {
        if c == '_' {
            name.push('-');
        } else if c.is_ascii_uppercase() {
            if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        } else {
            name.push(c);
        }
    }
    name
}

impl Key {
    /// Checks a value without keeping it.
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        let bad =
            |expected: String| SettingError::BadValue { key: self.name, value: value.to_owned(), expected };
        match self.kind {
            Kind::Count { min, max } => match value.trim().parse::<u64>() {
                Ok(n) if (min..=max).contains(&n) => Ok(()),
                _ => Err(bad(format!("a whole number from {min} to {max}"))),
            },
            Kind::Factor => match value.trim().parse::<f64>() {
                Ok(n) if n >= 1.0 && n.is_finite() => Ok(()),
                _ => Err(bad("a number of at least 1, fractions allowed".to_owned())),
            },
            Kind::Span => parse_duration(value).map(drop).map_err(|e| bad(e.to_string())),
            Kind::MillisSpan => parse_millis(value).map(drop).map_err(bad),
            Kind::OptionalSpan => parse_optional(value).map(drop).map_err(bad),
            Kind::Bytes => match parse_bytes(value) {
                Some(n) if (limits::OUTPUT_BYTES_MIN..=limits::OUTPUT_BYTES_MAX).contains(&n) => Ok(()),
                _ => Err(bad("a size from 64K to 1024G, such as 65536, 64K, 16M, 2G".to_owned())),
            },
            Kind::Switch => match parse_switch(value) {
                Some(_) => Ok(()),
                None => Err(bad("`on` or `off`".to_owned())),
            },
            Kind::Words if value.split_whitespace().next().is_none() => {
                Err(bad("a program and its options, such as `/bin/sh -c`".to_owned()))
            }
            Kind::Names if value.contains('=') => {
                Err(bad("names of variables without `=`, or `all`".to_owned()))
            }
            Kind::Names | Kind::Words | Kind::Text if value.contains('\0') => {
                Err(bad("a text without NUL".to_owned()))
            }
            Kind::Words => match value.split_whitespace().collect::<Vec<_>>().as_slice() {
                [] => Err(bad("a program and its options, such as `/bin/sh -c`".to_owned())),
                // Alone it would take the line for the name of a script.
                [shell] if SHELLS.contains(&shell.rsplit('/').next().unwrap_or_default()) => {
                    Err(bad(format!("with the option that takes a line: `{shell} -c`")))
                }
                _ => Ok(()),
            },
            Kind::Names | Kind::Text => Ok(()),
        }
    }

    /// The keys that share its meaning; setting one unsets the others.
    pub fn siblings(&self) -> impl Iterator<Item = &'static Key> {
        let (name, root) = (self.name, self.alias_of.unwrap_or(self.name));
        KEYS.iter().filter(move |key| key.name != name && (key.name == root || key.alias_of == Some(root)))
    }
}

/// Shells that take a line only behind `-c`.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "fish", "ash"];

fn parse_millis(value: &str) -> Result<Duration, String> {
    match value.trim().parse::<u64>() {
        Ok(millis) if millis <= limits::DURATION_MS_MAX as u64 => Ok(Duration::from_millis(millis)),
        Ok(_) => Err("at most a hundred years".to_owned()),
        // Read as a duration, a bare fraction would be seconds.
        Err(_) if value.trim().parse::<f64>().is_ok() => Err("whole milliseconds, or with a unit".to_owned()),
        Err(_) => parse_duration(value).map_err(|e| e.to_string()),
    }
}

fn parse_optional(value: &str) -> Result<Option<Duration>, String> {
    match value.trim() {
        "none" | "never" | "off" | "forever" | "" => Ok(None),
        text => parse_duration(text).map(Some).map_err(|e| format!("{e}, or `none`")),
    }
}

fn parse_switch(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A size in bytes: `65536`, `64K`, `16M`, `16MiB`, `2G`.
pub fn parse_bytes(value: &str) -> Option<u64> {
    let text = value.trim().to_ascii_uppercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// What has been set: the truth of the store at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Rises with every change.
    pub version: u64,
    /// By queue (`None`: for all) and key name, the values as given.
    pub values: BTreeMap<(Option<QueueName>, String), String>,
}

impl Settings {
    /// The value of a key as given, else its default; for a queue, that queue's own value first.
    pub fn raw(&self, queue: Option<&QueueName>, key: &'static Key) -> String {
        self.given(queue, key).unwrap_or_else(|| key.default.to_owned())
    }

    /// The value of a key as given, if someone set it (or a key of the same meaning, in this key's unit).
    pub fn given(&self, queue: Option<&QueueName>, key: &'static Key) -> Option<String> {
        queue.and_then(|queue| self.scoped(Some(queue), key)).or_else(|| self.scoped(None, key))
    }

    fn scoped(&self, queue: Option<&QueueName>, key: &'static Key) -> Option<String> {
        let at = |name: &str| self.values.get(&(queue.cloned(), name.to_owned())).cloned();
        at(key.name).or_else(|| {
            let sibling = key.siblings().find(|sibling| at(sibling.name).is_some())?;
            Some(convert(sibling.kind, key.kind, &at(sibling.name)?))
        })
    }

    /// The typed values in force for a queue.
    pub fn for_queue(&self, queue: &QueueName) -> QueueSettings {
        // A value that a hand wrote into the database past the check counts as not set.
        let raw = |name: &str| {
            let key = find_key(name).expect("a key of the table");
            let given = self.given(Some(queue), key).filter(|value| key.check(value).is_ok());
            given.unwrap_or_else(|| key.default.to_owned())
        };
        let span = |name: &str| parse_duration(&raw(name)).expect("checked");
        let optional = |name: &str| parse_optional(&raw(name)).expect("checked");
        let count = |name: &str| raw(name).trim().parse::<u64>().expect("checked");
        let words = |name: &str| raw(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        QueueSettings {
            max_retries: count("max-retries") as u32,
            backoff_base: raw("backoff-base").trim().parse().expect("checked"),
            backoff_max: span("backoff-max"),
            backoff_jitter: parse_switch(&raw("backoff-jitter")).expect("checked"),
            job_timeout: optional("job-timeout").filter(|timeout| !timeout.is_zero()),
            kill_grace: span("kill-grace"),
            poll_interval: span("poll-interval"),
            crash_limit: count("crash-limit") as u32,
            output_max: parse_bytes(&raw("output-max")).expect("checked"),
            retain_completed: optional("retain-completed"),
            retain_dead: optional("retain-dead"),
            max_running: count("max-running"),
            pass_env: names(&raw("pass-env")),
            shell: words("shell"),
            on_dead: Some(raw("on-dead")).filter(|line| !line.trim().is_empty()),
            stop_timeout: optional("stop-timeout"),
        }
    }
}

fn names(value: &str) -> Vec<String> {
    value
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn convert(from: Kind, to: Kind, value: &str) -> String {
    match (from, to) {
        (Kind::MillisSpan, Kind::Span) => parse_millis(value).map(format_duration).unwrap_or_default(),
        (Kind::Span, Kind::MillisSpan) => {
            parse_duration(value).map(|span| span.as_millis().to_string()).unwrap_or_default()
        }
        _ => value.to_owned(),
    }
}

/// The values in force for one queue, typed.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    pub max_retries: u32,
    pub backoff_base: f64,
    pub backoff_max: Duration,
    pub backoff_jitter: bool,
    pub job_timeout: Option<Duration>,
    pub kill_grace: Duration,
    pub poll_interval: Duration,
    pub crash_limit: u32,
    pub output_max: u64,
    pub retain_completed: Option<Duration>,
    pub retain_dead: Option<Duration>,
    /// 0: no limit.
    pub max_running: u64,
    pub pass_env: Vec<String>,
    pub shell: Vec<String>,
    pub on_dead: Option<String>,
    pub stop_timeout: Option<Duration>,
}

impl QueueSettings {
    /// A job with these values, for this queue.
    pub fn spec(&self, queue: QueueName) -> JobSpec {
        let mut spec = JobSpec { queue, ..JobSpec::default() };
        spec.max_retries = self.max_retries;
        spec.retry.base = self.backoff_base;
        spec.retry.max = self.backoff_max;
        spec.retry.jitter = self.backoff_jitter;
        spec.timeout = self.job_timeout;
        spec.kill_grace = self.kill_grace;
        spec.crash_limit = self.crash_limit;
        spec.output_max = self.output_max;
        spec.shell.clone_from(&self.shell);
        spec
    }
}
