//! Hints for the shell's completion: what could stand in the place of a value. Silent where anything is amiss.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use queuectl::core::query::Filter;
use queuectl::core::settings::KEYS;
use queuectl::core::state::Shown;

use crate::place::Place;

/// Jobs that are offered, the newest.
const JOBS_MAX: usize = 50;

fn beginning<'a>(
    typed: &OsStr,
    words: impl IntoIterator<Item = (String, Option<String>)> + 'a,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    let offered = words.into_iter().filter(|(word, _)| word.starts_with(&typed));
    offered.map(|(word, about)| CompletionCandidate::new(word).help(about.map(Into::into))).collect()
}

/// States.
pub fn states(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(typed, Shown::ALL.iter().map(|state| (state.as_str().to_owned(), None)))
}

/// Settings.
pub fn keys(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(typed, KEYS.iter().map(|key| (key.name.to_owned(), Some(key.about.to_owned()))))
}

/// Queues of the store that the environment names.
pub fn queues(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let rows = client.queues().await.ok()?;
        Some(rows.into_iter().map(|row| (row.name.to_string(), None)).collect())
    });
    beginning(typed, names)
}

/// The newest jobs of that store, and the words that stand for jobs.
pub fn jobs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut words = ask(async |client| {
        let jobs = client.list(&Filter::default(), Some(JOBS_MAX)).await.ok()?;
        let about = |job: &queuectl::core::job::Job| {
            job.spec.command.as_ref().map(|command| crate::terminal::clean(&command.display()))
        };
        Some(jobs.iter().rev().map(|job| (job.id.to_string(), about(job))).collect())
    });
    words.extend(["last", "all"].map(|word| (word.to_owned(), None)));
    beginning(typed, words)
}

/// Asks the store, if there is one.
fn ask(
    question: impl AsyncFnOnce(queuectl::Client) -> Option<Vec<(String, Option<String>)>>,
) -> Vec<(String, Option<String>)> {
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let client = Place::find(None).ok()?.open_existing().await.ok()??;
            question(client).await
        })
    };
    answer().unwrap_or_default()
}
