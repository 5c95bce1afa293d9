//! `init`: makes the store, or brings it up to date. Harmless if it exists.

use clap::Args;

use crate::exit::{Exit, Outcome};
use crate::migrate::note_in_the_way;
use crate::place::Place;
use crate::terminal::print_line;

/// Create the database if there is none
#[derive(Debug, Args)]
#[command(
    visible_alias = "init-db",
    after_help = "Examples:
  queuectl init
  queuectl --db ./queue.db init"
)]
pub struct Arguments {}

pub async fn run(place: &Place, _: Arguments) -> Outcome {
    let (client, in_the_way) = place.open_newest().await?;
    note_in_the_way(&in_the_way);
    print_line(&format!("The queue is ready: {}", client.place().name))?;
    Ok(Exit::Done)
}
