//! Notes on standard error that several verbs give.

use std::collections::BTreeSet;

use queuectl::Client;
use queuectl::core::queue::{DEFAULT_QUEUE, QueueName};

use crate::exit::Failure;
use crate::terminal::complain;
use queuectl::core::spelling::nearest;

/// Says once that nobody takes these queues, and how to start a worker.
pub async fn unless_served(client: &Client, queues: BTreeSet<QueueName>) -> Result<(), Failure> {
    for queue in queues {
        if !client.is_served(&queue).await? {
            complain(&format!(
                "Note: no running worker takes queue `{queue}`; start one with `queuectl worker start`"
            ));
        }
    }
    Ok(())
}

/// Says that somebody keeps the database's log from being emptied.
pub async fn if_log_has_grown(client: &Client) -> Result<(), Failure> {
    if let Some(bytes) = client.overgrown_log().await? {
        complain(&format!(
            "Note: the write-ahead log of the database has {} MiB, for another process keeps an old state of it open; end \
             that process (a SQL shell, a copy?), and a worker empties the log",
            bytes / (1024 * 1024)
        ));
    }
    Ok(())
}

/// Says of each queue that has had no job yet: it may be a slip of the hand, and it is no mistake.
pub async fn unless_known(client: &Client, queues: &[QueueName]) -> Result<(), Failure> {
    let known = known(client, queues.is_empty()).await?;
    for queue in queues.iter().filter(|queue| !known.contains(queue.as_str())) {
        let meant = nearest(queue.as_str(), known.iter().map(String::as_str));
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        complain(&format!("Note: queue `{queue}` has had no job yet{meant}"));
    }
    Ok(())
}

/// Of these queues, those that are unknown and look like a known one, with that one.
pub async fn meant_instead<'a>(
    client: &Client,
    queues: impl Iterator<Item = &'a QueueName>,
) -> Result<Vec<(&'a QueueName, String)>, Failure> {
    let known = known(client, false).await?;
    let unknown = queues.filter(|queue| !known.contains(queue.as_str()));
    let near = |queue: &'a QueueName| {
        Some((queue, nearest(queue.as_str(), known.iter().map(String::as_str))?.to_owned()))
    };
    Ok(unknown.filter_map(near).collect())
}

/// The names of the queues that have had a job or were paused; none, if nobody needs them.
async fn known(client: &Client, unneeded: bool) -> Result<BTreeSet<String>, Failure> {
    if unneeded {
        return Ok(BTreeSet::new());
    }
    let rows = client.queues().await?;
    Ok(rows.iter().map(|row| row.name.to_string()).chain([DEFAULT_QUEUE.to_owned()]).collect())
}
