//! `queue show`: one queue with its jobs, its workers and the settings in force.

use clap::Args;
use queuectl::core::settings::KEYS;
use queuectl::core::spelling::did_you_mean;
use queuectl::json::to_line;
use queuectl::view::{QueueDetailView, SettingView};

use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::place::Place;
use crate::render::{counted, table};
use crate::terminal::{clean, print, print_line};

/// Everything about a queue: jobs, workers, settings in force
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl queue show mail\n  queuectl queue show --json")]
pub struct Arguments {
    /// Its name
    #[arg(default_value = queuectl::core::queue::DEFAULT_QUEUE)]
    queue: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let name = queue_name(arguments.queue)?;
    let client = place.open_existing().await?;
    let rows = match &client {
        Some(client) => client.queues().await?,
        None => Vec::new(),
    };
    let known = rows.iter().find(|row| row.name == name);
    let Some((client, row)) = client.as_ref().zip(known) else {
        let meant = did_you_mean(name.as_str(), rows.iter().map(|row| row.name.as_str()));
        return Err(Failure::new(Exit::NotFound, format!("there is no queue `{name}`{meant}"))
            .hint("`queuectl queue list` shows those there are; the first job of a queue makes it"));
    };
    let workers = client.live_workers().await?;
    let view = QueueDetailView::new(row, &client.counts().await?, &workers, &client.settings().await?);
    if arguments.json {
        print_line(&to_line(&view))?;
        return Ok(Exit::Done);
    }
    let queue = &view.queue;
    let mut text = format!(
        "{}: {}\n\nJobs: {}\n",
        queue.name,
        if queue.paused { "paused" } else { "active" },
        queue.total
    );
    for (shown, jobs) in queue.jobs.iter().filter(|(_, jobs)| *jobs > 0) {
        text.push_str(&format!("  {:<12}{jobs:>8}\n", format!("{shown}:")));
    }
    let limit = match view.max_running {
        0 => "no limit".to_owned(),
        limit => format!("at most {limit}"),
    };
    text.push_str(&format!("Running: {} ({limit})\n", view.running));
    text.push_str(&format!(
        "Workers: {} in {}\n\n",
        counted(view.slots, "slot"),
        counted(view.workers.len() as u64, "process")
    ));
    let shown = |setting: &&SettingView| {
        KEYS.iter().any(|key| key.name == setting.key && key.alias_of.is_none()) && !setting.value.is_empty()
    };
    let settings = view.settings.iter().filter(shown);
    text.push_str(&table(
        &["SETTING", "VALUE", "SET"],
        settings.map(|setting| {
            vec![
                setting.key.to_owned(),
                clean(&setting.value),
                if setting.set { "yes" } else { "default" }.to_owned(),
            ]
        }),
    ));
    print(&text)?;
    Ok(Exit::Done)
}
