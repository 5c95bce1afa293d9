//! `clear`: deletes the jobs of one state.

use clap::Args;
use queuectl::core::state::Shown;

use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::purge::{Purge, purge};
use crate::render::counted;
use crate::target::Which;

/// Delete every job of a state
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl clear --state completed\n  queuectl clear --state dead --queue mail --yes"
)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let filter = arguments.which.filter()?;
    match filter.shown {
        None => Err(Failure::usage("no state is given")
            .hint("--state completed, for example; `queuectl reset` deletes all jobs")),
        Some(Shown::Processing) => Err(Failure::usage("running jobs are not deleted")
            .hint("`queuectl cancel --state processing` ends them")),
        Some(shown) => {
            purge(
                place,
                Purge {
                    filter,
                    what: Box::new(move |n| counted(n, &format!("{shown} job"))),
                    yes: arguments.yes,
                },
            )
            .await
        }
    }
}
