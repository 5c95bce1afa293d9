//! `reset`: an empty queue again, with its configuration.

use clap::Args;
use queuectl::core::query::Filter;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::purge::{Purge, purge};
use crate::render::counted;

/// Delete every job; settings, queues and their pauses stay
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl reset\n  queuectl reset --yes")]
pub struct Arguments {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    if let Some(client) = place.open_existing().await? {
        let workers = client.live_workers().await?;
        if !workers.is_empty() {
            let pids: Vec<String> = workers.iter().map(|worker| worker.pid.to_string()).collect();
            return Err(Failure::new(
                Exit::Refused,
                format!("workers are running (pid {})", pids.join(", ")),
            )
            .hint("`queuectl worker stop` first"));
        }
    }
    purge(
        place,
        Purge {
            filter: Filter::default(),
            what: Box::new(|n| format!("{}, all there are,", counted(n, "job"))),
            yes: arguments.yes,
        },
    )
    .await
}
