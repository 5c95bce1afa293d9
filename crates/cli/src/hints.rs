//! What values a shell is offered: states, queues, keys and ids, by the names of the arguments that take them.
//!
//! The store is only read, never made, asked for a bounded number of rows in a bounded time; on any error there is
//! simply nothing to offer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use queuectl::Client;
use queuectl::core::job::Job;
use queuectl::core::limits::{COMPLETION_IDS_MAX, COMPLETION_WAIT_MAX};
use queuectl::core::query::Filter;
use queuectl::core::queue::DEFAULT_QUEUE;
use queuectl::core::settings::KEYS;
use queuectl::core::state::Shown;
use queuectl::view::JobView;

use crate::place::Place;
use crate::terminal::clean;

/// Gives each argument of the grammar that takes one of our values its completer. `words` are those of the shell's
/// call, which may name a database.
pub fn attach(command: Command, words: &[OsString]) -> Command {
    let database = database(words);
    attach_below(command, &[], database.as_ref())
}

fn attach_below(command: Command, path: &[String], database: Option<&PathBuf>) -> Command {
    let dead_only = path.first().is_some_and(|verb| verb == "dlq");
    let ended_only = path.first().is_some_and(|verb| verb == "prune");
    let command = command.mut_args(|arg| match kind(&arg) {
        Some(Kind::State) if ended_only => {
            let values = move |typed: &OsStr| candidates(Kind::EndState, dead_only, None, typed);
            arg.add(ArgValueCompleter::new(values))
        }
        Some(kind) => {
            let database = database.cloned();
            let values = move |typed: &OsStr| candidates(kind, dead_only, database.clone(), typed);
            arg.add(ArgValueCompleter::new(values))
        }
        None => arg,
    });
    command.mut_subcommands(|verb| {
        // Beside its aliases a verb would be offered under the first of its names in the alphabet.
        let names: Vec<String> = verb.get_all_aliases().map(str::to_owned).collect();
        let verb = verb.visible_alias(None::<&'static str>).aliases(names);
        let path: Vec<String> = path.iter().cloned().chain([verb.get_name().to_owned()]).collect();
        attach_below(verb, &path, database)
    })
}

/// The kinds of values that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    State,
    Queue,
    Key,
    Job,
    /// Of `enqueue`: JSON, or a file behind `@`.
    Input,
    /// Of jobs that have ended.
    EndState,
    Words(&'static [&'static str]),
}

/// What an argument takes, told by its name: the same names mean the same in every verb.
fn kind(arg: &Arg) -> Option<Kind> {
    match arg.get_id().as_str() {
        "state" | "states" => Some(Kind::State),
        "queue" | "queues" => Some(Kind::Queue),
        "key" => Some(Kind::Key),
        "input" => Some(Kind::Input),
        "backoff" => Some(Kind::Words(&["exponential", "linear", "fixed"])),
        "leftovers" => Some(Kind::Words(&["kill", "keep"])),
        "job" | "jobs" | "selector" | "selectors" => Some(Kind::Job),
        _ => None,
    }
}

/// The database that the line names so far.
fn database(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter().skip_while(|word| *word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "--db" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--db=")) {
            return Some(path.into());
        }
    }
    None
}

fn candidates(
    kind: Kind,
    dead_only: bool,
    database: Option<PathBuf>,
    typed: &OsStr,
) -> Vec<CompletionCandidate> {
    let plain =
        |(value, help): (&str, &str)| CompletionCandidate::new(value).help(Some(help.to_owned().into()));
    let mut offered: Vec<CompletionCandidate> = match kind {
        Kind::State => Shown::ALL.iter().map(|shown| CompletionCandidate::new(shown.as_str())).collect(),
        Kind::EndState => Shown::ALL
            .iter()
            .filter(|shown| shown.stored().is_terminal())
            .map(|shown| CompletionCandidate::new(shown.as_str()))
            .collect(),
        Kind::Key => KEYS.iter().map(|key| plain((key.name, key.about))).collect(),
        Kind::Queue => ask(database, queues)
            .unwrap_or_else(|| vec![DEFAULT_QUEUE.to_owned()])
            .into_iter()
            .map(CompletionCandidate::new)
            .collect(),
        Kind::Words(words) => words.iter().map(CompletionCandidate::new).collect(),
        Kind::Input => files_behind_at(typed),
        Kind::Job => {
            let shown = dead_only.then_some(Shown::Dead);
            let jobs = ask(database, async |client| newest(client, shown).await).unwrap_or_default();
            jobs.iter().map(|(id, about)| plain((id, about))).collect()
        }
    };
    let typed = typed.to_string_lossy();
    offered.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&*typed));
    offered
}

/// File names for `@FILE`.
fn files_behind_at(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(path) = typed.as_bytes().strip_prefix(b"@") else { return Vec::new() };
    let files = PathCompleter::any().complete(OsStr::from_bytes(path));
    files.into_iter().map(|file| file.add_prefix("@")).collect()
}

/// Asks the store, if there is one that answers in time.
fn ask<T>(database: Option<PathBuf>, question: impl AsyncFnOnce(Client) -> Option<T>) -> Option<T> {
    let place = Place::find(database).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async {
        let asked = async { question(place.open_existing().await.ok()??).await };
        tokio::time::timeout(COMPLETION_WAIT_MAX, asked).await.ok()?
    });
    // A reader that is stuck must not keep the shell.
    runtime.shutdown_background();
    answer
}

async fn queues(client: Client) -> Option<Vec<String>> {
    let rows = client.queues().await.ok()?;
    Some(rows.into_iter().map(|row| row.name.to_string()).collect())
}

/// The newest jobs, newest first, each with what tells it from the others.
async fn newest(client: Client, shown: Option<Shown>) -> Option<Vec<(String, String)>> {
    let now = client.now().await.ok()?;
    let filter = Filter { shown, ..Filter::default() };
    let jobs = client.list(&filter, Some(COMPLETION_IDS_MAX)).await.ok()?;
    let offer = |job: &Job| {
        let view = JobView::new(job, now);
        let about = format!("{}: {}", view.state, brief(view.command.as_deref().unwrap_or_default()));
        (view.id, about)
    };
    Some(jobs.iter().rev().map(offer).collect())
}

/// A command as a few words.
fn brief(command: &str) -> String {
    const CHARS_MAX: usize = 60;
    clean(command).chars().take(CHARS_MAX).collect()
}
