//! What an enqueuer can say of a job, in any of the ways to say it, and how that becomes a job.
//!
//! [`JobRequest`] holds only what was said; everything may be missing. It comes from JSON ([`JobRequest::from_json`],
//! [`parse_many`]), from flags, or from code; [`JobRequest::merge`] lays one over another. [`JobRequest::into_job`]
//! fills the rest in from the settings in force and from the [`Enqueuer`]. Nothing here reads a clock, the environment
//! or a file.

mod check;
mod codes;
mod edit;
mod error;
mod fields;
mod into_job;
mod json;
mod run_at;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use queuectl_core::job::Leftovers;
use queuectl_core::retry::Backoff;

pub use codes::parse_codes;
pub use edit::{EDITABLE, parse_edit};
pub use error::RequestError;
pub use fields::FIELDS;
pub use into_job::{Enqueuer, JobMaker};
pub use json::{Parsed, parse_many};
pub use run_at::parse_run_at;
pub use values::parse_timeout;

/// Everything that an enqueuer can say of a job. What is not said follows from the settings in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobRequest {
    /// Generated if missing.
    pub id: Option<String>,
    /// A shell line. Excludes `args`; one of the two is needed.
    pub command: Option<String>,
    /// A program and its arguments.
    pub args: Option<Vec<Vec<u8>>>,
    pub queue: Option<String>,
    pub priority: Option<i32>,
    pub max_retries: Option<u32>,
    /// For one attempt; zero means no bound, whatever the settings say.
    pub timeout: Option<Duration>,
    /// As [`parse_run_at`] reads it. Excludes `delay`.
    pub run_at: Option<String>,
    pub delay: Option<Duration>,
    pub backoff: Option<Backoff>,
    pub backoff_base: Option<f64>,
    pub backoff_max: Option<Duration>,
    pub backoff_jitter: Option<bool>,
    pub no_retry_on: Option<Vec<i32>>,
    pub ok_codes: Option<Vec<i32>>,
    pub at_most_once: Option<bool>,
    pub leftovers: Option<Leftovers>,
    pub tags: BTreeMap<String, String>,
    /// Variables with their values.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names of the enqueuer's variables that travel with the job, besides those of `pass-env`. A name may end in `*`;
    /// `all` means every one but our own.
    pub pass: Vec<String>,
    /// Where it runs; the enqueuer's directory if missing. Relative to that.
    pub dir: Option<Vec<u8>>,
    /// A file that it reads. Relative to the enqueuer's directory.
    pub stdin: Option<Vec<u8>>,
    pub kill_grace: Option<Duration>,
    /// In bytes.
    pub output_max: Option<u64>,
    pub crash_limit: Option<u32>,
}

impl JobRequest {
    /// Lays `over` over this: what it says wins. Tags, variables and passed names add up; a command replaces arguments
    /// and the other way round, and so do `run_at` and `delay`.
    pub fn merge(self, over: JobRequest) -> JobRequest {
        let new_command = over.command.is_some() || over.args.is_some();
        let (command, args) = if new_command { (over.command, over.args) } else { (self.command, self.args) };
        let new_due = over.run_at.is_some() || over.delay.is_some();
        let (run_at, delay) = if new_due { (over.run_at, over.delay) } else { (self.run_at, self.delay) };
        let (mut tags, mut env, mut pass) = (self.tags, self.env, self.pass);
        tags.extend(over.tags);
        env.extend(over.env);
        pass.extend(over.pass);
        JobRequest {
            id: over.id.or(self.id),
            command,
            args,
            queue: over.queue.or(self.queue),
            priority: over.priority.or(self.priority),
            max_retries: over.max_retries.or(self.max_retries),
            timeout: over.timeout.or(self.timeout),
            run_at,
            delay,
            backoff: over.backoff.or(self.backoff),
            backoff_base: over.backoff_base.or(self.backoff_base),
            backoff_max: over.backoff_max.or(self.backoff_max),
            backoff_jitter: over.backoff_jitter.or(self.backoff_jitter),
            no_retry_on: over.no_retry_on.or(self.no_retry_on),
            ok_codes: over.ok_codes.or(self.ok_codes),
            at_most_once: over.at_most_once.or(self.at_most_once),
            leftovers: over.leftovers.or(self.leftovers),
            tags,
            env,
            pass,
            dir: over.dir.or(self.dir),
            stdin: over.stdin.or(self.stdin),
            kill_grace: over.kill_grace.or(self.kill_grace),
            output_max: over.output_max.or(self.output_max),
            crash_limit: over.crash_limit.or(self.crash_limit),
        }
    }
}
