//! `cancel`: a waiting job at once, a running one through its worker.

use clap::Args;
use queuectl::core::store::Cancelled;

use crate::changed::How;
use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::target::{Target, store_with_jobs};
use crate::terminal::complain;

/// Cancel jobs: waiting ones at once, running ones with all their processes
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl cancel job1\n  queuectl cancel last:3\n  \
    queuectl cancel --queue mail --state pending\n  queuectl cancel all")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    how: How,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let reader = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&reader).await?;
    let client = place.open().await?;
    let (mut exit, mut changed) = (Exit::Done, arguments.how.begin());
    let results = client.cancel(&ids).await?;
    // Only a worker, or a stop, reaches what runs without one.
    let running = results.iter().any(|result| matches!(result, Cancelled::Requested { .. }));
    let orphans = if running { client.orphans().await? } else { Vec::new() };
    for (id, result) in ids.iter().zip(results) {
        match result {
            Cancelled::Now => changed.tell(id, &format!("Cancelled job {id}"))?,
            Cancelled::Requested { .. } if orphans.iter().any(|orphan| orphan.jobs.contains(id)) => {
                let line =
                    format!("Cancelling job {id}: it is running, its worker is gone, the next one ends it");
                changed.tell(id, &line)?;
                complain(&format!("Hint: `queuectl worker stop --force` ends {id} now"));
            }
            Cancelled::Requested { .. } => {
                changed.tell(id, &format!("Cancelling job {id}: it is running, its worker ends it"))?;
            }
            // Of many jobs, those that have ended need no cancelling.
            Cancelled::Ended(_) | Cancelled::Absent if arguments.target.is_broad() => {}
            Cancelled::Ended(state) => {
                complain(&format!(
                    "Error: job {id} is {state} already; there is nothing to cancel\n\
                     Hint: `queuectl delete {id}` removes it"
                ));
                exit = Exit::Refused;
            }
            Cancelled::Absent => {
                complain(&format!(
                    "Error: job {id} was deleted meanwhile\nHint: `queuectl list` shows what is there"
                ));
                exit = Exit::NotFound;
            }
        }
    }
    changed.end(&client).await?;
    Ok(exit)
}
