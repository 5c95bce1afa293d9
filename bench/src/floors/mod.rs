//! Floors: programs that do the same work with no queue around it. Each runs in a process of its own, this program under
//! the hidden verb `floor`, and prints the seconds that its work took.

pub mod append;
pub mod pipe;
pub mod spawner;
pub mod sqlite;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Subcommand;

use crate::stand::{Fault, Stand};

#[derive(Debug, Subcommand)]
pub enum Floor {
    /// Runs a command many times, four at once, and keeps what each printed in memory
    Spawn {
        jobs: usize,
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Inserts the rows of one store into another, so many a transaction
    Insert {
        from: PathBuf,
        into: PathBuf,
        batch: usize,
        /// Count once a transaction, not by triggers at each row
        #[arg(long)]
        count_at_once: bool,
    },
    /// Claims and completes every waiting job of a store, so many a transaction
    Complete {
        store: PathBuf,
        batch: usize,
        /// Count once a transaction, not by triggers at each row
        #[arg(long)]
        count_at_once: bool,
    },
    /// Appends a page and syncs it, so many times
    Append { file: PathBuf, times: usize },
}

/// The argument of those that count once a transaction.
pub const COUNT_AT_ONCE: &str = "--count-at-once";

pub fn run(floor: Floor) -> Result<Duration, Fault> {
    match floor {
        Floor::Spawn { jobs, command } => spawner::run(jobs, &command),
        Floor::Insert { from, into, batch, count_at_once } => {
            sqlite::insert(&from, &into, batch, count_at_once)
        }
        Floor::Complete { store, batch, count_at_once } => sqlite::complete(&store, batch, count_at_once),
        Floor::Append { file, times } => append::run(&file, times),
    }
}

/// Runs a floor in a process of its own; returns the seconds that it says.
pub fn seconds(stand: &Stand, arguments: &[&str]) -> Result<f64, Fault> {
    let output = Command::new(&stand.bench).arg("floor").args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("floor {arguments:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
