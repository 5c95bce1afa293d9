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

/// Says of each queue that has had no job yet: it may be a slip of the hand, and it is no mistake.
pub async fn unless_known(client: &Client, queues: &[QueueName]) -> Result<(), Failure> {
    if queues.is_empty() {
        return Ok(());
    }
    let known = client.queues().await?;
    let names: Vec<&str> = known.iter().map(|row| row.name.as_str()).chain([DEFAULT_QUEUE]).collect();
    for queue in queues.iter().filter(|queue| !names.contains(&queue.as_str())) {
        let meant = nearest(queue.as_str(), names.iter().copied());
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        complain(&format!("Note: queue `{queue}` has had no job yet{meant}"));
    }
    Ok(())
}
