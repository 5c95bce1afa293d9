//! `backup`: a copy of the store with its outputs, while it is in use.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::progress::Progress;
use crate::terminal::{complain, print_line};

/// Copy the store and its outputs into a new directory, while workers run
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl backup /backups/queue-2026-01-02\n\n\
    The copy is whole and on disk once its directory has its name. `queuectl restore DIR` brings it back.")]
pub struct Arguments {
    /// New, or empty
    dir: PathBuf,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let Some(client) = place.open_existing().await? else {
        return Err(Failure::new(Exit::Unavailable, format!("there is no database at {}", place.name()))
            .hint("--db FILE or QUEUECTL_DB names another one"));
    };
    let path = PathBuf::from(client.place().name);
    let report = queuectl::backup(&path, &arguments.dir, Progress::copying()).await;
    let report = report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.hint.is_some() {
            failure
        } else {
            failure.hint("nothing was backed up, and the store is as it was")
        }
    })?;
    if !report.missing.is_empty() {
        complain(&format!("Note: {} output files were not there any more", report.missing.len()));
    }
    print_line(&format!(
        "Backed up {} jobs ({} KiB) and {} output files to {}",
        report.jobs,
        report.bytes / 1024,
        report.outputs,
        arguments.dir.display()
    ))?;
    Ok(Exit::Done)
}
