//! `migrate`: brings an older database up to date.

use clap::Args;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::terminal::print_line;

/// Bring the database's schema up to date
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl migrate --plan\n  queuectl migrate")]
pub struct Arguments {
    /// Say what would be done, and who is in the way; change nothing
    #[arg(long)]
    plan: bool,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    let Some((from, to)) = queuectl::schema_versions(&place.path).await? else {
        return Err(Failure::new(Exit::Unavailable, format!("there is no database at {}", place.name()))
            .hint("`queuectl init` makes one, with the newest schema"));
    };
    if from >= to {
        // A newer one is refused here, and nothing is written.
        place.open_existing().await?;
        print_line(&format!(
            "The database has schema {from}, the newest that this queuectl knows; nothing to do"
        ))?;
        return Ok(Exit::Done);
    }
    if arguments.plan {
        print_line(&format!("From schema {from} to {to}"))?;
        if let Some(client) = place.open_existing().await? {
            for worker in client.live_workers().await? {
                print_line(&format!(
                    "In the way: worker {} (pid {}), queuectl {}",
                    worker.id, worker.pid, worker.version
                ))?;
            }
        }
        return Ok(Exit::Done);
    }
    place.open().await?;
    print_line(&format!("Migrated from schema {from} to {to}"))?;
    Ok(Exit::Done)
}
