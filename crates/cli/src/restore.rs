//! `restore`: a backup in the place of the store.

use std::path::PathBuf;

use clap::Args;
use queuectl::core::store::StoreError;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::progress::Progress;
use crate::terminal::{complain, print_line};

/// Put a backup in the place of the store; what is there is kept aside
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl restore /backups/queue-2026-01-02 --force\n  \
    queuectl --db copy.db restore /backups/queue-2026-01-02")]
pub struct Arguments {
    /// What `queuectl backup` made
    dir: PathBuf,
    /// Also if a store is there already, or workers that run no job have it open
    #[arg(long)]
    force: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let living = queuectl::living(&place.path)?;
    if !arguments.force && !living.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            format!("workers are running on the store ({}); nothing was restored", living.join(", ")),
        )
        .hint("`queuectl worker stop` first; --force restores under them, if they run nothing"));
    }
    if !arguments.force && std::fs::metadata(&place.path).is_ok_and(|found| found.len() > 0) {
        return Err(Failure::new(
            Exit::Refused,
            format!("there is a store at {}; nothing was restored", place.name()),
        )
        .hint("--force keeps it aside under another name, or --db names another place"));
    }
    let report = queuectl::restore(&arguments.dir, &place.path, Progress::copying()).await;
    let report = report.map_err(|error| match error {
        StoreError::InUse { .. } => Failure::from(error),
        error => Failure::from(error).hint("a backup is a directory that `queuectl backup` made"),
    })?;
    if !report.missing.is_empty() {
        complain(&format!("Note: {} output files are not in the backup", report.missing.len()));
    }
    let client = place.open().await?;
    let jobs: u64 = client.counts().await?.iter().map(|count| count.jobs).sum();
    print_line(&format!("Restored {jobs} jobs to {}", client.place().name))?;
    if let Some(aside) = report.aside {
        print_line(&format!("What was there is now {}", aside.display()))?;
    }
    print_line("Jobs that ran when the backup was made are pending again. `queuectl worker start` goes on.")?;
    Ok(Exit::Done)
}
