//! One job a line: every line is found before anything is enqueued; then all are, or none.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};

use queuectl::core::id::JobId;
use queuectl::core::job::NewJob;
use queuectl::core::limits::{ENQUEUE_FAULTS_NAMED_MAX, ENQUEUE_JOBS_MAX, ENQUEUE_LINE_BYTES_MAX};
use queuectl::core::queue::QueueName;
use queuectl::core::settings::Settings;
use queuectl::{Client, Enqueuer, JobMaker, JobRequest};

use super::doubles::Doubles;
use super::input::{Line, Lines, Spooled};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::terminal::{clean, complain};

/// How a line becomes a job.
#[derive(Debug, Clone)]
pub enum Form {
    /// It is a JSON object; these flags lie over it.
    Json { flags: Box<JobRequest> },
    /// It is handed over as the last argument, to the shell line of the request or to its program.
    Argument { request: Box<JobRequest> },
}

/// What to do with an input of lines.
#[derive(Debug, Clone)]
pub struct Bulk {
    pub form: Form,
    /// Ends a line.
    pub end: u8,
    /// Takes the good lines and reports the others.
    pub skip_invalid: bool,
}

/// What has been enqueued.
pub struct Loaded {
    pub count: u64,
    /// For whom nobody may be there.
    pub queues: BTreeSet<QueueName>,
    /// None of them was asked to wait for a time.
    pub at_once: bool,
    ids: Ids,
}

/// The ids of what has been enqueued: a few in memory, many in a file.
enum Ids {
    Few(Vec<JobId>),
    Many(std::fs::File),
}

impl Loaded {
    /// What these requests have become.
    pub fn of(requests: &[JobRequest], ids: Vec<JobId>) -> Loaded {
        let queue = |request: &JobRequest| match &request.queue {
            Some(name) => QueueName::new(name.as_str()).ok(),
            None => Some(QueueName::default()),
        };
        let queues = requests.iter().filter_map(queue).collect();
        let at_once = requests.iter().all(|request| request.run_at.is_none() && request.delay.is_none());
        Loaded { count: ids.len() as u64, queues, at_once, ids: Ids::Few(ids) }
    }

    /// All ids, in their order; only if there are few of them, or they were asked for.
    pub fn ids(&self) -> Result<Box<dyn Iterator<Item = JobId> + '_>, Failure> {
        match &self.ids {
            Ids::Few(ids) => Ok(Box::new(ids.iter().cloned())),
            Ids::Many(file) => {
                let mut file = file;
                file.seek(SeekFrom::Start(0)).map_err(|error| spool_failed(&error))?;
                let lines = BufReader::new(file).lines().map_while(Result::ok);
                Ok(Box::new(lines.map(JobId::from_store)))
            }
        }
    }
}

/// Checks every line, then enqueues. `keep_ids`: they will be asked for.
pub async fn load(
    client: &Client,
    bulk: &Bulk,
    spooled: &Spooled,
    enqueuer: &Enqueuer,
    keep_ids: bool,
) -> Result<Loaded, Failure> {
    let settings = client.settings().await?;
    let mut checker = Checker::new(bulk, enqueuer, &settings);
    let mut found = check_all(client, spooled, &mut checker)?;
    if checker.doubles.suspects().map_err(|error| spool_failed(&error))? {
        found = check_all(client, spooled, &mut checker)?;
        checker.doubles.suspects().map_err(|error| spool_failed(&error))?;
    }
    let (few, total, queues) = judge(client, found, &checker).await?;
    if let Some(jobs) = few {
        let count = jobs.len() as u64;
        let ids = if jobs.is_empty() { Vec::new() } else { client.insert(jobs).await? };
        return Ok(Loaded { count, queues, at_once: false, ids: Ids::Few(ids) });
    }
    let loader = client.load().await?;
    let progress = Progress::new("Enqueueing jobs", Some(total));
    let mut file = tempfile::tempfile().map_err(|error| spool_failed(&error))?;
    let mut lines = spooled.lines(bulk.end)?;
    let mut count = 0;
    let mut step = next_step(client, &mut lines, &mut checker)?;
    let result = loop {
        if step.is_empty() {
            break Ok(());
        }
        if bulk.skip_invalid {
            retain_new(client, &mut step).await?;
        }
        // While the store takes one step, the next is read.
        let reading = async { next_step(client, &mut lines, &mut checker) };
        let (added, next) = tokio::join!(loader.add(&mut step), reading);
        if let Err(error) = added {
            break Err(error);
        }
        if keep_ids {
            let text: String = step.iter().map(|job| format!("{}\n", job.id)).collect();
            file.write_all(text.as_bytes()).map_err(|error| spool_failed(&error))?;
        }
        count += step.len() as u64;
        progress.add(step.len() as u64);
        step = next?;
    };
    drop(progress);
    match result {
        Ok(()) => {
            let progress = Progress::new("Making them ready", Some(count));
            loader.open(|ready| progress.add(ready)).await?;
            Ok(Loaded { count, queues, at_once: false, ids: Ids::Many(file) })
        }
        Err(error) => {
            loader.abandon().await?;
            Err(error.into())
        }
    }
}

/// The jobs of the next lines, as many as one transaction takes; none at the end.
fn next_step(
    client: &Client,
    lines: &mut Lines<'_>,
    checker: &mut Checker<'_>,
) -> Result<Vec<NewJob>, Failure> {
    let mut step = Vec::new();
    while step.len() < ENQUEUE_JOBS_MAX
        && let Some(line) = lines.next()?
    {
        step.extend(checker.check(client, line).ok().flatten());
    }
    Ok(step)
}

fn spool_failed(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("cannot use a temporary file: {error}"))
        .hint("TMPDIR names another directory for it")
}

/// What a look at every line has found.
#[derive(Default)]
struct Checked {
    /// The jobs themselves, if they fit one transaction.
    few: Option<Vec<NewJob>>,
    total: u64,
    queues: BTreeSet<QueueName>,
    wrong: u64,
    /// What is wrong, of the first of these lines.
    faults: Vec<String>,
}

/// Checks every line.
fn check_all(client: &Client, spooled: &Spooled, checker: &mut Checker) -> Result<Checked, Failure> {
    checker.duplicates = 0;
    let mut found = Checked { few: Some(Vec::new()), ..Checked::default() };
    let mut lines = spooled.lines(checker.bulk.end)?;
    while let Some(line) = lines.next()? {
        match checker.check(client, line) {
            Ok(None) => {}
            Ok(Some(job)) => {
                found.total += 1;
                if !found.queues.contains(&job.spec.queue) {
                    found.queues.insert(job.spec.queue.clone());
                }
                if let Some(kept) = &mut found.few {
                    kept.push(job);
                    if kept.len() > ENQUEUE_JOBS_MAX {
                        found.few = None;
                    }
                }
            }
            Err(fault) => {
                found.wrong += 1;
                if found.faults.len() < ENQUEUE_FAULTS_NAMED_MAX {
                    found.faults.push(fault);
                }
            }
        }
    }
    Ok(found)
}

/// Says what is wrong. Returns the jobs if they are few, how many there are, and their queues.
async fn judge(
    client: &Client,
    found: Checked,
    checker: &Checker<'_>,
) -> Result<(Option<Vec<NewJob>>, u64, BTreeSet<QueueName>), Failure> {
    let Checked { few: mut jobs, total, queues, wrong, mut faults } = found;
    let bulk = checker.bulk;
    for note in &checker.notes {
        complain(&format!("Note: {note}"));
    }
    if wrong > faults.len() as u64 {
        faults.push(format!("and {} more", wrong - faults.len() as u64));
    }
    if matches!(&bulk.form, Form::Json { flags } if flags.id.is_some()) && total + wrong > 1 {
        return Err(one_id());
    }
    if wrong > 0 && !bulk.skip_invalid {
        // Only doubles: refused as a job that is there already is.
        let exit = if checker.duplicates == wrong { Exit::Refused } else { Exit::Usage };
        return Err(Failure::new(exit, faults.join("\n"))
            .hint("nothing was enqueued; --skip-invalid takes the good lines and reports the others"));
    }
    if wrong > 0 {
        let noun = if wrong == 1 { "line" } else { "lines" };
        complain(&format!("Note: skipped {wrong} {noun}:\n{}", faults.join("\n")));
    }
    if total == 0 && wrong == 0 && matches!(bulk.form, Form::Json { .. }) {
        return Err(queuectl::RequestError::NoJob.into());
    }
    if let (Some(jobs), true) = (&mut jobs, bulk.skip_invalid) {
        retain_new(client, jobs).await?;
    }
    Ok((jobs, total, queues))
}

/// Leaves out jobs whose given ids exist already, and says which.
async fn retain_new(client: &Client, jobs: &mut Vec<NewJob>) -> Result<(), Failure> {
    let ids: Vec<JobId> = jobs.iter().filter(|job| !job.generated).map(|job| job.id.clone()).collect();
    let states = client.states(&ids).await?;
    let there: HashSet<JobId> =
        ids.into_iter().zip(states).filter(|(_, state)| state.is_some()).map(|(id, _)| id).collect();
    if there.is_empty() {
        return Ok(());
    }
    let mut named: Vec<&str> = there.iter().map(JobId::as_str).take(ENQUEUE_FAULTS_NAMED_MAX).collect();
    named.sort_unstable();
    complain(&format!("Note: skipped {} jobs that already exist: {}", there.len(), named.join(", ")));
    jobs.retain(|job| job.generated || !there.contains(&job.id));
    Ok(())
}

/// Makes jobs of lines, one after the other.
struct Checker<'a> {
    bulk: &'a Bulk,
    settings: &'a Settings,
    maker: JobMaker<'a>,
    doubles: Doubles,
    notes: BTreeSet<String>,
    /// Lines whose id was on a line before.
    duplicates: u64,
}

impl<'a> Checker<'a> {
    fn new(bulk: &'a Bulk, enqueuer: &'a Enqueuer, settings: &'a Settings) -> Checker<'a> {
        let (doubles, notes) = (Doubles::gather(), BTreeSet::new());
        Checker { bulk, settings, maker: JobMaker::new(settings, enqueuer), doubles, notes, duplicates: 0 }
    }

    /// The job of a line; none if it is blank JSON. Else what is wrong with the line.
    fn check(&mut self, client: &Client, line: Line) -> Result<Option<NewJob>, String> {
        let number = line.number;
        let wrong = |what: String| format!("line {number}: {}", clean(&what));
        if line.too_long {
            return Err(wrong(format!("it is longer than {ENQUEUE_LINE_BYTES_MAX} bytes")));
        }
        let request = match &self.bulk.form {
            Form::Json { flags } => match self.json(line)? {
                Some(request) => request.merge((**flags).clone()),
                None => return Ok(None),
            },
            Form::Argument { request } => self.argument(request, line.bytes).map_err(wrong)?,
        };
        let job = self.maker.job(request, &mut || client.next_id());
        let job = job.map_err(|error| wrong(error.to_string()))?;
        if !job.generated {
            let id = job.id.as_str();
            let unusable = |error| wrong(format!("a temporary file cannot be used: {error}"));
            if self.doubles.is_double(id).map_err(unusable)? {
                self.duplicates += 1;
                return Err(wrong(format!("job `{id}` already exists, on a line before")));
            }
        }
        Ok(Some(job))
    }

    fn json(&mut self, line: Line) -> Result<Option<JobRequest>, String> {
        let Line { number, bytes, .. } = line;
        let bytes = if number == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let column = error.valid_up_to() + 1;
            format!("invalid JSON at line {number} column {column}: it is not UTF-8")
        })?;
        let parsed = JobRequest::from_json(text).map_err(|error| match error {
            queuectl::RequestError::Json { column, what, .. } => {
                format!("invalid JSON at line {number} column {column}: {}", clean(&what))
            }
            other => format!("line {number}: {}", clean(&other.to_string())),
        })?;
        self.notes.extend(parsed.notes);
        Ok(Some(parsed.request))
    }

    /// The line stands alone in its own argument, never inside of a text that a shell reads.
    fn argument(&self, request: &JobRequest, line: Vec<u8>) -> Result<JobRequest, String> {
        if line.contains(&0) {
            return Err("it has a NUL byte, which no argument can have".to_owned());
        }
        let mut request = request.clone();
        let mut args = match (request.command.take(), request.args.take()) {
            (Some(command), _) => {
                let queue = request.queue.clone().map(QueueName::new).transpose();
                let queue = queue.map_err(|error| error.to_string())?.unwrap_or_default();
                let shell = self.settings.for_queue(&queue).spec(queue).shell;
                let words = shell.into_iter().chain([command, "sh".to_owned()]);
                words.map(String::into_bytes).collect()
            }
            (None, args) => args.unwrap_or_default(),
        };
        args.push(line);
        request.args = Some(args);
        Ok(request)
    }
}

/// An id on the command line is meant for one job.
pub fn one_id() -> Failure {
    Failure::usage("--id names one job, and these are many")
        .hint("leave --id out; each may have its own `id`")
}

/// `--lines` needs something to hand the lines to.
pub fn argument_form(request: JobRequest) -> Result<Form, Failure> {
    if request.id.is_some() {
        return Err(one_id());
    }
    if request.command.is_none() && request.args.is_none() {
        return Err(Failure::usage("--lines says what is read, not what is to be run")
            .hint("-c 'gzip -9 \"$1\"' has the line as $1; -- PROG ARGS has it as its last argument"));
    }
    request.check()?;
    Ok(Form::Argument { request: Box::new(request) })
}
