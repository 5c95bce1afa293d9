//! `dlq retry`: dead jobs back to pending, attempts at 0.

use clap::Args;
use queuectl::core::query::Filter;
use queuectl::core::state::Shown;
use queuectl::core::store::RetryScope;

use crate::changed::How;
use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::retry::retry;
use crate::target::{Target, store_with_jobs};
use crate::terminal::complain;

/// Bring dead jobs back to pending
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl dlq retry job1\n  queuectl dlq retry --all\n  \
    queuectl dlq retry --queue mail --tag team=red")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Every dead job (of --queue and --tag, where given)
    #[arg(long, conflicts_with = "jobs")]
    all: bool,
    /// Attempts always begin again at 0
    #[arg(long)]
    reset_attempts: bool,
    #[command(flatten)]
    how: How,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    if !arguments.all && !arguments.target.is_broad() {
        let ids = arguments.target.resolve(&store_with_jobs(place).await?).await?;
        return retry(place, &ids, RetryScope::DeadOnly, Some(Exit::No), arguments.how).await;
    }
    let dead = |filter: Filter| Filter { shown: Some(Shown::Dead), ..filter };
    let all = arguments.all || arguments.target.is_all();
    let target = if all { arguments.target.of_all() } else { arguments.target };
    let ids = match place.open_existing().await? {
        None => Vec::new(),
        Some(client) => match target.resolve_with(&client, dead).await {
            Err(failure) if all && failure.exit == Exit::NotFound => Vec::new(),
            other => other?,
        },
    };
    if ids.is_empty() {
        complain("No dead jobs.");
        return Ok(Exit::Done);
    }
    complain(&format!("Bringing back {} dead {}:", ids.len(), if ids.len() == 1 { "job" } else { "jobs" }));
    retry(place, &ids, RetryScope::DeadOnly, None, arguments.how).await
}
