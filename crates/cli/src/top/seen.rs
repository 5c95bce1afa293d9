//! What `top` knows of the queue: plain data, bounded, and with nothing in it that could control a terminal.

use std::collections::BTreeMap;

use queuectl::core::command::Command;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::limits::TOP_TEXT_CHARS_MAX;
use queuectl::core::queue::QueueName;
use queuectl::core::state::Shown;
use queuectl::core::store::{Count, QueueRow, WorkerRow};
use queuectl::core::time::Timestamp;
use queuectl::view::{Facts, StateCounts};

use super::tail::Said;
use crate::reason::reason;
use crate::terminal::clean;
use crate::when::Times;

/// What the feed tells.
#[derive(Debug, Clone)]
pub enum News {
    Overview(Box<Overview>),
    Jobs(JobsPage),
    /// More of what a job prints.
    Output(JobId, Vec<Said>),
    Details(JobId, Vec<String>),
    /// What came of a key that changes something.
    Did(Note),
    /// The store cannot be read.
    Trouble(String),
}

/// One line for the person who pressed the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub text: String,
    pub refused: bool,
}

/// Which jobs are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    pub shown: Option<Shown>,
    pub queue: Option<QueueName>,
    /// Words that a job must all have.
    pub text: String,
}

/// The queue as a whole.
#[derive(Debug, Clone)]
pub struct Overview {
    pub now: Timestamp,
    pub jobs: StateCounts,
    pub queues: Vec<QueueSeen>,
    pub workers: Vec<WorkerSeen>,
}

#[derive(Debug, Clone)]
pub struct QueueSeen {
    pub name: QueueName,
    pub paused: bool,
    pub jobs: StateCounts,
}

#[derive(Debug, Clone)]
pub struct WorkerSeen {
    pub id: String,
    pub pid: u32,
    pub slots: u32,
    /// Empty: every queue.
    pub queues: Vec<String>,
    pub stopping: bool,
    /// Longest running first.
    pub running: Vec<JobSeen>,
}

/// The newest of the jobs that a view means.
#[derive(Debug, Clone)]
pub struct JobsPage {
    pub view: View,
    /// Newest first.
    pub jobs: Vec<JobSeen>,
    /// There are older ones that were not looked at.
    pub more: bool,
}

/// One job in a row.
#[derive(Debug, Clone)]
pub struct JobSeen {
    pub id: JobId,
    pub shown: Shown,
    pub queue: QueueName,
    pub command: String,
    /// What it waits for, or what ended it.
    pub why: String,
    pub attempts: u32,
    pub attempts_max: u32,
    pub exit_code: Option<i32>,
    pub created_at: Timestamp,
    /// Of the running or last attempt.
    pub started_at: Option<Timestamp>,
}

impl Overview {
    /// `workers`: those that are alive; `running`: what is processing.
    pub fn new(
        now: Timestamp,
        counts: &[Count],
        queues: &[QueueRow],
        workers: &[WorkerRow],
        running: &[Job],
        facts: &Facts,
    ) -> Overview {
        let seen = |row: &WorkerRow| {
            let its = running.iter().filter(|job| job.worker.as_deref() == Some(&row.id));
            let mut running: Vec<JobSeen> = its.map(|job| JobSeen::new(job, facts)).collect();
            running.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
            WorkerSeen {
                id: clean(&row.id),
                pid: row.pid,
                slots: row.slots,
                queues: row.queues.iter().map(QueueName::to_string).collect(),
                stopping: row.stop.is_some(),
                running,
            }
        };
        Overview {
            now,
            jobs: StateCounts::of(counts),
            queues: QueueSeen::all(queues, counts),
            workers: workers.iter().map(seen).collect(),
        }
    }
}

impl QueueSeen {
    /// Every queue that has a row or a job, by name.
    fn all(rows: &[QueueRow], counts: &[Count]) -> Vec<QueueSeen> {
        let mut by_name: BTreeMap<&QueueName, (bool, Vec<&Count>)> = BTreeMap::new();
        for row in rows {
            by_name.entry(&row.name).or_default().0 = row.paused;
        }
        for count in counts {
            by_name.entry(&count.queue).or_default().1.push(count);
        }
        let seen = |(name, (paused, counts)): (&QueueName, (bool, Vec<&Count>))| QueueSeen {
            name: name.clone(),
            paused,
            jobs: StateCounts::of(counts),
        };
        by_name.into_iter().map(seen).collect()
    }
}

impl JobSeen {
    pub fn new(job: &Job, facts: &Facts) -> JobSeen {
        let command = job.spec.command.as_ref().map(Command::display).unwrap_or_default();
        let shown = job.shown(facts.now);
        let why = reason(job, facts, Times::Relative(facts.now));
        // The state says these already.
        let said =
            why == shown.as_str() || job.exit_code.is_some_and(|code| why == format!("exit code {code}"));
        JobSeen {
            id: job.id.clone(),
            shown,
            queue: job.spec.queue.clone(),
            command: short(&command),
            why: if said { String::new() } else { short(&why) },
            attempts: job.attempts,
            attempts_max: job.spec.max_retries.max(1),
            exit_code: job.exit_code,
            created_at: job.created_at,
            started_at: job.started_at,
        }
    }
}

impl View {
    /// Whether a job has every word, wherever people see it.
    pub fn has_words(&self, job: &Job) -> bool {
        let command = job.spec.command.as_ref().map(Command::display).unwrap_or_default();
        let tags = job.spec.tags.iter().map(|(key, value)| format!("{key}={value}"));
        let mut fields = vec![job.id.to_string(), job.spec.queue.to_string(), command];
        fields.extend(tags.chain(job.worker.clone()).chain(job.last_error.clone()));
        let text = fields.join("\n").to_lowercase();
        self.text.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let begin: String = text.chars().take(TOP_TEXT_CHARS_MAX).collect();
    clean(&begin)
}
