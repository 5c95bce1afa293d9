//! From a request to a job: the settings in force and the enqueuer's surroundings fill in what was not said.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use queuectl_core::environment::{Environment, EnvironmentError};
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, JobSpec, NewJob};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;

use super::check::RESERVED_PREFIX;
use super::{JobRequest, RequestError, parse_run_at};

/// Variables that always travel with a job, as far as the enqueuer has them. `*` ends a prefix.
const CAPTURED: &[&str] = &["PATH", "LANG", "LC_*", "TZ", "VIRTUAL_ENV", "CONDA_*"];

/// Whoever enqueues, as far as it matters to a job.
#[derive(Clone)]
pub struct Enqueuer {
    /// Its directory, absolute. Without one a job runs in the worker's home, and takes no relative path.
    pub dir: Option<Vec<u8>>,
    /// Its whole environment; only a part of it travels.
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of instants without a zone. Asked for only where one is read: a search of the system's zones costs more than an
    /// insert.
    pub time_zone: fn() -> TimeZone,
}

/// Somebody without surroundings, in UTC.
impl Default for Enqueuer {
    fn default() -> Enqueuer {
        Enqueuer { dir: None, variables: Vec::new(), time_zone: || TimeZone::UTC }
    }
}

/// Makes jobs of requests, one after the other. What is the same for all jobs of a queue is found out once.
pub struct JobMaker<'a> {
    settings: &'a Settings,
    enqueuer: &'a Enqueuer,
    /// By the queues as they are asked for.
    bases: HashMap<Option<String>, Base>,
}

/// What a request for a queue begins with.
struct Base {
    /// In the enqueuer's directory, with what is captured of its variables.
    spec: JobSpec,
    pass_env: Vec<String>,
}

/// Queues that a maker remembers at once.
const BASES_MAX: usize = 1_024;

impl<'a> JobMaker<'a> {
    pub fn new(settings: &'a Settings, enqueuer: &'a Enqueuer) -> JobMaker<'a> {
        JobMaker { settings, enqueuer, bases: HashMap::new() }
    }

    /// The job that a request asks for. `next_id` is called if no id is given.
    pub fn job(
        &mut self,
        request: JobRequest,
        next_id: &mut dyn FnMut() -> JobId,
    ) -> Result<NewJob, RequestError> {
        request.check()?;
        let command = request.checked_command()?.ok_or(RequestError::NoCommand)?;
        let due = request.due(self.enqueuer.time_zone)?;
        let enqueuer = self.enqueuer;
        let base = self.base(request.queue.as_ref())?;
        let mut spec = base.spec.clone();
        spec.command = Some(command);
        if !request.pass.is_empty() {
            spec.environment = captured(request.pass.iter().chain(&base.pass_env), enqueuer)?;
        }
        for (name, value) in &request.env {
            spec.environment.set(name.clone(), value.clone())?;
        }
        if let Some(dir) = &request.dir {
            spec.dir = Some(absolute("dir", dir, enqueuer)?);
        }
        spec.stdin = request.stdin.as_deref().map(|file| absolute("stdin", file, enqueuer)).transpose()?;
        let id = request.id.clone().map(JobId::new).transpose()?;
        request.lay_over(&mut spec);
        let generated = id.is_none();
        Ok(NewJob { id: id.unwrap_or_else(next_id), generated, spec, due })
    }

    fn base(&mut self, name: Option<&String>) -> Result<&Base, RequestError> {
        let key = name.cloned();
        if !self.bases.contains_key(&key) {
            if self.bases.len() == BASES_MAX {
                self.bases.clear();
            }
            let queue = key.clone().map(QueueName::new).transpose()?.unwrap_or_default();
            let in_force = self.settings.for_queue(&queue);
            let mut spec = in_force.spec(queue);
            spec.environment = captured(in_force.pass_env.iter(), self.enqueuer)?;
            spec.dir.clone_from(&self.enqueuer.dir);
            self.bases.insert(key.clone(), Base { spec, pass_env: in_force.pass_env });
        }
        Ok(&self.bases[&key])
    }
}

/// Of the enqueuer's variables those that always travel with a job, and those that are asked for.
fn captured<'a>(
    asked: impl Iterator<Item = &'a String>,
    enqueuer: &Enqueuer,
) -> Result<Environment, EnvironmentError> {
    let patterns: Vec<&str> = CAPTURED.iter().copied().chain(asked.map(String::as_str)).collect();
    let mut environment = Environment::default();
    for (name, value) in &enqueuer.variables {
        let own = name.starts_with(RESERVED_PREFIX.as_bytes());
        if !own && patterns.iter().any(|pattern| matches(pattern, name)) {
            environment.set(name.clone(), value.clone())?;
        }
    }
    Ok(environment)
}

impl JobRequest {
    /// The job that this asks for. `next_id` is called if no id is given.
    pub fn into_job(
        self,
        next_id: &mut dyn FnMut() -> JobId,
        settings: &Settings,
        enqueuer: &Enqueuer,
    ) -> Result<NewJob, RequestError> {
        JobMaker::new(settings, enqueuer).job(self, next_id)
    }

    fn due(&self, zone: fn() -> TimeZone) -> Result<Due, RequestError> {
        match (&self.run_at, self.delay) {
            (Some(text), _) => parse_run_at(text, &zone()),
            (None, Some(delay)) => Ok(Due::After(delay)),
            (None, None) => Ok(Due::Now),
        }
    }

    /// Puts plain values into the spec, where they are said.
    fn lay_over(self, spec: &mut JobSpec) {
        fn put<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        put(&mut spec.priority, self.priority);
        put(&mut spec.max_retries, self.max_retries);
        put(&mut spec.timeout, self.timeout.map(|timeout| Some(timeout).filter(|t| !t.is_zero())));
        put(&mut spec.retry.backoff, self.backoff);
        put(&mut spec.retry.base, self.backoff_base);
        put(&mut spec.retry.max, self.backoff_max);
        put(&mut spec.retry.jitter, self.backoff_jitter);
        put(&mut spec.exits.no_retry_on, self.no_retry_on.map(sorted));
        put(&mut spec.exits.ok_codes, self.ok_codes.map(sorted));
        put(&mut spec.at_most_once, self.at_most_once);
        put(&mut spec.leftovers, self.leftovers);
        put(&mut spec.kill_grace, self.kill_grace);
        put(&mut spec.output_max, self.output_max);
        put(&mut spec.crash_limit, self.crash_limit);
        spec.tags = self.tags;
    }
}

fn sorted(mut codes: Vec<i32>) -> Vec<i32> {
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => pattern == "all" || pattern.as_bytes() == name,
    }
}

/// A path as seen from the enqueuer's directory. `.` goes, `..` stays: it may lead through a link.
fn absolute(field: &'static str, path: &[u8], enqueuer: &Enqueuer) -> Result<Vec<u8>, RequestError> {
    let path = Path::new(OsStr::from_bytes(path));
    let joined = match (&enqueuer.dir, path.is_absolute()) {
        (_, true) => path.to_owned(),
        (Some(dir), false) => Path::new(OsStr::from_bytes(dir)).join(path),
        (None, false) => {
            let why = format!("`{}` is relative, and the enqueuer has no directory", path.display());
            return Err(RequestError::Path { field, why });
        }
    };
    Ok(joined.components().collect::<PathBuf>().into_os_string().into_vec())
}
