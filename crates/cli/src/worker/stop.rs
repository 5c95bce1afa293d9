//! `worker stop`: asks the running workers to stop and waits until they are gone.

use std::time::Duration;

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::queue::QueueName;
use queuectl::core::store::{StopMode, WorkerRow};
use queuectl::{Client, Orphan, StopWait};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::duration;
use crate::place::Place;
use crate::terminal::{complain, print_line};

/// Stop the running workers; each finishes its jobs first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  queuectl worker stop
  queuectl worker stop --timeout 30s
  queuectl worker stop --force
  queuectl worker stop --handover")]
pub struct Arguments {
    /// At once: TERM, grace, KILL; their jobs are given back
    #[arg(long)]
    force: bool,
    /// At once, but their jobs run on and the next worker takes them over: for an upgrade
    #[arg(long, conflicts_with = "force")]
    handover: bool,
    /// Wait at most so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    // Looked at first without making a store.
    let (running, orphans) = match place.open_existing().await? {
        None => (Vec::new(), Vec::new()),
        Some(client) => (client.live_workers().await?, client.orphans().await?),
    };
    if running.iter().all(|worker| worker.only_job) {
        return stop_orphans(place, arguments, &orphans).await;
    }
    let client = place.open().await?;
    let mode = match arguments {
        Arguments { force: true, .. } => StopMode::Now,
        Arguments { handover: true, .. } => StopMode::HandOver,
        Arguments { .. } => StopMode::Drain,
    };
    let asked = client.request_stop(mode).await?;
    complain(&format!("Waiting for {} to finish", named(&asked)));
    if arguments.force {
        // What it ran is then without a worker.
        let ended = client.end_frozen(&asked);
        if !ended.is_empty() {
            complain(&format!("Killed what was frozen: {}", named(&ended)));
        }
    } else {
        for worker in client.frozen(&asked) {
            let (id, pid) = (&worker.id, worker.pid);
            complain(&format!(
                "Note: worker {id} is frozen; `kill -CONT {pid}` lets it go on, --force ends it"
            ));
        }
    }
    match client.await_gone(asked, time_limit(&client, arguments).await?).await? {
        StopWait::Gone(workers) => {
            let noun = if workers.len() == 1 { "process" } else { "processes" };
            if arguments.force {
                // What a worker that died meanwhile has left running.
                let left = client.orphans().await?;
                if !left.is_empty() {
                    end_orphans(&client, arguments, &left).await?;
                }
            }
            print_line(&format!("Stopped {} worker {noun}", workers.len()))?;
            let left = client.orphans().await?;
            if !left.is_empty() {
                complain(&format!("{}; the next worker takes them over", run_on(&left)));
            }
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

/// No worker is there, but jobs of workers that are gone may run on.
async fn stop_orphans(place: &Place, arguments: &Arguments, orphans: &[Orphan]) -> Outcome {
    if orphans.is_empty() || arguments.handover {
        print_line("No workers are running.")?;
        if !orphans.is_empty() {
            complain(&format!("{}; the next worker takes them over", run_on(orphans)));
        }
        return Ok(Exit::Done);
    }
    let client = place.open().await?;
    let verb = if arguments.force { "Ending them" } else { "Waiting for them to finish" };
    complain(&format!("No workers are running, but {}. {verb}.", run_on(orphans)));
    let ended = end_orphans(&client, arguments, orphans).await?;
    print_line(&format!("Stopped {ended} orphaned {}", plural(ended, "keeper", "keepers")))?;
    Ok(Exit::Done)
}

/// Ends them or waits for their end, as it was asked for; tells how many have ended.
async fn end_orphans(client: &Client, arguments: &Arguments, orphans: &[Orphan]) -> Result<usize, Failure> {
    let mode = if arguments.force { StopMode::Now } else { StopMode::Drain };
    if arguments.force {
        for (keeper, pid) in client.thaw_orphans(orphans) {
            complain(&format!("Keeper {keeper} (pid {pid}) was frozen; it goes on, to end its jobs"));
        }
    }
    let ended = client.stop_orphans(mode);
    let stopped = match time_limit(client, arguments).await? {
        None => ended.await?,
        Some(limit) => {
            let Ok(stopped) = tokio::time::timeout(limit, ended).await else {
                let hint =
                    if arguments.force { "they are killed after kill-grace" } else { "--force ends them" };
                let what = format!("after the time given, {}", run_on(&client.orphans().await?));
                return Err(Failure::new(Exit::TimedOut, what).hint(hint));
            };
            stopped?
        }
    };
    match stopped.taken_over {
        0 => Ok(stopped.ended),
        count => {
            let noun = plural(count, "orphaned keeper", "orphaned keepers");
            let what = format!("{count} {noun} went to a worker that has started meanwhile");
            Err(Failure::new(Exit::Refused, what).hint("`queuectl worker stop` reaches that worker"))
        }
    }
}

async fn time_limit(client: &Client, arguments: &Arguments) -> Result<Option<Duration>, Failure> {
    let default = client.settings().await?.for_queue(&QueueName::default()).stop_timeout;
    Ok(arguments.timeout.or(default))
}

/// "2 jobs of a worker that is gone run on (a, b)".
fn run_on(orphans: &[Orphan]) -> String {
    let jobs: Vec<&str> = orphans.iter().flat_map(|orphan| &orphan.jobs).map(JobId::as_str).collect();
    let verb =
        plural(jobs.len(), "job of a worker that is gone runs on", "jobs of workers that are gone run on");
    format!("{} {verb} ({})", jobs.len(), jobs.join(", "))
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn named(workers: &[WorkerRow]) -> String {
    let name = |worker: &WorkerRow| format!("worker {} (pid {})", worker.id, worker.pid);
    workers.iter().map(name).collect::<Vec<_>>().join(", ")
}
