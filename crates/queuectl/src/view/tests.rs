//! What the wire types say, field by field.

use std::time::Duration;

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::{Job, JobSpec};
use queuectl_core::outcome::{Outcome, Output, Stream, Usage};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::{KEYS, Settings, find_key};
use queuectl_core::state::{Shown, State};
use queuectl_core::store::{Attempt, Count, QueueRow, StopMode, WorkerRow};
use queuectl_core::time::Timestamp;

use super::*;
use crate::json::to_line;

const NOON: Timestamp = Timestamp::from_millis(1_767_355_200_000);

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("valid")
}

fn job() -> Job {
    Job {
        id: JobId::new("job1").expect("valid"),
        generated: false,
        seq: 1,
        spec: JobSpec { command: Some(Command::Shell("sleep 2".to_owned())), ..JobSpec::default() },
        state: State::Pending,
        ready: true,
        retrying: false,
        due_at: NOON,
        run_at: None,
        attempts: 0,
        runs: 0,
        interruptions: 0,
        cancel_requested: false,
        claim: None,
        owner: None,
        worker: None,
        created_at: NOON,
        updated_at: NOON,
        started_at: None,
        completed_at: None,
        last_error: None,
        exit_code: None,
    }
}

fn attempt(outcome: Outcome) -> Attempt {
    Attempt {
        number: 1,
        claim: ClaimToken { incarnation: Incarnation(1), number: 1 },
        worker: Some("w1".to_owned()),
        started_at: Some(NOON),
        ended_at: NOON.after(Duration::from_millis(2500)),
        outcome,
        charged: true,
        usage: Usage {
            cpu_user: Duration::from_millis(20),
            cpu_system: Duration::from_secs(1),
            max_rss_kib: 640,
        },
        stdout: Output { bytes_total: 10, bytes_dropped: 3, sha256: [0xab; 32], ..Output::default() },
        stderr: Output::default(),
        leftovers_killed: 2,
    }
}

fn worker(slots: u32, stop: Option<StopMode>) -> WorkerRow {
    WorkerRow {
        id: "w1".to_owned(),
        pid: 42,
        host: "box".to_owned(),
        slots,
        queues: vec![queue("mail")],
        only_job: false,
        started_at: NOON,
        stop,
        version: "0.1.0".to_owned(),
    }
}

#[test]
fn a_new_job_shows_every_field_in_the_order_of_the_contract() {
    assert_eq!(
        to_line(&JobView::new(&job(), NOON)),
        "{\"schema\": 1, \"id\": \"job1\", \"command\": \"sleep 2\", \"state\": \"pending\", \"attempts\": 0, \
         \"max_retries\": 3, \"created_at\": \"2026-01-02T12:00:00.000Z\", \
         \"updated_at\": \"2026-01-02T12:00:00.000Z\", \"queue\": \"default\", \"priority\": 0, \"timeout\": null, \
         \"run_at\": null, \"backoff_base\": 2, \"next_retry_at\": null, \"last_error\": null, \"exit_code\": null, \
         \"worker_id\": null, \"started_at\": null, \"completed_at\": null, \"tags\": null, \"kind\": \"command\", \
         \"runs\": 0, \"interruptions\": 0, \"cancel_requested\": false}"
    );
}

#[test]
fn the_next_retry_shows_only_while_the_job_waits_for_it() {
    let waiting = Job { retrying: true, due_at: NOON.after(Duration::from_secs(4)), ..job() };
    let shown = |job: &Job, now| {
        let view = JobView::new(job, now);
        (view.state, view.next_retry_at)
    };
    assert_eq!(shown(&waiting, NOON), ("failed", Some("2026-01-02T12:00:04.000Z".to_owned())));
    assert_eq!(shown(&waiting, waiting.due_at), ("pending", None));
    let delayed = Job { retrying: false, run_at: Some(waiting.due_at), ..waiting.clone() };
    assert_eq!(shown(&delayed, NOON), ("pending", None));
    assert_eq!(JobView::new(&delayed, NOON).run_at.as_deref(), Some("2026-01-02T12:00:04.000Z"));
    assert_eq!(shown(&Job { state: State::Dead, ..waiting }, NOON), ("dead", None));
}

#[test]
fn a_run_job_shows_what_became_of_it() {
    let mut done = Job {
        state: State::Dead,
        attempts: 3,
        worker: Some("w1".to_owned()),
        started_at: Some(NOON),
        completed_at: Some(NOON.after(Duration::from_millis(1))),
        last_error: Some("exit code 7".to_owned()),
        exit_code: Some(7),
        ..job()
    };
    done.spec.timeout = Some(Duration::from_millis(1500));
    done.spec.tags.insert("team".to_owned(), "red".to_owned());
    done.spec.retry.base = 1.5;
    done.spec.command = None;
    let line = to_line(&JobView::new(&done, NOON));
    for part in [
        r#""command": null, "state": "dead", "attempts": 3"#,
        r#""timeout": 1.5, "run_at": null, "backoff_base": 1.5"#,
        r#""last_error": "exit code 7", "exit_code": 7, "worker_id": "w1", "started_at": "2026-01-02T12:00:00.000Z""#,
        r#""completed_at": "2026-01-02T12:00:00.001Z", "tags": {"team": "red"}"#,
    ] {
        assert!(line.contains(part), "{part}\n{line}");
    }
}

#[test]
fn the_details_follow_the_job_and_hide_the_values_of_variables() {
    let mut detailed = job();
    detailed.spec.command = Some(Command::Argv(vec![b"echo".to_vec(), b"a b".to_vec()]));
    detailed.spec.environment.set("TOKEN", "s3cret").expect("valid");
    detailed.spec.dir = Some(b"/srv".to_vec());
    let line = to_line(&JobDetailView::new(&detailed, &[attempt(Outcome::Exited { code: 0 })], NOON));
    assert!(
        line.starts_with(r#"{"schema": 1, "id": "job1", "command": "echo 'a b'", "state": "pending""#),
        "{line}"
    );
    let details = "\"cancel_requested\": false, \"backoff\": \"exponential\", \"backoff_max\": 3600, \
         \"backoff_jitter\": false, \"kill_grace\": 10, \"at_most_once\": false, \"dir\": \"/srv\", \
         \"stdin\": null, \"args\": [\"echo\", \"a b\"], \"env\": [\"TOKEN\"], \"no_retry_on\": [], \
         \"ok_codes\": [], \"leftovers\": \"kill\", \"output_max\": 16777216, \"crash_limit\": 3, \
         \"attempts_log\": [{\"number\": 1, ";
    assert!(line.contains(details), "{line}");
    assert!(!line.contains("s3cret"));
}

#[test]
fn an_attempt_shows_its_outcome_and_what_it_used() {
    let line = to_line(&AttemptView::new(&attempt(Outcome::Exited { code: 7 })));
    let hash = "ab".repeat(32);
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let expected = format!(
        "{{\"number\": 1, \"worker_id\": \"w1\", \"started_at\": \"2026-01-02T12:00:00.000Z\", \
         \"ended_at\": \"2026-01-02T12:00:02.500Z\", \"duration\": 2.5, \"outcome\": \"exited\", \"exit_code\": 7, \
         \"signal\": null, \"error\": null, \"charged\": true, \"cpu_user\": 0.02, \"cpu_system\": 1, \
         \"max_rss_kib\": 640, \"stdout\": {{\"bytes\": 10, \"dropped\": 3, \"sha256\": \"{hash}\"}}, \
         \"stderr\": {{\"bytes\": 0, \"dropped\": 0, \"sha256\": \"{nothing}\"}}, \"leftovers_killed\": 2}}"
    );
    assert_eq!(line, expected);

    let killed = AttemptView::new(&attempt(Outcome::Signaled { signal: 9 }));
    assert_eq!((killed.exit_code, killed.signal), (Some(137), Some(9)));
    let message = "no such directory".to_owned();
    let unstarted =
        AttemptView::new(&Attempt { started_at: None, ..attempt(Outcome::CouldNotStart { message }) });
    assert_eq!((unstarted.duration, unstarted.error.as_deref()), (None, Some("no such directory")));
}

#[test]
fn an_absent_store_has_the_status_of_an_empty_one() {
    assert_eq!(
        to_line(&StatusView::empty("/x/queue.db")),
        "{\"schema\": 1, \"store\": \"/x/queue.db\", \"jobs\": {\"pending\": 0, \"processing\": 0, \"completed\": 0, \
         \"failed\": 0, \"dead\": 0, \"cancelled\": 0, \"blocked\": 0}, \"total\": 0, \"queues\": [], \
         \"workers\": {\"active\": 0, \"processes\": 0, \"list\": [], \"orphans\": []}}"
    );
}

#[test]
fn a_status_sums_over_queues_and_slots() {
    let count = |name: &str, shown, jobs| Count { queue: queue(name), shown, jobs };
    let counts = [
        count("mail", Shown::Pending, 2),
        count("default", Shown::Pending, 3),
        count("mail", Shown::Dead, 1),
    ];
    let rows =
        [QueueRow { name: queue("mail"), paused: true }, QueueRow { name: queue("idle"), paused: false }];
    let status =
        StatusView::new("db", &counts, &rows, &[worker(3, None), worker(1, Some(StopMode::Drain))], &[]);
    assert_eq!((status.total, status.jobs.get(Shown::Pending), status.jobs.get(Shown::Dead)), (6, 5, 1));
    let queues: Vec<_> =
        status.queues.iter().map(|queue| (queue.name.as_str(), queue.paused, queue.total)).collect();
    assert_eq!(queues, [("default", false, 3), ("idle", false, 0), ("mail", true, 3)]);
    assert_eq!(status.queues[2], QueueView::new(&queue("mail"), true, &counts));
    assert_eq!((status.workers.active, status.workers.processes), (4, 2));
    assert_eq!(
        status.workers.list.iter().map(|worker| worker.state).collect::<Vec<_>>(),
        ["active", "stopping"]
    );
}

#[test]
fn a_worker_shows_its_process() {
    assert_eq!(
        to_line(&WorkerView::new(&worker(3, None), Some(2))),
        "{\"id\": \"w1\", \"pid\": 42, \"host\": \"box\", \"slots\": 3, \"running\": 2, \"queues\": [\"mail\"], \
         \"only_job\": false, \"started_at\": \"2026-01-02T12:00:00.000Z\", \"state\": \"active\", \
         \"version\": \"0.1.0\"}"
    );
}

#[test]
fn settings_show_defaults_and_what_is_set() {
    let mut settings = Settings::default();
    settings.values.insert((None, "max-retries".to_owned()), "5".to_owned());
    settings.values.insert((Some(queue("mail")), "max-retries".to_owned()), "7".to_owned());
    let key = find_key("maxRetries").expect("it exists");
    assert_eq!(
        to_line(&SettingView::new(&settings, None, key)),
        "{\"key\": \"max-retries\", \"value\": \"5\", \"default\": \"3\", \"set\": true, \"queue\": null}"
    );
    let all = SettingView::all(&settings);
    assert_eq!(all.len(), KEYS.len() + 1);
    assert_eq!(all.iter().filter(|view| view.set).count(), 2);
    let last = all.last().expect("not empty");
    assert_eq!((last.value.as_str(), last.queue.as_deref()), ("7", Some("mail")));
    assert_eq!(SettingView::in_force(&settings, Some(&queue("mail")))[0].value, "7");
}

#[test]
fn a_line_of_a_log_shows_whose_it_is() {
    let id = JobId::new("job1").expect("valid");
    assert_eq!(
        to_line(&LogView::output(&id, 2, Stream::Stderr, "naïve")),
        "{\"schema\": 1, \"id\": \"job1\", \"attempt\": 2, \"event\": \"output\", \"stream\": \"stderr\", \
         \"text\": \"naïve\", \"bytes\": null, \"outcome\": null, \"exit_code\": null, \"ended_at\": null}"
    );
    let gap = to_line(&LogView::gap(&id, 2, Stream::Stdout, 5));
    assert!(
        gap.contains("\"event\": \"gap\", \"stream\": \"stdout\", \"text\": null, \"bytes\": 5"),
        "{gap}"
    );
    let end = to_line(&LogView::end(&id, &attempt(Outcome::TimedOut)));
    assert!(end.contains("\"attempt\": 1, \"event\": \"end\", \"stream\": null"), "{end}");
    assert!(end.ends_with(
        "\"outcome\": \"timed-out\", \"exit_code\": 124, \"ended_at\": \"2026-01-02T12:00:02.500Z\"}"
    ));
}
