//! `migrate`: brings an older database up to date.

use clap::Args;
use queuectl::core::store::WorkerRow;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, network};
use crate::terminal::{complain, print_line};

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
        for worker in queuectl::in_the_way(&place.path, network()).await? {
            print_line(&format!("In the way: {}", named(&worker)))?;
        }
        return Ok(Exit::Done);
    }
    let (_, in_the_way) = place.open_newest().await?;
    if let Some(worker) = in_the_way.first() {
        let message = format!("an older worker is alive: {}; the schema stays at {from}", named(worker));
        return Err(Failure::new(Exit::Refused, message)
            .hint("`queuectl worker stop --handover` ends it and leaves its jobs to the next worker"));
    }
    print_line(&format!("Migrated from schema {from} to {to}"))?;
    Ok(Exit::Done)
}

/// Says that the schema stays as it is, which harms nobody.
pub fn note_in_the_way(workers: &[WorkerRow]) {
    if let Some(worker) = workers.first() {
        complain(&format!(
            "Note: the database keeps its older schema while {} is alive; then `queuectl migrate` changes it",
            named(worker)
        ));
    }
}

fn named(worker: &WorkerRow) -> String {
    format!("worker {} (pid {}), queuectl {}", worker.id, worker.pid, worker.version)
}
