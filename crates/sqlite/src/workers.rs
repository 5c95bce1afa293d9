//! Workers' rows.

use async_trait::async_trait;
use queuectl_core::store::{StopMode, StoreResult, WorkerRow, Workers};
use queuectl_core::time::Timestamp;

use crate::failure::{Failure, damaged};
use crate::open::SqliteStore;
use crate::rows::queue_name;
use crate::writer::Verdict;

/// Named wherever a row is written: a newer schema may have more.
pub const WORKER_COLUMNS: &str = "id, pid, host, slots, queues, only_job, started_at, stop, version";

#[async_trait]
impl Workers for SqliteStore {
    async fn register(&self, worker: WorkerRow) -> StoreResult<()> {
        let clock = self.clock.clone();
        self.write(move |connection, rings| {
            rings.outcome = true;
            let queues: Vec<&str> =
                worker.queues.iter().map(queuectl_core::queue::QueueName::as_str).collect();
            connection
                .prepare_cached(&format!(
                    "-- worker_register
                     INSERT INTO worker ({WORKER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ))?
                .execute((
                    &worker.id,
                    worker.pid,
                    &worker.host,
                    worker.slots,
                    queues.join(","),
                    worker.only_job,
                    clock.now().millis(),
                    worker.stop.map(stop_name),
                    &worker.version,
                ))?;
            Ok(Verdict::Keep(()))
        })
        .await
    }

    async fn retire(&self, worker: &str) -> StoreResult<()> {
        let worker = worker.to_owned();
        self.write(move |connection, rings| {
            rings.outcome = true;
            connection
                .prepare_cached(
                    "-- worker_retire
                     DELETE FROM worker WHERE id = ?",
                )?
                .execute([worker])?;
            Ok(Verdict::Keep(()))
        })
        .await
    }

    async fn workers(&self) -> StoreResult<Vec<WorkerRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "-- worker_list
                     SELECT {WORKER_COLUMNS} FROM worker ORDER BY started_at, id",
            ))?;
            let mut workers = Vec::new();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let queues: String = row.get(4)?;
                let queues = queues.split(',').filter(|name| !name.is_empty());
                let stop: Option<String> = row.get(7)?;
                workers.push(WorkerRow {
                    id: row.get(0)?,
                    pid: row.get(1)?,
                    host: row.get(2)?,
                    slots: row.get(3)?,
                    queues: queues.map(|name| queue_name(name.to_owned())).collect::<Result<_, Failure>>()?,
                    only_job: row.get(5)?,
                    started_at: Timestamp::from_millis(row.get(6)?),
                    stop: stop
                        .map(|name| stop_mode(&name).ok_or_else(|| damaged("unknown stop mode")))
                        .transpose()?,
                    version: row.get(8)?,
                });
            }
            Ok(workers)
        })
        .await
    }

    async fn request_stop(&self, workers: &[String], mode: StopMode) -> StoreResult<()> {
        let workers = workers.to_vec();
        self.write(move |connection, rings| {
            rings.work = true;
            let mut statement = connection.prepare_cached(
                "-- worker_request_stop
                 UPDATE worker SET stop = ?1 WHERE id = ?2
                   AND (stop IS NULL OR stop = 'drain' OR ?1 = 'now')",
            )?;
            for worker in &workers {
                statement.execute((stop_name(mode), worker))?;
            }
            Ok(Verdict::Keep(()))
        })
        .await
    }
}

fn stop_name(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Drain => "drain",
        StopMode::HandOver => "handover",
        StopMode::Now => "now",
    }
}

/// A stop mode by its name in the table.
pub fn stop_mode(name: &str) -> Option<StopMode> {
    match name {
        "drain" => Some(StopMode::Drain),
        "handover" => Some(StopMode::HandOver),
        "now" => Some(StopMode::Now),
        _ => None,
    }
}
