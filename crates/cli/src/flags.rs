//! The flags that describe a job, the same for `enqueue`, `add` and `run`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use queuectl::JobRequest;
use queuectl::core::duration::parse_duration;
use queuectl::core::job::Leftovers;
use queuectl::core::retry::Backoff;
use queuectl::request::{parse_codes, parse_timeout};

/// Options of a job.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Job options")]
pub struct JobFlags {
    /// Its id; one is made if none is given
    #[arg(long)]
    id: Option<String>,
    /// Its queue
    #[arg(long, short)]
    queue: Option<String>,
    /// Higher first
    #[arg(long, short, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Executions before it is dead
    #[arg(long, short = 'r', visible_alias = "retries")]
    max_retries: Option<u32>,
    /// Longest run of one attempt: 90, 500ms, 5m
    #[arg(long, short, value_name = "DURATION", value_parser = timeout, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// Not before: ISO-8601, epoch seconds, or +5m
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    run_at: Option<String>,
    /// Not before so long from now
    #[arg(long, short, value_name = "DURATION", value_parser = duration, allow_negative_numbers = true)]
    delay: Option<Duration>,
    /// How the wait between attempts grows
    #[arg(long, value_parser = backoff)]
    backoff: Option<Backoff>,
    /// The wait after attempt n is base^n seconds
    #[arg(long)]
    backoff_base: Option<f64>,
    /// Longest wait between attempts
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    backoff_max: Option<Duration>,
    /// Exit codes after which it is dead at once: 2,64-78
    #[arg(long, value_name = "CODES", value_parser = codes)]
    no_retry_on: Option<Codes>,
    /// Exit codes that mean success besides 0
    #[arg(long, value_name = "CODES", value_parser = codes)]
    ok_codes: Option<Codes>,
    /// Never run it twice: any unclean end makes it dead
    #[arg(long)]
    at_most_once: bool,
    /// What becomes of processes that outlive it: kill or keep
    #[arg(long, value_parser = leftovers)]
    leftovers: Option<Leftovers>,
    /// A tag
    #[arg(long = "tag", value_name = "K=V", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// A variable of its environment
    #[arg(long = "env", value_name = "K=V")]
    env: Vec<OsString>,
    /// A variable of yours that travels with it
    #[arg(long = "pass", value_name = "NAME")]
    pass: Vec<String>,
    /// Where it runs
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A file that it reads
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
}

/// Exit codes as one value of the parser, which would take a list apart.
#[derive(Debug, Clone)]
struct Codes(Vec<i32>);

impl JobFlags {
    /// What the flags say, without a command.
    pub fn request(self) -> Result<JobRequest, String> {
        let bytes = |path: PathBuf| path.into_os_string().into_vec();
        let tags = self.tags;
        let mut request = JobRequest {
            id: self.id,
            queue: self.queue,
            priority: self.priority,
            max_retries: self.max_retries,
            timeout: self.timeout,
            run_at: self.run_at,
            delay: self.delay,
            backoff: self.backoff,
            backoff_base: self.backoff_base,
            backoff_max: self.backoff_max,
            no_retry_on: self.no_retry_on.map(|codes| codes.0),
            ok_codes: self.ok_codes.map(|codes| codes.0),
            at_most_once: self.at_most_once.then_some(true),
            leftovers: self.leftovers,
            tags: tags.iter().cloned().collect(),
            pass: self.pass,
            dir: self.dir.map(bytes),
            stdin: self.stdin.map(bytes),
            ..JobRequest::default()
        };
        if let Some((key, _)) = tags
            .iter()
            .enumerate()
            .find(|(at, (key, _))| tags[..*at].iter().any(|(k, _)| k == key))
            .map(|(_, tag)| tag)
        {
            return Err(format!("the tag `{key}` is given twice; keep one"));
        }
        for variable in self.env {
            let variable = variable.into_vec();
            let Some(at) = variable.iter().position(|byte| *byte == b'=') else {
                let shown = String::from_utf8_lossy(&variable);
                return Err(format!(
                    "--env takes NAME=VALUE, not `{shown}`; --pass {shown} takes yours along"
                ));
            };
            request.env.insert(variable[..at].to_vec(), variable[at + 1..].to_vec());
        }
        Ok(request)
    }
}

/// Words after `--` as arguments of a job; `None` if there are none.
pub fn args(words: Vec<OsString>) -> Option<Vec<Vec<u8>>> {
    (!words.is_empty()).then(|| words.into_iter().map(OsString::into_vec).collect())
}

fn timeout(text: &str) -> Result<Duration, String> {
    parse_timeout(text).map_err(|e| e.to_string())
}

/// A duration on the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

fn codes(text: &str) -> Result<Codes, String> {
    parse_codes(text).map(Codes).map_err(|e| e.to_string())
}

fn backoff(text: &str) -> Result<Backoff, String> {
    Backoff::parse(text).ok_or_else(|| "it is exponential, linear or fixed".to_owned())
}

fn leftovers(text: &str) -> Result<Leftovers, String> {
    match text {
        "kill" => Ok(Leftovers::Kill),
        "keep" => Ok(Leftovers::Keep),
        _ => Err("it is kill or keep".to_owned()),
    }
}

/// `K=V`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
