//! What has run in a window of time: how much, how long it waited and ran, how it failed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use queuectl_core::outcome::Outcome;
use queuectl_core::state::State;
use queuectl_core::store::Ran;
use queuectl_core::time::Timestamp;
use serde::Serialize;

use super::SCHEMA;
use crate::json::Number;

/// Parts that the window is cut into for the course of its throughput.
const PARTS: usize = 40;
/// Digits that are exact in a percentile.
const DIGITS: u8 = 3;

/// What `stats` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatsView {
    pub schema: u32,
    pub from: String,
    pub to: String,
    pub window_seconds: Number,
    /// `null`: all queues.
    pub queue: Option<String>,
    #[serde(flatten)]
    pub total: RunsView,
    /// Attempts that ended in each part of the window, the oldest first.
    pub course: Vec<u64>,
    /// Why attempts failed, the most frequent first.
    pub failures: Vec<FailureView>,
    pub queues: Vec<QueueRunsView>,
}

/// Attempts that have ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunsView {
    pub attempts: u64,
    pub attempts_per_second: Number,
    /// Jobs that ended so, with their last attempt.
    pub completed: u64,
    pub dead: u64,
    pub cancelled: u64,
    /// Attempts after the first of their job.
    pub retries: u64,
    pub failed_attempts: u64,
    /// From due to started, of first attempts.
    pub wait_seconds: PercentilesView,
    pub run_seconds: PercentilesView,
}

/// `null` where nothing was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PercentilesView {
    pub p50: Option<Number>,
    pub p90: Option<Number>,
    pub p99: Option<Number>,
    pub max: Option<Number>,
}

/// One way to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureView {
    pub what: String,
    pub attempts: u64,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueRunsView {
    pub name: String,
    #[serde(flatten)]
    pub runs: RunsView,
}

/// Gathers attempts, one at a time, in memory that does not grow with them.
#[derive(Debug)]
pub struct StatsGatherer {
    from: Timestamp,
    to: Timestamp,
    total: Runs,
    queues: BTreeMap<String, Runs>,
    course: Vec<u64>,
    failures: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Runs {
    attempts: u64,
    completed: u64,
    dead: u64,
    cancelled: u64,
    retries: u64,
    failed: u64,
    wait: Histogram<u64>,
    run: Histogram<u64>,
}

impl Default for Runs {
    fn default() -> Runs {
        let histogram = || Histogram::new(DIGITS).expect("a number of digits that it takes");
        Runs {
            attempts: 0,
            completed: 0,
            dead: 0,
            cancelled: 0,
            retries: 0,
            failed: 0,
            wait: histogram(),
            run: histogram(),
        }
    }
}

impl StatsGatherer {
    pub fn new(from: Timestamp, to: Timestamp) -> StatsGatherer {
        StatsGatherer {
            from,
            to,
            total: Runs::default(),
            queues: BTreeMap::new(),
            course: vec![0; PARTS],
            failures: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, ran: &Ran) {
        self.total.add(ran);
        self.queues.entry(ran.queue.to_string()).or_default().add(ran);
        let window = (self.to.millis() - self.from.millis()).max(1);
        let part = (ran.ended_at.millis() - self.from.millis()) * PARTS as i64 / window;
        self.course[(part.max(0) as usize).min(PARTS - 1)] += 1;
        if let Some(what) = failure(&ran.outcome) {
            *self.failures.entry(what).or_default() += 1;
        }
    }

    pub fn view(self, queue: Option<String>) -> StatsView {
        let window = self.to.since(self.from);
        let mut failures: Vec<FailureView> =
            self.failures.into_iter().map(|(what, attempts)| FailureView { what, attempts }).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.attempts));
        let queues = self.queues.into_iter();
        StatsView {
            schema: SCHEMA,
            from: self.from.to_string(),
            to: self.to.to_string(),
            window_seconds: Number::seconds(window),
            queue,
            total: self.total.view(window),
            course: self.course,
            failures,
            queues: queues.map(|(name, runs)| QueueRunsView { name, runs: runs.view(window) }).collect(),
        }
    }
}

impl Runs {
    fn add(&mut self, ran: &Ran) {
        self.attempts += 1;
        self.retries += u64::from(ran.number > 1);
        self.failed += u64::from(failure(&ran.outcome).is_some());
        match ran.ended {
            Some(State::Completed) => self.completed += 1,
            Some(State::Dead) => self.dead += 1,
            Some(State::Cancelled) => self.cancelled += 1,
            _ => {}
        }
        let Some(started_at) = ran.started_at else { return };
        record(&mut self.run, ran.ended_at.since(started_at));
        if ran.number == 1 {
            record(&mut self.wait, started_at.since(ran.due_at));
        }
    }

    fn view(&self, window: Duration) -> RunsView {
        RunsView {
            attempts: self.attempts,
            attempts_per_second: Number(rounded(self.attempts as f64 / window.as_secs_f64().max(0.001))),
            completed: self.completed,
            dead: self.dead,
            cancelled: self.cancelled,
            retries: self.retries,
            failed_attempts: self.failed,
            wait_seconds: PercentilesView::new(&self.wait),
            run_seconds: PercentilesView::new(&self.run),
        }
    }
}

impl PercentilesView {
    fn new(histogram: &Histogram<u64>) -> PercentilesView {
        let seconds = |millis: u64| Some(Number(millis as f64 / 1000.0)).filter(|_| !histogram.is_empty());
        let at = |quantile| seconds(histogram.value_at_quantile(quantile));
        PercentilesView { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: seconds(histogram.max()) }
    }
}

/// How an attempt failed, if it did; an interruption or a cancellation is no failure of the job.
fn failure(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Exited { code: 0 } | Outcome::Interrupted(_) | Outcome::Cancelled => None,
        // One line for all messages.
        Outcome::CouldNotStart { .. } => Some("could not start".to_owned()),
        other => Some(other.describe()),
    }
}

/// Grows with the values, as `saturating_record` would not.
fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    let recorded = histogram.record(duration.as_millis() as u64);
    debug_assert!(recorded.is_ok(), "a histogram takes any duration of milliseconds");
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use queuectl_core::queue::QueueName;

    use super::*;

    fn ran(number: u32, outcome: Outcome, waited: i64, took: i64, ended: Option<State>) -> Ran {
        let at = Timestamp::from_millis;
        Ran {
            queue: QueueName::default(),
            number,
            due_at: at(1_000),
            started_at: Some(at(1_000 + waited)),
            ended_at: at(1_000 + waited + took),
            outcome,
            ended,
        }
    }

    #[test]
    fn figures_follow_from_the_attempts() {
        let at = Timestamp::from_millis;
        let mut gatherer = StatsGatherer::new(at(0), at(10_000));
        for n in 1..=100 {
            gatherer.add(&ran(1, Outcome::Exited { code: 0 }, n, 10 * n, Some(State::Completed)));
        }
        gatherer.add(&ran(2, Outcome::Exited { code: 7 }, 0, 5, Some(State::Dead)));
        gatherer.add(&ran(1, Outcome::Exited { code: 7 }, 0, 5, None));
        gatherer.add(&ran(1, Outcome::TimedOut, 0, 5, None));
        let view = gatherer.view(None);
        let total = &view.total;
        assert_eq!((total.attempts, total.completed, total.dead, total.retries), (103, 100, 1, 1));
        assert_eq!((total.failed_attempts, total.attempts_per_second), (3, Number(10.3)));
        assert_eq!((total.wait_seconds.max, total.run_seconds.max), (Some(Number(0.1)), Some(Number(1.0))));
        assert_eq!(total.run_seconds.p50.map(|seconds| (seconds.0 * 100.0).round()), Some(49.0));
        let failures: Vec<(&str, u64)> =
            view.failures.iter().map(|f| (f.what.as_str(), f.attempts)).collect();
        assert_eq!(failures, [("exit code 7", 2), ("timed out", 1)]);
        assert_eq!(view.course.iter().sum::<u64>(), 103);
        assert_eq!(view.queues.len(), 1);
    }

    #[test]
    fn long_runs_are_not_cut() {
        let at = Timestamp::from_millis;
        let mut gatherer = StatsGatherer::new(at(0), at(10_000_000));
        gatherer.add(&ran(1, Outcome::Exited { code: 0 }, 60_000, 3_600_000, Some(State::Completed)));
        let total = gatherer.view(None).total;
        let near = |seen: Option<Number>, seconds: f64| {
            seen.is_some_and(|seen| (seen.0 - seconds).abs() <= seconds / 500.0)
        };
        assert!(near(total.wait_seconds.p50, 60.0) && near(total.run_seconds.p99, 3_600.0), "{total:?}");
    }

    #[test]
    fn nothing_measured_is_null() {
        let at = Timestamp::from_millis;
        let view = StatsGatherer::new(at(0), at(1_000)).view(None);
        assert_eq!((view.total.attempts, view.total.run_seconds.p50), (0, None));
    }
}
