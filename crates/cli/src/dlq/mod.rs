//! `dlq`: the jobs whose attempts are used up.

mod purge;
mod retry;

use clap::Subcommand;
use queuectl::core::state::Shown;

use crate::exit::Outcome;
use crate::list;
use crate::place::Place;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List dead jobs
    #[command(after_help = "Examples:\n  queuectl dlq list\n  queuectl dlq list --queue mail --json")]
    List(list::Arguments),
    Retry(retry::Arguments),
    Purge(purge::Arguments),
}

pub async fn run(place: &Place, verb: Verb) -> Outcome {
    match verb {
        Verb::List(arguments) => list::run(place, arguments.of_state(Shown::Dead)).await,
        Verb::Retry(arguments) => retry::run(place, arguments).await,
        Verb::Purge(arguments) => purge::run(place, arguments).await,
    }
}
