//! `status`: how many jobs in each state, who works, where the store is.

use clap::Args;
use queuectl::Client;
use queuectl::json::to_line;
use queuectl::view::StatusView;

use crate::exit::{Exit, Failure, Outcome};
use crate::note::if_log_has_grown;
use crate::place::Place;
use crate::render;
use crate::table::Look;
use crate::terminal::print;
use crate::watch::{self, Form, Watch};
use crate::when::Times;

/// Counts of every state, and the active workers
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  queuectl status
  queuectl status --json")]
pub struct Arguments {
    /// One JSON object
    #[arg(long, visible_alias = "jsonl")]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    if arguments.watch.is_on() {
        let form = if arguments.json { Form::Values } else { Form::Tables };
        return watch::run(place, &arguments.watch, form, async |client, canvas| {
            answer(place, client, arguments.json, canvas.look).await
        })
        .await;
    }
    let client = place.open_existing().await?;
    print(&answer(place, client.as_ref(), arguments.json, render::look()).await?)?;
    if let Some(client) = &client {
        if_log_has_grown(client).await?;
    }
    Ok(Exit::Done)
}

async fn answer(place: &Place, client: Option<&Client>, json: bool, look: Look) -> Result<String, Failure> {
    let (view, times) = match client {
        None => (StatusView::empty(&place.name()), Times::Iso),
        Some(client) => {
            client.settle_dead().await;
            let view = StatusView::new(
                &client.place().name,
                &client.counts().await?,
                &client.queues().await?,
                &client.live_workers().await?,
                &client.orphans().await?,
            );
            (view, Times::on_stdout(client.now().await?))
        }
    };
    Ok(if json { to_line(&view) + "\n" } else { render::status(&view, times, look) })
}
