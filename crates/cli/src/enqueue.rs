//! `enqueue`: jobs from JSON, a file, standard input, a shell line, or exact arguments.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::limits::ENQUEUE_BYTES_MAX;
use queuectl::core::queue::QueueName;
use queuectl::json::to_line;
use queuectl::request::parse_many;
use queuectl::view::JobView;
use queuectl::{Client, JobRequest};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::{JobFlags, args};
use crate::note;
use crate::place::{Place, enqueuer};
use crate::terminal::{clean, complain, print, print_line};
use crate::wait::{Telling, wait};

/// Add jobs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl enqueue '{\"id\":\"job1\",\"command\":\"sleep 2\"}'\n  \
    queuectl enqueue -c 'echo hello' --queue mail\n  queuectl enqueue -- convert a.png a.jpg\n  \
    queuectl enqueue @jobs.json\n  generate | queuectl enqueue -")]
pub struct Arguments {
    /// A JSON object, @FILE, or - for standard input (one object, an array, or one object a line)
    input: Option<OsString>,
    /// A shell line
    #[arg(long, short, value_name = "LINE")]
    command: Option<String>,
    /// A file of JSON jobs
    #[arg(long, short, value_name = "FILE", conflicts_with = "input")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: JobFlags,
    /// Print the jobs as JSON
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print ids only
    #[arg(long)]
    quiet: bool,
    /// Wait until they have ended; exit 0 only if all succeeded
    #[arg(long)]
    wait: bool,
    /// A program and its arguments, handed over exactly
    #[arg(last = true, value_name = "PROG ARGS")]
    args: Vec<OsString>,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub json: bool,
    pub quiet: bool,
    /// One job was asked for, not a list.
    pub single: bool,
    /// Until they have ended.
    pub wait: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let Arguments { json, quiet, wait, .. } = arguments;
    let shape = Shape { json, quiet, single: true, wait };
    let flags = arguments.flags.request().map_err(Failure::usage)?;
    let args = args(arguments.args);
    let given =
        [arguments.input.is_some() || arguments.file.is_some(), arguments.command.is_some(), args.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Failure::usage(
            "a job is given as JSON, as --command, or as arguments after --; give one of these",
        ));
    }
    let source = match (arguments.input, arguments.file) {
        (Some(input), _) => Some(source(&input)?),
        (None, Some(file)) if file.as_os_str() == "-" => Some(Source::Stdin),
        (None, Some(file)) => Some(Source::File(file)),
        (None, None) => None,
    };
    let Some(source) = source else {
        if arguments.command.is_none() && args.is_none() {
            return Err(Failure::usage("nothing to enqueue")
                .hint("give a JSON object, @FILE, - for standard input, --command 'LINE', or -- PROG ARGS"));
        }
        let request = flags.merge(JobRequest { command: arguments.command, args, ..JobRequest::default() });
        return enqueue(place, vec![request], shape).await;
    };
    let parsed = parse_many(source.read()?)?;
    let shape = Shape { single: parsed.len() == 1 && !matches!(source, Source::Stdin), ..shape };
    let mut notes = BTreeSet::new();
    let mut requests = Vec::with_capacity(parsed.len());
    for one in parsed {
        notes.extend(one.notes);
        requests.push(one.request.merge(flags.clone()));
    }
    for note in notes {
        complain(&format!("Note: {note}"));
    }
    enqueue(place, requests, shape).await
}

/// Enqueues, prints what came of it, and says if nobody will run it.
pub async fn enqueue(place: &Place, requests: Vec<JobRequest>, shape: Shape) -> Outcome {
    let client = place.open().await?;
    let queues = queues(&requests);
    let ids = client.enqueue(requests, &enqueuer()).await?;
    let later = shape.wait && shape.json;
    if !later {
        report(&client, &ids, shape).await?;
    }
    note::unless_served(&client, queues).await?;
    if !shape.wait {
        return Ok(Exit::Done);
    }
    let telling = if shape.json || shape.quiet { Telling::Nothing } else { Telling::Lines };
    let exit = wait(&client, ids.clone(), None, telling).await?;
    if later {
        report(&client, &ids, shape).await?;
    }
    Ok(exit)
}

fn queues(requests: &[JobRequest]) -> BTreeSet<QueueName> {
    let queue = |request: &JobRequest| match &request.queue {
        Some(name) => QueueName::new(name.as_str()).ok(),
        None => Some(QueueName::default()),
    };
    requests.iter().filter_map(queue).collect()
}

async fn report(client: &Client, ids: &[JobId], shape: Shape) -> Result<(), Failure> {
    if shape.quiet {
        return print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
    }
    let now = client.now().await?;
    if shape.json {
        let mut views = Vec::with_capacity(ids.len());
        for id in ids {
            views.extend(client.job(id).await?.map(|job| JobView::new(&job, now)));
        }
        return match views.as_slice() {
            [view] if shape.single => print_line(&to_line(view)),
            views => print_line(&to_line(views)),
        };
    }
    if let [id] = ids {
        let job = client.job(id).await?;
        let due = job.and_then(|job| job.run_at).map(|at| format!(", to run at {at}")).unwrap_or_default();
        return print_line(&format!("Enqueued job {id}{due}"));
    }
    let lines: String = ids.iter().map(|id| format!("Enqueued job {id}\n")).collect();
    print(&lines)
}

#[derive(Debug)]
enum Source {
    Text(Vec<u8>),
    File(PathBuf),
    Stdin,
}

fn source(input: &OsString) -> Result<Source, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = input.as_bytes();
    if bytes == b"-" {
        return Ok(Source::Stdin);
    }
    if let Some(path) = bytes.strip_prefix(b"@") {
        return Ok(Source::File(std::ffi::OsStr::from_bytes(path).into()));
    }
    if bytes.trim_ascii_start().first().is_some_and(|first| b"{[\"".contains(first)) {
        return Ok(Source::Text(bytes.to_vec()));
    }
    let shown = clean(&input.to_string_lossy());
    Err(Failure::usage(format!("`{shown}` is not a JSON object")).hint(format!(
        "for a shell line write `queuectl enqueue --command '{shown}'`, for a program `queuectl enqueue -- PROG ARGS`, \
         for a file @FILE"
    )))
}

impl Source {
    fn read(&self) -> Result<Vec<u8>, Failure> {
        let unreadable = |what: &str, error: std::io::Error| {
            Failure::new(Exit::Unavailable, format!("cannot read {what}: {error}"))
        };
        // One byte more than may be, so that too much is noticed without reading all of it.
        let bound = ENQUEUE_BYTES_MAX as u64 + 1;
        let mut bytes = Vec::new();
        match self {
            Source::Text(text) => bytes.clone_from(text),
            Source::Stdin => {
                std::io::stdin()
                    .take(bound)
                    .read_to_end(&mut bytes)
                    .map_err(|e| unreadable("standard input", e))?;
            }
            Source::File(path) => {
                let what = path.display().to_string();
                let file = std::fs::File::open(path).map_err(|e| unreadable(&what, e))?;
                file.take(bound).read_to_end(&mut bytes).map_err(|e| unreadable(&what, e))?;
            }
        }
        Ok(bytes)
    }
}
