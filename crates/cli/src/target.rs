//! The jobs that a verb is about.

use std::collections::HashSet;

use queuectl::core::id::JobId;
use queuectl::{Client, Selector};

use crate::exit::{Exit, Failure};
use crate::place::Place;

/// Resolves words to ids, each id once. One word that names nothing refuses all.
pub async fn resolve(client: &Client, words: &[String]) -> Result<Vec<JobId>, Failure> {
    let (mut ids, mut seen) = (Vec::new(), HashSet::new());
    for word in words {
        for id in client.select(&Selector::parse(word)?).await? {
            if seen.insert(id.clone()) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

/// The job of a verb that takes exactly one.
pub async fn resolve_one(client: &Client, word: &str) -> Result<JobId, Failure> {
    let mut ids = client.select(&Selector::parse(word)?).await?;
    match ids.len() {
        1 => Ok(ids.remove(0)),
        several => Err(Failure::usage(format!("`{word}` names {several} jobs, and this command takes one"))),
    }
}

/// The open store, for verbs that need a job in it.
pub async fn store_with_jobs(place: &Place) -> Result<Client, Failure> {
    let missing = || {
        Failure::new(Exit::NotFound, format!("there is no job: no database at {}", place.name()))
            .hint("enqueue one with `queuectl enqueue`, or name another database with --db")
    };
    place.open_existing().await?.ok_or_else(missing)
}
