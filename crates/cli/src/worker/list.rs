//! `worker list`: who is alive.

use clap::Args;
use queuectl::json::to_line;
use queuectl::view::{OrphanView, WorkerView};

use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::render::{look, orphan_lines, workers_table};
use crate::terminal::{complain, print, print_line};
use crate::when::Times;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  queuectl worker list
  queuectl worker list --json")]
pub struct Arguments {
    /// One JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Ids only
    #[arg(long)]
    quiet: bool,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    let (workers, orphans, times) = match place.open_existing().await? {
        None => (Vec::new(), Vec::new(), Times::Iso),
        Some(client) => {
            client.settle_dead().await;
            let times = Times::on_stdout(client.now().await?);
            (client.live_workers().await?, OrphanView::all(&client.orphans().await?), times)
        }
    };
    let views: Vec<WorkerView> = workers.iter().map(|row| WorkerView::new(row, None)).collect();
    if arguments.json {
        print_line(&to_line(&views))?;
    } else if arguments.quiet {
        print(&views.iter().map(|view| format!("{}\n", view.id)).collect::<String>())?;
    } else if views.is_empty() {
        complain("No workers are running.");
    } else {
        print(&workers_table(&views, times, look()))?;
    }
    // A keeper is no worker: the array is of workers, people are told.
    for line in orphan_lines(&orphans) {
        complain(&line);
    }
    Ok(Exit::Done)
}
