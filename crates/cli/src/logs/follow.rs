//! `logs --follow`: the output of one job or several as they print it, until all have ended.

use std::collections::BTreeSet;
use std::time::Duration;

use queuectl::core::id::JobId;
use queuectl::core::limits::{LOGS_FOLLOWED_MAX, LOGS_PIECES_MAX};
use queuectl::core::outcome::Stream;
use queuectl::core::state::State;
use queuectl::{Client, Follower, Live, Piece};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Arguments;
use super::voice::{Manner, Voice};
use crate::exit::{Exit, Failure, Outcome};
use crate::note::unless_served;
use crate::terminal::{complain, stdout_is_closed};

/// How often a follower whose jobs are silent looks whether anybody reads it.
const STDOUT_LOOK: Duration = Duration::from_secs(1);

/// What one of the followers has seen, and which.
type News = (usize, Result<Live, queuectl::Error>);

pub async fn run(client: &Client, ids: Vec<JobId>, arguments: &Arguments) -> Outcome {
    if ids.len() > LOGS_FOLLOWED_MAX {
        return Err(Failure::usage(format!(
            "these are {} jobs, and --follow shows {LOGS_FOLLOWED_MAX} at once",
            ids.len()
        ))
        .hint("name fewer, or leave --follow out"));
    }
    let manner = Manner::of(arguments, ids.len());
    let width = ids.iter().map(|id| id.as_str().chars().count()).max().unwrap_or(0);
    let voice = |(at, id): (usize, &JobId)| match ids.len() {
        1 => Voice::alone(id, arguments, manner),
        _ => Voice::among(id, at, width, arguments, manner),
    };
    let mut voices: Vec<Voice> = ids.iter().enumerate().map(voice).collect();
    let (sender, mut receiver) = mpsc::channel(LOGS_PIECES_MAX);
    for (at, id) in ids.iter().enumerate() {
        tokio::spawn(watch(at, client.follow(id.clone(), 0).await?, sender.clone()));
    }
    drop(sender);
    let mut queues = BTreeSet::new();
    loop {
        let (at, live) = match timeout(STDOUT_LOOK, receiver.recv()).await {
            Ok(Some(news)) => news,
            Ok(None) => return Ok(Exit::Done),
            // A job that prints nothing must not keep us after our reader has gone.
            Err(_) if stdout_is_closed() => return Err(Failure::closed_stdout()),
            Err(_) => continue,
        };
        match live? {
            Live::Output(piece) => {
                if arguments.wants(stream_of(&piece)) {
                    voices[at].hear(piece)?;
                }
            }
            Live::AttemptEnded(attempt) => voices[at].end(&attempt)?,
            Live::Changed(job) => {
                if job.state == State::Pending && queues.insert(job.spec.queue.clone()) {
                    unless_served(client, BTreeSet::from([job.spec.queue.clone()])).await?;
                }
            }
            Live::Ended(_) => {}
            Live::Deleted => complain(&format!("Job {} was deleted.", ids[at])),
        }
    }
}

/// Passes on what a follower sees, as fast as it is shown.
async fn watch(at: usize, mut follower: Follower, sender: mpsc::Sender<News>) {
    loop {
        let news = match follower.next().await {
            Ok(Some(live)) => Ok(live),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let failed = news.is_err();
        if sender.send((at, news)).await.is_err() || failed {
            return;
        }
    }
}

fn stream_of(piece: &Piece) -> Stream {
    match piece {
        Piece::Bytes(stream, _) | Piece::Gap(stream, _) => *stream,
    }
}
