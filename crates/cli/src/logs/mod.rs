//! `logs`: what jobs printed, of each attempt or live.

mod follow;
mod voice;

use clap::Args;
use queuectl::Client;
use queuectl::core::id::JobId;
use queuectl::core::outcome::Stream;
use queuectl::core::store::Attempt;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::target::{Target, store_with_jobs};
use crate::terminal::complain;
use voice::{Manner, Voice};

/// What jobs printed
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl logs job1\n  queuectl logs job1 --stdout --attempt 2 > output\n  \
                        queuectl logs -f job1 job2 last"
)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The bytes of standard output alone
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// The bytes of standard error alone
    #[arg(long)]
    stderr: bool,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Go on as the jobs print, until all have ended
    #[arg(long, short, conflicts_with = "attempt")]
    follow: bool,
    /// Leave escape codes as they are, on a terminal too
    #[arg(long)]
    raw: bool,
    /// One JSON object for each line
    #[arg(long, conflicts_with = "raw")]
    jsonl: bool,
}

impl Arguments {
    fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => !self.stderr,
            Stream::Stderr => !self.stdout,
        }
    }

    /// Bytes alone, without headers and notes.
    fn bare(&self) -> bool {
        self.stdout || self.stderr
    }
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let client = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&client).await?;
    if arguments.follow {
        return follow::run(&client, ids, &arguments).await;
    }
    let manner = Manner::of(&arguments, ids.len());
    let mut told = 0;
    for id in &ids {
        told += tell(&client, id, &arguments, manner).await?;
    }
    if let Some(number) = arguments.attempt.filter(|_| told == 0) {
        let message = match ids.as_slice() {
            [id] => format!("job {id} has no attempt {number} that has ended"),
            _ => format!("none of these jobs has an attempt {number} that has ended"),
        };
        return Err(Failure::new(Exit::NotFound, message)
            .hint("`queuectl show ID` lists a job's attempts; --follow shows what a running one prints"));
    }
    if told == 0 && manner != Manner::Json && !arguments.bare() {
        complain("No attempt has ended yet; --follow shows what a running one prints.");
    }
    Ok(Exit::Done)
}

/// Tells what each ended attempt of a job printed; returns how many.
async fn tell(client: &Client, id: &JobId, arguments: &Arguments, manner: Manner) -> Result<usize, Failure> {
    let runs = client.job(id).await?.map_or(0, |job| job.runs);
    let (first, last) = arguments.attempt.map_or((1, runs), |number| (number, number));
    let mut told = 0;
    // One at a time: a job may have had a million.
    for number in first..=last {
        let Some(attempt) = client.attempt(id, number).await? else { continue };
        told += 1;
        let mut voice = Voice::alone(id, arguments, manner);
        voice.begin(&attempt)?;
        for (stream, output) in [(Stream::Stdout, &attempt.stdout), (Stream::Stderr, &attempt.stderr)] {
            if !arguments.wants(stream) {
                continue;
            }
            let mut pieces = client.pieces(stream, output, 0)?;
            while let Some(piece) = pieces.next_piece()? {
                voice.hear(piece)?;
            }
            voice.finish_stream(stream)?;
            let missing = client.output_shortfall(output);
            if missing > 0 {
                complain(&format!(
                    "The output file of job {id}, attempt {number}, is damaged: {missing} bytes are missing."
                ));
            }
        }
        voice.end(&attempt)?;
    }
    Ok(told)
}

/// What stands above a run, or is said at its end.
fn header(id: Option<&JobId>, attempt: &Attempt) -> String {
    let job = id.map(|id| format!("{id}, ")).unwrap_or_default();
    format!("==> {job}attempt {}: {}, {} <==", attempt.number, attempt.outcome.describe(), attempt.ended_at)
}
