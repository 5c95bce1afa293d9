//! `wait`: returns when jobs have ended, and tells whether all succeeded.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::state::State;
use queuectl::json::to_line;
use queuectl::view::JobView;
use queuectl::{Client, Ended};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::duration;
use crate::note;
use crate::place::Place;
use crate::progress::Progress;
use crate::target::{Target, store_with_jobs};
use crate::terminal::{print, print_line};

/// Wait until jobs have ended; exit 0 only if all succeeded
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl wait job1 job2\n  queuectl wait --queue mail --timeout 10m\n  \
    queuectl wait all && echo all succeeded\n\nExit codes: 0 all succeeded, 1 some did not, 124 timed out"
)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Wait at most so long; the jobs go on
    #[arg(long, short, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// One JSON array of the jobs, at the end
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Only the ids of jobs that did not succeed
    #[arg(long)]
    quiet: bool,
}

/// How the ends are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Lines,
    Json,
    Failed,
    Nothing,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let client = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&client).await?;
    let telling = match (arguments.json, arguments.quiet) {
        (true, _) => Telling::Json,
        (_, true) => Telling::Failed,
        _ => Telling::Lines,
    };
    let mut queues = BTreeSet::new();
    for id in ids.iter().take(queuectl::core::limits::PAGE_ROWS_MAX) {
        let job = client.job(id).await?.filter(|job| !job.state.is_terminal());
        queues.extend(job.map(|job| job.spec.queue));
    }
    note::unless_served(&client, queues).await?;
    wait(&client, ids, arguments.timeout, telling).await
}

/// Waits for these. Nothing is done to jobs that have not ended when the time is up, or on Ctrl-C.
pub async fn wait(client: &Client, ids: Vec<JobId>, timeout: Option<Duration>, telling: Telling) -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}")))?;
    let progress = Progress::new("Jobs ended", Some(ids.len() as u64));
    let mut waiter = client.wait(ids.clone()).await?;
    let far = Duration::from_secs(100 * 365 * 24 * 3600);
    let deadline = tokio::time::sleep(timeout.unwrap_or(far));
    tokio::pin!(deadline);
    let mut exit = Exit::Done;
    loop {
        let ended = tokio::select! {
            ended = waiter.next() => ended?,
            () = &mut deadline => {
                let left = waiter.remaining();
                let noun = if left == 1 { "job has" } else { "jobs have" };
                return Err(Failure::new(Exit::TimedOut, format!("{left} {noun} not ended in the time given"))
                    .hint("they go on; `queuectl explain ID` tells why one does not run"));
            }
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
        };
        let Some(Ended { id, state }) = ended else { break };
        progress.add(1);
        let succeeded = state == Some(State::Completed);
        if !succeeded {
            exit = Exit::No;
        }
        match telling {
            Telling::Lines => print_line(&format!("{id} {}", state.map_or("deleted", State::as_str)))?,
            Telling::Failed if !succeeded => print_line(id.as_str())?,
            Telling::Failed | Telling::Json | Telling::Nothing => {}
        }
    }
    if telling == Telling::Json {
        print_jobs(client, &ids).await?;
    }
    Ok(exit)
}

/// One array, a job at a time.
async fn print_jobs(client: &Client, ids: &[JobId]) -> Result<(), Failure> {
    let now = client.now().await?;
    let mut between = "[";
    for id in ids {
        if let Some(job) = client.job(id).await? {
            print(&format!("{between}{}", to_line(&JobView::new(&job, now))))?;
            between = ", ";
        }
    }
    print(if between == "[" { "[]\n" } else { "]\n" })
}
