//! Tests of what keys and news do to the model, and of the picture that comes of it.

mod pictures;
mod transitions;

use queuectl::core::id::JobId;
use queuectl::core::queue::QueueName;
use queuectl::core::state::Shown;
use queuectl::core::store::Count;
use queuectl::core::time::Timestamp;
use queuectl::view::StateCounts;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::seen::{JobSeen, JobsPage, News, Overview, QueueSeen, View, WorkerSeen};
use super::state::{Effect, Event, Model};
use super::tail::Said;

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);

fn id(id: &str) -> JobId {
    JobId::new(id).expect("valid")
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("valid")
}

fn job(name: &str, shown: Shown) -> JobSeen {
    JobSeen {
        id: id(name),
        shown,
        queue: queue("default"),
        command: format!("echo {name}"),
        why: String::new(),
        attempts: 0,
        attempts_max: 3,
        exit_code: None,
        created_at: Timestamp::from_millis(NOW.millis() - 90_000),
        started_at: (shown == Shown::Processing).then(|| Timestamp::from_millis(NOW.millis() - 5_000)),
    }
}

/// Two queues, one of them paused; two workers, the first of which runs `run1`.
fn overview() -> Overview {
    let count = |name: &str, shown, jobs| Count { queue: queue(name), shown, jobs };
    let counts = [
        count("default", Shown::Pending, 2),
        count("default", Shown::Processing, 1),
        count("default", Shown::Dead, 1),
        count("mail", Shown::Pending, 12_345),
    ];
    let seen = |name: &str, paused| QueueSeen {
        name: queue(name),
        paused,
        jobs: StateCounts::of(counts.iter().filter(|count| count.queue == queue(name))),
    };
    let worker = |name: &str, running: Vec<JobSeen>| WorkerSeen {
        id: name.to_owned(),
        pid: 4711,
        slots: 2,
        queues: Vec::new(),
        stopping: running.is_empty(),
        running,
    };
    Overview {
        now: NOW,
        jobs: StateCounts::of(&counts),
        queues: vec![seen("default", false), seen("mail", true)],
        workers: vec![worker("w1", vec![job("run1", Shown::Processing)]), worker("w2", Vec::new())],
    }
}

fn page(view: View, jobs: Vec<JobSeen>) -> JobsPage {
    JobsPage { view, jobs, more: false }
}

fn jobs() -> Vec<JobSeen> {
    let mut dead = job("bad1", Shown::Dead);
    (dead.attempts, dead.exit_code) = (3, Some(7));
    let mut waits = job("late1", Shown::Pending);
    waits.why = "runs in 2h".to_owned();
    vec![waits, job("new1", Shown::Pending), job("run1", Shown::Processing), dead]
}

/// A model that has seen all of that.
fn model() -> Model {
    let mut model = Model::new("/data/queue.db".to_owned());
    model.update(Event::News(News::Overview(Box::new(overview()))));
    model.update(Event::News(News::Jobs(page(View::default(), jobs()))));
    let said = vec![Said::Remark("[attempt 1]".to_owned()), Said::Text("one\ntwo\nthree\n".to_owned())];
    model.update(Event::News(News::Output(id("late1"), said)));
    model
}

fn press(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    model.update(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn control(model: &mut Model, c: char) -> Vec<Effect> {
    model.update(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

/// Presses each of these, and gives all that they want done.
fn type_all(model: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| press(model, KeyCode::Char(c))).collect()
}
