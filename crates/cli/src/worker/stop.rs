//! `worker stop`: asks the running workers to stop and waits until they are gone.

use std::time::Duration;

use clap::Args;
use queuectl::StopWait;
use queuectl::core::queue::QueueName;
use queuectl::core::store::{StopMode, WorkerRow};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::duration;
use crate::place::Place;
use crate::terminal::{complain, print_line};

/// Stop the running workers; each finishes its jobs first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  queuectl worker stop
  queuectl worker stop --timeout 30s
  queuectl worker stop --force")]
pub struct Arguments {
    /// At once: TERM, grace, KILL; their jobs are given back
    #[arg(long)]
    force: bool,
    /// Wait at most so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    // Looked at first without making a store.
    let running = match place.open_existing().await? {
        None => Vec::new(),
        Some(client) => client.live_workers().await?,
    };
    if running.iter().all(|worker| worker.only_job) {
        print_line("No workers are running.")?;
        return Ok(Exit::Done);
    }
    let client = place.open().await?;
    let mode = if arguments.force { StopMode::Now } else { StopMode::Drain };
    let asked = client.request_stop(mode).await?;
    complain(&format!("Waiting for {} to finish", named(&asked)));
    let default = client.settings().await?.for_queue(&QueueName::default()).stop_timeout;
    match client.await_gone(asked, arguments.timeout.or(default)).await? {
        StopWait::Gone(workers) => {
            let noun = if workers.len() == 1 { "process" } else { "processes" };
            print_line(&format!("Stopped {} worker {noun}", workers.len()))?;
            Ok(Exit::Done)
        }
        StopWait::TimedOut(workers) => Err(Failure::new(
            Exit::TimedOut,
            format!("still running after the time given: {}", named(&workers)),
        )
        .hint(if arguments.force {
            "they go on to stop; jobs that do not end in time are killed after kill-grace"
        } else {
            "they go on to stop; --force ends their jobs"
        })),
    }
}

fn named(workers: &[WorkerRow]) -> String {
    let name = |worker: &WorkerRow| format!("worker {} (pid {})", worker.id, worker.pid);
    workers.iter().map(name).collect::<Vec<_>>().join(", ")
}
