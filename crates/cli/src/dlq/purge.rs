//! `dlq purge`: deletes dead jobs for good.

use clap::Args;
use queuectl::core::query::Filter;
use queuectl::core::state::Shown;

use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::place::Place;
use crate::terminal::{confirm, print_line};

/// Delete dead jobs for good
#[derive(Debug, Args)]
pub struct Arguments {
    /// Of this queue only
    #[arg(long, short)]
    queue: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let queue = arguments.queue.map(queue_name).transpose()?;
    let Some(reader) = place.open_existing().await? else {
        print_line("Deleted 0 jobs")?;
        return Ok(Exit::Done);
    };
    let wanted = |count: &&queuectl::core::store::Count| {
        count.shown == Shown::Dead && queue.as_ref().is_none_or(|queue| *queue == count.queue)
    };
    let dead: u64 = reader.counts().await?.iter().filter(wanted).map(|count| count.jobs).sum();
    if dead > 0 && !arguments.yes && !confirm(&format!("Delete {dead} dead jobs for good?")) {
        return Err(Failure::new(Exit::No, "nothing was deleted").hint("--yes deletes without asking"));
    }
    let filter = Filter { shown: Some(Shown::Dead), queue, ..Filter::default() };
    let deleted = if dead == 0 { 0 } else { place.open().await?.clear(filter).await? };
    print_line(&format!("Deleted {deleted} jobs"))?;
    Ok(Exit::Done)
}
