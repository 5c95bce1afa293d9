//! `prune`: deletes jobs that ended long ago.

use std::time::Duration;

use clap::Args;
use queuectl::core::query::Filter;
use queuectl::core::state::Shown;

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::duration;
use crate::list::{parse_state, queue_name};
use crate::place::Place;
use crate::progress::Progress;
use crate::terminal::print_line;

/// Delete jobs that ended long ago, with their output
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl prune --older-than 30d\n  \
    queuectl prune --older-than 12h --state dead --queue mail\n\n\
    The keys retain-completed and retain-dead do the same by themselves, for as long as a worker runs.")]
pub struct Arguments {
    /// Ended at least so long ago
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Duration,
    /// completed, dead or cancelled (repeatable) [default: completed and cancelled]
    #[arg(long, short)]
    state: Vec<String>,
    /// Of this queue only
    #[arg(long, short)]
    queue: Option<String>,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let queue = arguments.queue.map(queue_name).transpose()?;
    let mut states = arguments.state.iter().map(|name| parse_state(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(open) = states.iter().find(|shown| !shown.stored().is_terminal()) {
        return Err(Failure::usage(format!("{open} jobs have not ended; only jobs that have are pruned"))
            .hint("--state completed, dead or cancelled"));
    }
    if states.is_empty() {
        states = vec![Shown::Completed, Shown::Cancelled];
    }
    let mut deleted = 0;
    if place.open_existing().await?.is_some() {
        let client = place.open().await?;
        let before = client.now().await?.before(arguments.older_than);
        let progress = Progress::new("Deleting jobs", None);
        for shown in states {
            let filter = Filter {
                shown: Some(shown),
                queue: queue.clone(),
                ended_before: Some(before),
                ..Filter::default()
            };
            deleted += client.clear(filter, |step| progress.add(step)).await?;
        }
    }
    print_line(&format!("Deleted {deleted} {}", if deleted == 1 { "job" } else { "jobs" }))?;
    Ok(Exit::Done)
}
