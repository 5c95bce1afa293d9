//! `config`: settings that all workers share, kept in the store as they were given.

use clap::{Args, Subcommand};
use queuectl::core::settings::{Settings, find_key};
use queuectl::json::to_line;
use queuectl::view::SettingView;

use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::note::unless_known;
use crate::place::Place;
use crate::render::table;
use crate::terminal::{clean, print, print_line};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Set a key, for all queues or one
    Set(SetArguments),
    /// Print a key's value, or all
    Get(GetArguments),
    /// Unset a key: its default holds again
    Unset(UnsetArguments),
    /// Print all keys
    #[command(visible_alias = "show")]
    List(ListArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl config set max-retries 5\n  queuectl config set --queue mail max-running 2\n\n\
    A job takes the values in force when it is enqueued."
)]
pub struct SetArguments {
    /// The key, in any of its spellings
    key: String,
    /// Its value
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// For this queue only
    #[arg(long, short)]
    queue: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl config get max-retries\n  queuectl config get --queue mail job-timeout"
)]
pub struct GetArguments {
    /// The key; all if none is given
    key: Option<String>,
    /// As it is in force for this queue
    #[arg(long, short)]
    queue: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl config unset max-retries")]
pub struct UnsetArguments {
    /// The key
    key: String,
    /// For this queue only
    #[arg(long, short)]
    queue: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl config list\n  queuectl config list --queue mail --json")]
pub struct ListArguments {
    /// As they are in force for this queue
    #[arg(long, short)]
    queue: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, verb: Verb) -> Outcome {
    match verb {
        Verb::Set(arguments) => set(place, &arguments.key, Some(&arguments.value), arguments.queue).await,
        Verb::Unset(arguments) => set(place, &arguments.key, None, arguments.queue).await,
        Verb::Get(arguments) => get(place, arguments).await,
        Verb::List(arguments) => list(place, arguments).await,
    }
}

async fn set(place: &Place, key: &str, value: Option<&str>, queue: Option<String>) -> Outcome {
    let key = find_key(key)?;
    if let Some(value) = value {
        key.check(value)?;
    }
    let queue = queue.map(queue_name).transpose()?;
    let client = place.open().await?;
    if value.is_some() {
        unless_known(&client, queue.as_slice()).await?;
    }
    client.configure(queue.as_ref(), key, value).await?;
    let now = client.settings().await?.raw(queue.as_ref(), key);
    let scope = queue.map(|queue| format!(" for queue {queue}")).unwrap_or_default();
    match value {
        Some(value) => print_line(&format!("Set {} = {}{scope}", key.name, clean(value)))?,
        None if now.is_empty() => print_line(&format!("Unset {}{scope}; it has no value now", key.name))?,
        None => print_line(&format!("Unset {}{scope}; now it is {}", key.name, clean(&now)))?,
    }
    Ok(Exit::Done)
}

async fn get(place: &Place, arguments: GetArguments) -> Outcome {
    let Some(key) = &arguments.key else {
        return list(place, ListArguments { queue: arguments.queue, json: arguments.json }).await;
    };
    let key = find_key(key)?;
    let queue = arguments.queue.map(queue_name).transpose()?;
    let view = SettingView::new(&settings(place).await?, queue.as_ref(), key);
    if arguments.json {
        print_line(&to_line(&view))?;
    } else {
        print_line(&view.value)?;
    }
    Ok(Exit::Done)
}

async fn list(place: &Place, arguments: ListArguments) -> Outcome {
    let queue = arguments.queue.map(queue_name).transpose()?;
    let settings = settings(place).await?;
    let views = match &queue {
        Some(queue) => SettingView::in_force(&settings, Some(queue)),
        None => SettingView::all(&settings),
    };
    if arguments.json {
        print_line(&to_line(&views))?;
        return Ok(Exit::Done);
    }
    // Keys of other programs of this family show once they are set.
    let known = |view: &&SettingView| view.set || !view.default.is_empty() || is_ours(view.key);
    let rows = views.iter().filter(known).map(|view| {
        let queue = view.queue.clone().unwrap_or_else(|| "all".to_owned());
        vec![
            view.key.to_owned(),
            clean(&view.value),
            queue,
            if view.set { "set" } else { "default" }.to_owned(),
        ]
    });
    print(&table(&["KEY", "VALUE", "QUEUE", "SOURCE"], rows))?;
    Ok(Exit::Done)
}

fn is_ours(key: &str) -> bool {
    ["pass-env", "on-dead"].contains(&key)
}

async fn settings(place: &Place) -> Result<Settings, Failure> {
    match place.open_existing().await? {
        None => Ok(Settings::default()),
        Some(client) => Ok(client.settings().await?),
    }
}
