//! `queue`: named lanes that can be paused.

mod show;

use clap::{Args, Subcommand};
use queuectl::json::to_line;
use queuectl::view::QueueView;

use crate::exit::{Exit, Outcome};
use crate::list::queue_name;
use crate::note::unless_known;
use crate::place::Place;
use crate::render::{look, queues_table};
use crate::terminal::{complain, print, print_line};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List queues
    List(ListArguments),
    Show(show::Arguments),
    /// Start no more jobs of a queue; running ones finish
    Pause(NameArguments),
    /// Start jobs of a paused queue again
    Resume(NameArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl queue list\n  queuectl queue list --json")]
pub struct ListArguments {
    /// One JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Names only
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl queue pause mail\n  queuectl queue resume mail")]
pub struct NameArguments {
    /// Its name
    #[arg(default_value = queuectl::core::queue::DEFAULT_QUEUE)]
    queue: String,
}

pub async fn run(place: &Place, verb: Verb) -> Outcome {
    match verb {
        Verb::List(arguments) => list(place, &arguments).await,
        Verb::Show(arguments) => show::run(place, arguments).await,
        Verb::Pause(arguments) => set_paused(place, arguments, true).await,
        Verb::Resume(arguments) => set_paused(place, arguments, false).await,
    }
}

async fn list(place: &Place, arguments: &ListArguments) -> Outcome {
    let views = match place.open_existing().await? {
        None => Vec::new(),
        Some(client) => QueueView::all(&client.queues().await?, &client.counts().await?),
    };
    if arguments.json {
        print_line(&to_line(&views))?;
    } else if arguments.quiet {
        print(&views.iter().map(|view| format!("{}\n", view.name)).collect::<String>())?;
    } else if views.is_empty() {
        complain("No queues.");
    } else {
        print(&queues_table(&views, look()))?;
    }
    Ok(Exit::Done)
}

async fn set_paused(place: &Place, arguments: NameArguments, paused: bool) -> Outcome {
    let queue = queue_name(arguments.queue)?;
    let client = place.open().await?;
    unless_known(&client, std::slice::from_ref(&queue)).await?;
    let changed = client.set_paused(&queue, paused).await?;
    let state = if paused { "paused" } else { "active" };
    let already = if changed { "" } else { " already" };
    print_line(&format!("Queue {queue} is{already} {state}"))?;
    Ok(Exit::Done)
}
