//! `status`: how many jobs in each state, who works, where the store is.

use clap::Args;
use queuectl::json::to_line;
use queuectl::view::StatusView;

use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, print_line};

/// Counts of every state, and the active workers
#[derive(Debug, Args)]
pub struct Arguments {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let view = match place.open_existing().await? {
        None => StatusView::empty(&place.name()),
        Some(client) => StatusView::new(
            &client.place().name,
            &client.counts().await?,
            &client.queues().await?,
            &client.live_workers().await?,
        ),
    };
    if arguments.json {
        print_line(&to_line(&view))?;
    } else {
        print(&render::status(&view))?;
    }
    Ok(Exit::Done)
}
