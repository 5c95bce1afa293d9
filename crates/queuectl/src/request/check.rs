//! What can be said of a request without knowing settings or enqueuer.

use std::time::Duration;

use queuectl_core::command::Command;
use queuectl_core::duration::{DurationError, format_duration};
use queuectl_core::environment::Environment;
use queuectl_core::id::JobId;
use queuectl_core::limits::{DURATION_MS_MAX, PRIORITY_MAX, PRIORITY_MIN, TAG_CHARS_MAX, TAGS_MAX};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::find_key;

use super::codes::CODES;
use super::{JobRequest, RequestError};

/// Names that begin so are queuectl's own: its settings at the enqueuer, its facts in the job.
pub(super) const RESERVED_PREFIX: &str = "QUEUECTL_";

impl JobRequest {
    /// Refuses what no settings could make a job of. A missing command is not refused yet.
    pub fn check(&self) -> Result<(), RequestError> {
        self.id.clone().map(JobId::new).transpose()?;
        self.queue.clone().map(QueueName::new).transpose()?;
        self.checked_command()?;
        if self.run_at.is_some() && self.delay.is_some() {
            return Err(RequestError::RunAtAndDelay);
        }
        self.check_numbers()?;
        self.check_durations()?;
        self.check_codes()?;
        self.check_tags()?;
        self.check_variables()?;
        check_path("dir", self.dir.as_deref())?;
        check_path("stdin", self.stdin.as_deref())
    }

    /// The command, if the request names one.
    pub(super) fn checked_command(&self) -> Result<Option<Command>, RequestError> {
        match (&self.command, &self.args) {
            (Some(_), Some(_)) => Err(RequestError::CommandAndArgs),
            (Some(line), None) => Ok(Some(Command::shell(line.clone())?)),
            (None, Some(words)) => Ok(Some(Command::argv(words.clone())?)),
            (None, None) => Ok(None),
        }
    }

    fn check_numbers(&self) -> Result<(), RequestError> {
        if let Some(priority) = self.priority.filter(|n| !(PRIORITY_MIN..=PRIORITY_MAX).contains(n)) {
            return Err(RequestError::BadField {
                field: "priority".to_owned(),
                expected: format!("a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"),
                given: priority.to_string(),
            });
        }
        // The bounds of these are those of the keys that stand in for them.
        let values = [
            ("max-retries", self.max_retries.map(|n| n.to_string())),
            ("backoff-base", self.backoff_base.map(|n| n.to_string())),
            ("output-max", self.output_max.map(|n| n.to_string())),
            ("crash-limit", self.crash_limit.map(|n| n.to_string())),
        ];
        for (key, value) in values {
            if let Some(value) = value {
                find_key(key)?.check(&value)?;
            }
        }
        Ok(())
    }

    fn check_durations(&self) -> Result<(), RequestError> {
        let durations = [
            ("timeout", self.timeout),
            ("delay", self.delay),
            ("backoff_max", self.backoff_max),
            ("kill_grace", self.kill_grace),
        ];
        let max = Duration::from_millis(DURATION_MS_MAX as u64);
        for (field, duration) in durations {
            if let Some(duration) = duration.filter(|duration| *duration > max) {
                let error = DurationError::TooLong(format_duration(duration));
                return Err(RequestError::Duration { field, error });
            }
        }
        Ok(())
    }

    fn check_codes(&self) -> Result<(), RequestError> {
        for (field, codes) in [("no_retry_on", &self.no_retry_on), ("ok_codes", &self.ok_codes)] {
            if let Some(code) = codes.iter().flatten().find(|code| !CODES.contains(code)) {
                return Err(RequestError::BadField {
                    field: field.to_owned(),
                    expected: "exit codes from 0 to 255".to_owned(),
                    given: code.to_string(),
                });
            }
        }
        Ok(())
    }

    fn check_tags(&self) -> Result<(), RequestError> {
        if self.tags.len() > TAGS_MAX {
            return Err(RequestError::TooManyTags(self.tags.len()));
        }
        let fits = |text: &str| text.chars().count() <= TAG_CHARS_MAX && !text.chars().any(char::is_control);
        let bad = |(key, value): &(&String, &String)| {
            key.is_empty() || key.contains('=') || !fits(key) || !fits(value)
        };
        match self.tags.iter().find(bad) {
            Some((key, _)) => Err(RequestError::Tag { key: key.escape_debug().to_string() }),
            None => Ok(()),
        }
    }

    fn check_variables(&self) -> Result<(), RequestError> {
        let reserved = |name: &[u8]| {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            let own = name.starts_with(RESERVED_PREFIX.as_bytes());
            if own { Err(RequestError::ReservedVariable(shown)) } else { Ok(()) }
        };
        let mut environment = Environment::default();
        for (name, value) in &self.env {
            reserved(name)?;
            environment.set(name.clone(), value.clone())?;
        }
        for name in &self.pass {
            reserved(name.as_bytes())?;
            // The name alone is asked for; nothing is kept.
            Environment::default().set(name.as_str(), "")?;
        }
        Ok(())
    }
}

fn check_path(field: &'static str, path: Option<&[u8]>) -> Result<(), RequestError> {
    let refused = |why: &str| Err(RequestError::Path { field, why: why.to_owned() });
    match path {
        Some([]) => refused("it is empty"),
        Some(path) if path.contains(&0) => refused("it holds a NUL byte"),
        _ => Ok(()),
    }
}
