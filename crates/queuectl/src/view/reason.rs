//! Why a job is where it is: the question that people ask most.

use std::collections::{BTreeMap, BTreeSet};

use queuectl_core::job::Job;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;
use queuectl_core::state::{Shown, State};
use queuectl_core::store::{Count, QueueRow, WorkerRow};
use queuectl_core::time::Timestamp;
use serde::Serialize;

use super::SCHEMA;

/// What has to be known of the queue as a whole, loaded once for any number of jobs.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now: Timestamp,
    paused: BTreeSet<QueueName>,
    running: BTreeMap<QueueName, u64>,
    /// Those that are alive.
    workers: Vec<WorkerRow>,
    settings: Settings,
}

/// One reason, as a code for programs, in words, and with what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// What `explain` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainView {
    pub schema: u32,
    pub id: String,
    pub state: &'static str,
    /// The most decisive first.
    pub reasons: Vec<Reason>,
}

impl ExplainView {
    /// `ahead`: ready jobs of its queue that go before it, and whether there are more than were counted.
    pub fn new(job: &Job, facts: &Facts, ahead: Option<(usize, bool)>) -> ExplainView {
        ExplainView {
            schema: SCHEMA,
            id: job.id.to_string(),
            state: job.shown(facts.now).as_str(),
            reasons: facts.reasons(job, ahead),
        }
    }
}

impl Facts {
    pub fn new(
        now: Timestamp,
        queues: &[QueueRow],
        counts: &[Count],
        workers: Vec<WorkerRow>,
        settings: Settings,
    ) -> Facts {
        let mut running = BTreeMap::new();
        for count in counts.iter().filter(|count| count.shown == Shown::Processing) {
            *running.entry(count.queue.clone()).or_default() += count.jobs;
        }
        let paused = queues.iter().filter(|queue| queue.paused).map(|queue| queue.name.clone()).collect();
        Facts { now, paused, running, workers, settings }
    }

    /// The most decisive reason why a waiting job does not run, for a column.
    pub fn short(&self, job: &Job) -> Option<Reason> {
        self.reasons(job, None).into_iter().next().filter(|_| job.state == State::Pending)
    }

    /// Why a job is where it is, the most decisive first.
    fn reasons(&self, job: &Job, ahead: Option<(usize, bool)>) -> Vec<Reason> {
        match job.state {
            State::Pending => self.why_waiting(job, ahead),
            State::Processing => vec![running(job)],
            State::Blocked => {
                vec![reason("blocked", "it waits for other jobs".to_owned(), None)]
            }
            State::Completed | State::Dead | State::Cancelled => vec![ended(job)],
        }
    }

    fn why_waiting(&self, job: &Job, ahead: Option<(usize, bool)>) -> Vec<Reason> {
        let (queue, mut reasons) = (&job.spec.queue, Vec::new());
        if job.due_at > self.now {
            let id = &job.id;
            reasons.push(if job.retrying {
                let (n, of) = (job.attempts, job.spec.max_retries.max(1));
                let message = format!("backing off until {} after attempt {n} of {of}", job.due_at);
                reason("backing_off", message, Some(format!("`queuectl retry {id}` runs it now")))
            } else {
                let hint = format!("`queuectl edit {id} --set run_at=now` runs it now");
                reason("not_due", format!("it is to run at {}", job.due_at), Some(hint))
            });
        }
        if self.paused.contains(queue) {
            let hint = format!("`queuectl queue resume {queue}`");
            reasons.push(reason("queue_paused", format!("queue {queue} is paused"), Some(hint)));
        }
        reasons.extend(self.why_no_room(queue));
        reasons.extend(self.why_no_worker(queue));
        if let Some((count, more)) = ahead.filter(|(count, _)| *count > 0) {
            let least = if more { "at least " } else { "" };
            let go = if count == 1 && !more { "goes" } else { "go" };
            let message =
                format!("{least}{} of queue {queue} {go} before it", counted(count as u64, "ready job"));
            let hint = format!("`queuectl edit {} --set priority=N` moves it forward", job.id);
            reasons.push(reason("others_first", message, Some(hint)));
        }
        if reasons.is_empty() {
            reasons.push(reason("next", "nothing holds it; the next free slot takes it".to_owned(), None));
        }
        reasons
    }

    fn why_no_room(&self, queue: &QueueName) -> Option<Reason> {
        let limit = self.settings.for_queue(queue).max_running;
        let running = self.running.get(queue).copied().unwrap_or_default();
        (limit > 0 && running >= limit).then(|| {
            let message = format!("{running} of {limit} jobs that queue {queue} may run at once are running");
            let hint = format!("`queuectl config set --queue {queue} max-running N` raises the limit");
            reason("limit_reached", message, Some(hint))
        })
    }

    fn why_no_worker(&self, queue: &QueueName) -> Option<Reason> {
        let takes = |worker: &&WorkerRow| {
            !worker.only_job
                && worker.stop.is_none()
                && (worker.queues.is_empty() || worker.queues.contains(queue))
        };
        let slots: u64 = self.workers.iter().filter(takes).map(|worker| u64::from(worker.slots)).sum();
        if slots == 0 {
            let hint = Some("`queuectl worker start` starts one".to_owned());
            return Some(reason("no_worker", format!("no running worker takes queue {queue}"), hint));
        }
        // Of the queues that those workers take, for a worker of another queue does not help.
        let serves = |name: &QueueName| {
            let mut workers = self.workers.iter().filter(takes);
            workers.any(|worker| worker.queues.is_empty() || worker.queues.contains(name))
        };
        let running: u64 = self.running.iter().filter(|(name, _)| serves(name)).map(|(_, jobs)| jobs).sum();
        (running >= slots).then(|| {
            let message = format!(
                "every slot is taken: {} of the workers that take queue {queue}, all busy",
                counted(slots, "slot")
            );
            let hint = "`queuectl list --state processing` shows what runs; another worker helps".to_owned();
            reason("slots_busy", message, Some(hint))
        })
    }
}

fn running(job: &Job) -> Reason {
    let worker = job.worker.as_deref().unwrap_or("a worker");
    let since = job.updated_at;
    if job.cancel_requested {
        let message = format!("it runs on {worker} and is being cancelled");
        return reason("cancelling", message, None);
    }
    let bound = job.spec.timeout.map(|timeout| format!(", until {} at most", since.after(timeout)));
    let message = format!("it runs on {worker} since {since}{}", bound.unwrap_or_default());
    reason("running", message, Some(format!("`queuectl logs -f {}` shows what it prints", job.id)))
}

fn ended(job: &Job) -> Reason {
    let at = job.completed_at.unwrap_or(job.updated_at);
    let why = job.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let (code, message) = match job.state {
        State::Completed => ("completed", format!("it succeeded at {at}")),
        State::Dead => {
            let attempts = counted(u64::from(job.attempts), "attempt");
            ("dead", format!("it died at {at} after {attempts}{why}{}", why_no_more(job)))
        }
        _ => ("cancelled", format!("it was cancelled at {at}")),
    };
    reason(code, message, Some(format!("`queuectl retry {}` runs it again", job.id)))
}

/// Why a dead job had no more attempts, unless it has had all.
fn why_no_more(job: &Job) -> &'static str {
    let spec = &job.spec;
    let final_code = job.exit_code.is_some_and(|code| spec.exits.no_retry_on.contains(&code));
    match () {
        () if job.interruptions >= spec.crash_limit && job.interruptions > 0 => {
            "; it was interrupted too often"
        }
        () if job.attempts >= spec.max_retries.max(1) => "",
        () if spec.at_most_once => "; it may run only once",
        () if final_code => "; after this exit code it is not retried",
        () => "",
    }
}

/// "1 job", "2 jobs".
fn counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

fn reason(code: &'static str, message: String, hint: Option<String>) -> Reason {
    Reason { code, message, hint }
}
