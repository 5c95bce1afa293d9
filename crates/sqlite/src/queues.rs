//! Queues.

use async_trait::async_trait;
use queuectl_core::queue::QueueName;
use queuectl_core::store::{QueueRow, Queues, StoreResult};
use rusqlite::Connection;

use crate::failure::Failure;
use crate::insert::ensure_queue;
use crate::open::SqliteStore;
use crate::rows::queue_name;
use crate::writer::Verdict;

#[async_trait]
impl Queues for SqliteStore {
    async fn queues(&self) -> StoreResult<Vec<QueueRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "-- queue_list
                     SELECT name, paused FROM queue ORDER BY name",
            )?;
            let rows: Vec<(String, bool)> =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            rows.into_iter()
                .map(|(name, paused)| Ok::<_, Failure>(QueueRow { name: queue_name(name)?, paused }))
                .collect()
        })
        .await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> StoreResult<bool> {
        let queue = queue.clone();
        self.write(move |connection, rings| {
            rings.work = true;
            ensure_queue(connection, &queue)?;
            let changed = connection
                .prepare_cached(
                    "-- queue_set_paused
                     UPDATE queue SET paused = ?1 WHERE name = ?2 AND paused != ?1",
                )?
                .execute((paused, queue.as_str()))?;
            Ok(Verdict::Keep(changed > 0))
        })
        .await
    }
}

/// The names of the paused queues.
pub fn paused(connection: &Connection) -> Result<Vec<QueueName>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- queue_paused
         SELECT name FROM queue WHERE paused = 1 ORDER BY name",
    )?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.into_iter().map(queue_name).collect()
}
