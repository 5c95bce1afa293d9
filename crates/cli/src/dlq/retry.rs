//! `dlq retry`: dead jobs back to pending, attempts at 0.

use clap::Args;
use queuectl::core::store::RetryScope;

use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::place::Place;
use crate::retry::retry;
use crate::target::{resolve, store_with_jobs};
use crate::terminal::print_line;

/// Bring dead jobs back to pending
#[derive(Debug, Args)]
pub struct Arguments {
    /// Ids, or beginnings of generated ones
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    jobs: Vec<String>,
    /// Every dead job
    #[arg(long)]
    all: bool,
    /// With --all: of this queue
    #[arg(long, short, requires = "all")]
    queue: Option<String>,
    /// Attempts always begin again at 0
    #[arg(long)]
    reset_attempts: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    if !arguments.all {
        let reader = store_with_jobs(place).await?;
        let ids = resolve(&reader, &arguments.jobs).await?;
        return retry(place, &ids, RetryScope::DeadOnly, Exit::No).await;
    }
    let queue = arguments.queue.map(queue_name).transpose()?;
    let ids = match place.open_existing().await? {
        None => Vec::new(),
        Some(_) => place.open().await?.retry_dead(queue.as_ref()).await?,
    };
    for id in &ids {
        print_line(&format!("Job {id} is pending again (it was dead); attempts reset to 0"))?;
    }
    if ids.is_empty() {
        crate::terminal::complain("No dead jobs.");
    }
    Ok::<_, Failure>(Exit::Done)
}
