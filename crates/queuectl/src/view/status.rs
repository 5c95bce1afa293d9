//! The queue as a whole: counts, queues, workers.

use std::collections::BTreeMap;

use queuectl_core::id::JobId;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;
use queuectl_core::state::Shown;
use queuectl_core::store::{Count, QueueRow, WorkerRow};
use serde::Serialize;

use crate::client::Orphan;

use super::{SCHEMA, SettingView, StateCounts};

/// What `status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusView {
    pub schema: u32,
    /// Where the store is.
    pub store: String,
    pub jobs: StateCounts,
    pub total: u64,
    pub queues: Vec<QueueView>,
    pub workers: WorkersView,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueView {
    pub name: String,
    pub paused: bool,
    pub jobs: StateCounts,
    pub total: u64,
}

/// The workers that live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WorkersView {
    /// Each slot counts as a worker.
    pub active: u64,
    pub processes: usize,
    pub list: Vec<WorkerView>,
    /// Keepers whose worker is gone while their jobs run on.
    pub orphans: Vec<OrphanView>,
}

/// A keeper without a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphanView {
    pub keeper: String,
    /// The ids of the jobs that it runs.
    pub jobs: Vec<String>,
}

/// One worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerView {
    pub id: String,
    pub pid: u32,
    pub host: String,
    pub slots: u32,
    /// Jobs that it runs; `null` where nobody counted them.
    pub running: Option<u64>,
    /// Empty: every queue.
    pub queues: Vec<String>,
    /// It runs for one job only.
    pub only_job: bool,
    pub started_at: String,
    /// `active`, or `stopping` once it is asked to stop.
    pub state: &'static str,
    pub version: String,
}

impl StatusView {
    /// `workers`: those that are alive.
    pub fn new(
        store: &str,
        counts: &[Count],
        queues: &[QueueRow],
        workers: &[WorkerRow],
        orphans: &[Orphan],
    ) -> StatusView {
        let jobs = StateCounts::of(counts);
        StatusView {
            schema: SCHEMA,
            store: store.to_owned(),
            jobs,
            total: jobs.total(),
            queues: QueueView::all(queues, counts),
            workers: WorkersView::new(
                workers.iter().map(|row| WorkerView::new(row, None)).collect(),
                OrphanView::all(orphans),
            ),
        }
    }

    /// The status of a store that does not exist yet.
    pub fn empty(store: &str) -> StatusView {
        StatusView::new(store, &[], &[], &[], &[])
    }
}

impl QueueView {
    /// One queue out of the counts of all.
    pub fn new(name: &QueueName, paused: bool, counts: &[Count]) -> QueueView {
        let jobs = StateCounts::of(counts.iter().filter(|count| count.queue == *name));
        QueueView { name: name.to_string(), paused, jobs, total: jobs.total() }
    }

    /// Every queue that has a row or a job, by name.
    pub fn all(rows: &[QueueRow], counts: &[Count]) -> Vec<QueueView> {
        let mut by_name: BTreeMap<&QueueName, (bool, Vec<&Count>)> = BTreeMap::new();
        for row in rows {
            by_name.entry(&row.name).or_default().0 = row.paused;
        }
        for count in counts {
            by_name.entry(&count.queue).or_default().1.push(count);
        }
        let view = |(name, (paused, counts)): (&QueueName, (bool, Vec<&Count>))| {
            let jobs = StateCounts::of(counts);
            QueueView { name: name.to_string(), paused, jobs, total: jobs.total() }
        };
        by_name.into_iter().map(view).collect()
    }
}

impl WorkersView {
    pub fn new(list: Vec<WorkerView>, orphans: Vec<OrphanView>) -> WorkersView {
        let active = list.iter().map(|worker| u64::from(worker.slots)).sum();
        WorkersView { active, processes: list.len(), list, orphans }
    }
}

impl OrphanView {
    pub fn all(orphans: &[Orphan]) -> Vec<OrphanView> {
        let view = |orphan: &Orphan| OrphanView {
            keeper: orphan.keeper.clone(),
            jobs: orphan.jobs.iter().map(JobId::to_string).collect(),
        };
        orphans.iter().map(view).collect()
    }
}

impl WorkerView {
    pub fn new(row: &WorkerRow, running: Option<u64>) -> WorkerView {
        WorkerView {
            id: row.id.clone(),
            pid: row.pid,
            host: row.host.clone(),
            slots: row.slots,
            running,
            queues: row.queues.iter().map(QueueName::to_string).collect(),
            only_job: row.only_job,
            started_at: row.started_at.to_string(),
            state: if row.stop.is_some() { "stopping" } else { "active" },
            version: row.version.clone(),
        }
    }
}

/// One queue with all that bears on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDetailView {
    pub schema: u32,
    #[serde(flatten)]
    pub queue: QueueView,
    pub running: u64,
    /// 0: no limit.
    pub max_running: u64,
    /// Of the workers that take it.
    pub slots: u64,
    /// The ids of those workers.
    pub workers: Vec<String>,
    /// As they are in force for it.
    pub settings: Vec<SettingView>,
}

impl QueueDetailView {
    /// `workers`: those that are alive.
    pub fn new(
        row: &QueueRow,
        counts: &[Count],
        workers: &[WorkerRow],
        settings: &Settings,
    ) -> QueueDetailView {
        let queue = QueueView::new(&row.name, row.paused, counts);
        let takes = |worker: &&WorkerRow| {
            !worker.only_job && (worker.queues.is_empty() || worker.queues.contains(&row.name))
        };
        let workers: Vec<&WorkerRow> = workers.iter().filter(takes).collect();
        QueueDetailView {
            schema: SCHEMA,
            running: queue.jobs.get(Shown::Processing),
            queue,
            max_running: settings.for_queue(&row.name).max_running,
            slots: workers.iter().map(|worker| u64::from(worker.slots)).sum(),
            workers: workers.iter().map(|worker| worker.id.clone()).collect(),
            settings: SettingView::in_force(settings, Some(&row.name)),
        }
    }
}
