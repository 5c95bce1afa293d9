//! Notes on standard error that several verbs give.

use std::collections::BTreeSet;

use queuectl::Client;
use queuectl::core::queue::QueueName;

use crate::exit::Failure;
use crate::terminal::complain;

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
