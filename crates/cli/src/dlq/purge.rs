//! `dlq purge`: deletes dead jobs for good.

use clap::Args;
use queuectl::core::query::Filter;
use queuectl::core::state::Shown;

use crate::exit::Outcome;
use crate::flags::pair;
use crate::list::queue_name;
use crate::place::Place;
use crate::purge::{Purge, purge};
use crate::render::counted;

/// Delete dead jobs for good
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl dlq purge\n  queuectl dlq purge --queue mail --yes")]
pub struct Arguments {
    /// Of this queue only
    #[arg(long, short)]
    queue: Option<String>,
    /// With this tag only
    #[arg(long = "tag", value_name = "K=V", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let queue = arguments.queue.map(queue_name).transpose()?;
    let filter = Filter { shown: Some(Shown::Dead), queue, tags: arguments.tags, ended_before: None };
    purge(place, Purge { filter, what: Box::new(|n| counted(n, "dead job")), yes: arguments.yes }).await
}
