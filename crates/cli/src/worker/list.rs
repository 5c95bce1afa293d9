//! `worker list`: who is alive.

use clap::Args;
use queuectl::json::to_line;
use queuectl::view::WorkerView;

use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::render::{look, workers_table};
use crate::terminal::{complain, print, print_line};
use crate::when::Times;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  queuectl worker list
  queuectl worker list --json")]
pub struct Arguments {
    /// One JSON array
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    let (workers, times) = match place.open_existing().await? {
        None => (Vec::new(), Times::Iso),
        Some(client) => (client.live_workers().await?, Times::on_stdout(client.now().await?)),
    };
    let views: Vec<WorkerView> = workers.iter().map(|row| WorkerView::new(row, None)).collect();
    if arguments.json {
        print_line(&to_line(&views))?;
    } else if views.is_empty() {
        complain("No workers are running.");
    } else {
        print(&workers_table(&views, times, look()))?;
    }
    Ok(Exit::Done)
}
