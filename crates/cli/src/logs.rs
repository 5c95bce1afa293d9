//! `logs`: what a job printed, of each attempt or live.

use std::io::Read;

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::outcome::{Output, Stream};
use queuectl::core::store::Attempt;
use queuectl::{Client, Live, Piece};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::target::{Target, store_with_jobs};
use crate::terminal::{complain, print_bytes, print_line};

/// What a job printed
#[derive(Debug, Args)]
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
    /// Go on as the job prints, until it has ended
    #[arg(long, short, conflicts_with = "attempt")]
    follow: bool,
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
    let id = arguments.target.resolve_one(&client).await?;
    if arguments.follow {
        return follow(&client, id, &arguments).await;
    }
    let mut attempts = client.attempts(&id).await?;
    if let Some(number) = arguments.attempt {
        attempts.retain(|attempt| attempt.number == number);
        if attempts.is_empty() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("job {id} has no attempt {number} that has ended"),
            ));
        }
    }
    if attempts.is_empty() && !arguments.bare() {
        complain("No attempt has ended yet; --follow shows what a running one prints.");
    }
    for attempt in &attempts {
        if !arguments.bare() {
            print_line(&header(attempt))?;
        }
        for (stream, output) in [(Stream::Stdout, &attempt.stdout), (Stream::Stderr, &attempt.stderr)] {
            if arguments.wants(stream) {
                copy(&client, output, !arguments.bare())?;
            }
        }
    }
    Ok(Exit::Done)
}

fn header(attempt: &Attempt) -> String {
    format!("==> attempt {}: {}, {} <==", attempt.number, attempt.outcome.describe(), attempt.ended_at)
}

fn copy(client: &Client, output: &Output, marked: bool) -> Result<(), Failure> {
    let mut reader = client.read_output(output, marked)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut last = b'\n';
    loop {
        let read = reader
            .read(&mut buffer)
            .map_err(|error| Failure::new(Exit::Unavailable, format!("cannot read the output: {error}")))?;
        if read == 0 {
            break;
        }
        last = buffer[read - 1];
        print_bytes(&buffer[..read])?;
    }
    // The next header begins a line.
    if marked && last != b'\n' { print_bytes(b"\n") } else { Ok(()) }
}

async fn follow(client: &Client, id: JobId, arguments: &Arguments) -> Outcome {
    let mut follower = client.follow(id, 0).await?;
    while let Some(live) = follower.next().await? {
        match live {
            Live::Output(Piece::Bytes(stream, bytes)) if arguments.wants(stream) => print_bytes(&bytes)?,
            Live::Output(Piece::Gap(stream, bytes)) if arguments.wants(stream) && !arguments.bare() => {
                complain(&format!("[... {bytes} bytes were not kept ...]"));
            }
            Live::AttemptEnded(attempt) if !arguments.bare() => complain(&header(&attempt)),
            Live::Output(_) | Live::Changed(_) | Live::AttemptEnded(_) | Live::Ended(_) | Live::Deleted => {}
        }
    }
    Ok(Exit::Done)
}
