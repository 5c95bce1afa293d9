//! `restore`: a backup in the place of the store.

use std::path::PathBuf;

use clap::Args;
use queuectl_exec::rundir::{self, Kind};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::progress::Progress;
use crate::terminal::print_line;

/// Put a backup in the place of the store; what is there is kept aside
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl restore /backups/queue-2026-01-02 --force\n  \
    queuectl --db copy.db restore /backups/queue-2026-01-02")]
pub struct Arguments {
    /// What `queuectl backup` made
    dir: PathBuf,
    /// Also if a store is there already, or workers are running on it
    #[arg(long)]
    force: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    if !arguments.force
        && let Some(client) = place.open_existing().await?
    {
        let run_dir = client.place().run_dir;
        let alive = rundir::list(&run_dir).unwrap_or_default().into_iter().filter(|entry| {
            entry.kind != Kind::Loader && rundir::is_alive(&run_dir, entry.kind, &entry.id).unwrap_or(true)
        });
        if alive.count() > 0 {
            return Err(Failure::new(
                Exit::Refused,
                "workers are running on the store; nothing was restored",
            )
            .hint("`queuectl worker stop` first"));
        }
        return Err(Failure::new(
            Exit::Refused,
            format!("there is a store at {}; nothing was restored", place.name()),
        )
        .hint("--force keeps it aside under another name, or --db names another place"));
    }
    let progress = Progress::new("Copying outputs", None);
    let aside = queuectl::restore(&arguments.dir, &place.path, move || progress.add(1)).await;
    let aside = aside
        .map_err(|error| Failure::from(error).hint("a backup is a directory that `queuectl backup` made"))?;
    // Whoever opens it first makes it a store of its own, and brings back what ran when it was backed up.
    let client = place.open().await?;
    let jobs: u64 = client.counts().await?.iter().map(|count| count.jobs).sum();
    print_line(&format!("Restored {jobs} jobs to {}", client.place().name))?;
    if let Some(aside) = aside {
        print_line(&format!("What was there is now {}", aside.display()))?;
    }
    print_line("Jobs that ran when the backup was made are pending again. `queuectl worker start` goes on.")?;
    Ok(Exit::Done)
}
