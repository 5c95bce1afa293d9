//! `enqueue`: jobs from JSON, a file, standard input, a shell line, or exact arguments.

mod bulk;
mod doubles;
mod input;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use queuectl::core::job::Due;
use queuectl::core::time::Timestamp;
use queuectl::json::to_line;
use queuectl::request::{Parsed, parse_many, parse_run_at};
use queuectl::view::JobView;
use queuectl::{Client, JobRequest};

use self::bulk::{Bulk, Form, Loaded};
use self::input::{Source, Spooled, source};
use crate::changed::print_array;
use crate::exit::{Exit, Failure, Outcome};
use crate::flags::{JobFlags, args};
use crate::note;
use crate::place::{Place, enqueuer};
use crate::terminal::{complain, print, print_line};
use crate::wait::{Telling, wait};

/// Add jobs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl enqueue '{\"id\":\"job1\",\"command\":\"sleep 2\"}'\n  \
    queuectl enqueue -c 'echo hello' --queue mail\n  queuectl enqueue -- convert a.png a.jpg\n  \
    queuectl enqueue @jobs.json\n  generate | queuectl enqueue -\n  \
    find . -name '*.log' -print0 | queuectl enqueue --lines -0 -c 'gzip -9 \"$1\"'")]
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
    /// One job a line of standard input, handed over as $1 of --command or as the last of the arguments
    #[arg(long)]
    lines: bool,
    /// Lines end with a NUL byte, as `find -print0` writes them
    #[arg(long, short = '0', requires = "lines")]
    null: bool,
    /// Take the good lines, and report the others
    #[arg(long)]
    skip_invalid: bool,
    /// Wait until they have ended; exit 0 only if all succeeded
    #[arg(long)]
    wait: bool,
    /// A program and its arguments, handed over exactly
    #[arg(last = true, value_name = "PROG ARGS")]
    args: Vec<OsString>,
}

impl Arguments {
    /// Whether the command stays until the jobs have ended.
    pub fn waits(&self) -> bool {
        self.wait
    }
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
    /// The instant that a single job was asked to run at.
    pub asked: Option<Timestamp>,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let Arguments { json, quiet, wait, .. } = arguments;
    let shape = Shape { json, quiet, single: true, wait, asked: None };
    let flags = arguments.flags.request().map_err(Failure::usage)?;
    let args = args(arguments.args);
    let given =
        [arguments.input.is_some() || arguments.file.is_some(), arguments.command.is_some(), args.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Failure::usage(
            "a job is given as JSON, as --command, or as arguments after --; give one of these",
        )
        .hint("`queuectl enqueue --help` has an example of each"));
    }
    let command = JobRequest { command: arguments.command, args, ..JobRequest::default() };
    if arguments.lines {
        if given[0] {
            return Err(Failure::usage(
                "--lines reads its lines from standard input, not from a file or JSON",
            )
            .hint("queuectl enqueue --lines -c 'LINE' < FILE"));
        }
        let end = if arguments.null { 0 } else { b'\n' };
        let form = bulk::argument_form(flags.merge(command))?;
        let bulk = Bulk { form, end, skip_invalid: arguments.skip_invalid };
        return load(place, &bulk, &Source::Stdin.spool()?, shape).await;
    }
    let source = match (arguments.input, arguments.file) {
        (Some(input), _) => Some(source(&input)?),
        (None, Some(file)) if file.as_os_str() == "-" => Some(Source::Stdin),
        (None, Some(file)) => Some(Source::File(file)),
        (None, None) => None,
    };
    let Some(source) = source else {
        if command == JobRequest::default() {
            return Err(Failure::usage("nothing to enqueue")
                .hint("give a JSON object, @FILE, - for standard input, --command 'LINE', or -- PROG ARGS"));
        }
        return enqueue(place, vec![flags.merge(command)], shape).await;
    };
    let shape = Shape { single: !matches!(source, Source::Stdin), ..shape };
    let positional = matches!(source, Source::Text(_));
    let spooled = source.spool()?;
    if !positional && spooled.is_lines(arguments.skip_invalid)? {
        let form = Form::Json { flags: Box::new(flags) };
        return load(
            place,
            &Bulk { form, end: b'\n', skip_invalid: arguments.skip_invalid },
            &spooled,
            shape,
        )
        .await;
    }
    let parsed = if positional { parse_one(&spooled.whole()?)? } else { parse_many(spooled.whole()?)? };
    if parsed.is_empty() {
        complain("Note: the array is empty; nothing was enqueued");
    }
    let shape = Shape { single: parsed.len() == 1 && shape.single, ..shape };
    if flags.id.is_some() && parsed.len() > 1 {
        return Err(bulk::one_id());
    }
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

/// A positional is one JSON object, or one array of them.
fn parse_one(text: &[u8]) -> Result<Vec<Parsed>, Failure> {
    let values = || serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    if let (Some(Ok(_)), Some(Err(error))) = (values().next(), values().nth(1)) {
        let (line, column) = (error.line(), error.column());
        return Err(Failure::usage(format!(
            "invalid JSON at line {line} column {column}: something follows the job that is no JSON"
        ))
        .hint("put the object alone in quotes: queuectl enqueue '{\"command\": \"echo hi\"}'"));
    }
    if values().take(2).flatten().count() > 1 {
        return Err(Failure::usage(
            "more than one JSON value is given; an argument is one job, or an array of them",
        )
        .hint("pipe one object a line into `queuectl enqueue -`"));
    }
    Ok(parse_many(text)?)
}

/// Enqueues one job a line.
async fn load(place: &Place, bulk: &Bulk, spooled: &Spooled, shape: Shape) -> Outcome {
    let client = place.open().await?;
    let keep_ids = shape.json || shape.quiet || shape.wait;
    let loaded = bulk::load(&client, bulk, spooled, &enqueuer(), keep_ids).await?;
    let single = shape.single && loaded.count == 1;
    finish(&client, &loaded, Shape { single, ..shape }).await
}

/// Enqueues, prints what came of it, and says if nobody will run it.
pub async fn enqueue(place: &Place, requests: Vec<JobRequest>, shape: Shape) -> Outcome {
    let client = place.open_here().await?;
    let asked = match requests.as_slice() {
        [JobRequest { run_at: Some(text), .. }] => match parse_run_at(text, &(enqueuer().time_zone)())? {
            Due::At(at) => Some(at),
            Due::Now | Due::After(_) => None,
        },
        _ => None,
    };
    let shape = Shape { asked, ..shape };
    let loaded = Loaded::of(&requests, client.enqueue(requests.clone(), &enqueuer()).await?);
    finish(&client, &loaded, shape).await
}

/// Prints what came of an enqueue, says if nobody will run it, and waits if that is asked for.
async fn finish(client: &Client, loaded: &Loaded, shape: Shape) -> Outcome {
    let later = shape.wait && shape.json;
    if !later {
        report(client, loaded, shape).await?;
    }
    note::unless_served(client, loaded.queues.clone()).await?;
    if !shape.wait {
        return Ok(Exit::Done);
    }
    let telling = if shape.json || shape.quiet { Telling::Nothing } else { Telling::Lines };
    let exit = wait(client, loaded.ids()?.collect(), None, telling).await?;
    if later {
        report(client, loaded, shape).await?;
    }
    Ok(exit)
}

async fn report(client: &Client, loaded: &Loaded, shape: Shape) -> Result<(), Failure> {
    /// More are only counted.
    const NAMED_MAX: u64 = 1_000;
    if shape.quiet {
        return in_steps(loaded.ids()?.map(|id| format!("{id}\n")));
    }
    if shape.json {
        return report_json(client, loaded, shape).await;
    }
    if loaded.count > NAMED_MAX {
        return print_line(&format!("Enqueued {} jobs", loaded.count));
    }
    if loaded.count == 1
        && let Some(id) = loaded.ids()?.next()
    {
        let job = if loaded.at_once { None } else { client.job(&id).await? };
        let due = match (job.and_then(|job| job.run_at), shape.asked) {
            (Some(at), _) => format!(", to run at {at}"),
            (None, Some(asked)) => format!(", to run at once: {asked} is past"),
            (None, None) => String::new(),
        };
        return print_line(&format!("Enqueued job {id}{due}"));
    }
    in_steps(loaded.ids()?.map(|id| format!("Enqueued job {id}\n")))
}

/// Prints many short texts in few writes.
fn in_steps(texts: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut step = String::new();
    for text in texts {
        step.push_str(&text);
        if step.len() >= 64 * 1024 {
            print(&std::mem::take(&mut step))?;
        }
    }
    print(&step)
}

async fn report_json(client: &Client, loaded: &Loaded, shape: Shape) -> Result<(), Failure> {
    let now = client.now().await?;
    if shape.single
        && let Some(id) = loaded.ids()?.next()
        && let Some(job) = client.job(&id).await?
    {
        return print_line(&to_line(&JobView::new(&job, now)));
    }
    print_array(client, loaded.ids()?).await
}
