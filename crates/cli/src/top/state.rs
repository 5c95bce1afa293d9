//! The mind of `top`: what is known, what is selected, and what a key or a piece of news does to it. No IO.
//!
//! Selections are names, not places: whatever comes and goes, a key acts on what was marked when it was pressed.

use queuectl::core::id::JobId;
use queuectl::core::limits::TOP_FILTER_CHARS_MAX;
use queuectl::core::queue::QueueName;
use queuectl::core::state::Shown;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::seen::{JobSeen, JobsPage, News, Note, Overview, View};
use super::tail::Tail;

/// Rows that a page key moves by.
const PAGE_ROWS: usize = 10;

/// What happens to `top`.
#[derive(Debug, Clone)]
pub enum Event {
    Key(KeyEvent),
    News(News),
}

/// What `top` wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Show these jobs from now on.
    Look(View),
    /// Tell of this job's output from now on.
    Follow(JobId),
    Details(JobId),
    SetPaused(QueueName, Paused),
    Cancel(JobId),
    Retry(JobId),
    /// Draw everything anew.
    Redraw,
    Suspend,
    Quit(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    Yes,
    No,
}

/// Why `top` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Asked,
    Interrupted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Queues,
    Workers,
    Jobs,
    Output,
}

/// What the keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// A filter is typed; this one was there before.
    Filter {
        before: String,
    },
    /// A question is asked: cancel this job?
    Confirm(JobId),
    /// The details of a job, once they are there, from this line on.
    Details {
        job: JobId,
        lines: Option<Vec<String>>,
        top: usize,
    },
    Help,
}

/// A row of the workers' pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    Worker(String),
    Job(JobId),
}

#[derive(Debug, Clone)]
pub struct Model {
    /// Where the store is.
    pub store: String,
    pub overview: Option<Box<Overview>>,
    pub view: View,
    pub page: Option<JobsPage>,
    pub pane: Pane,
    pub mode: Mode,
    /// The output has the screen for itself.
    pub zoomed: bool,
    pub queue: Option<QueueName>,
    pub row: Option<Row>,
    /// The job that is marked, and whose output shows.
    pub job: Option<JobId>,
    /// Where it was in the list, for when it has left it.
    job_at: usize,
    pub tail: Tail,
    pub note: Option<Note>,
    /// Why the store cannot be read, while it cannot.
    pub trouble: Option<String>,
}

impl Model {
    pub fn new(store: String) -> Model {
        Model {
            store,
            overview: None,
            view: View::default(),
            page: None,
            pane: Pane::Jobs,
            mode: Mode::Normal,
            zoomed: false,
            queue: None,
            row: None,
            job: None,
            job_at: 0,
            tail: Tail::default(),
            note: None,
            trouble: None,
        }
    }

    /// Takes what happened and says what is to be done.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::News(news) => self.learn(news),
            Event::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
            Event::Key(key) => self.press(key),
        }
    }

    /// The rows of the workers' pane: each worker, and below it what it runs.
    pub fn rows(&self) -> Vec<Row> {
        let workers = self.overview.iter().flat_map(|overview| &overview.workers);
        let rows = workers.flat_map(|worker| {
            let jobs = worker.running.iter().map(|job| Row::Job(job.id.clone()));
            std::iter::once(Row::Worker(worker.id.clone())).chain(jobs)
        });
        rows.collect()
    }

    /// The marked job, if it is in sight.
    pub fn job_seen(&self) -> Option<&JobSeen> {
        let id = self.job.as_ref()?;
        let running = self.overview.iter().flat_map(|overview| &overview.workers);
        let mut running = running.flat_map(|worker| &worker.running);
        let listed = self.page.iter().flat_map(|page| &page.jobs).find(|job| job.id == *id);
        running.find(|job| job.id == *id).or(listed)
    }

    fn learn(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Overview(overview) => {
                self.trouble = None;
                let gone = |name: &QueueName| overview.queues.iter().all(|queue| queue.name != *name);
                if self.queue.as_ref().is_none_or(gone) {
                    self.queue = overview.queues.first().map(|queue| queue.name.clone());
                }
                self.overview = Some(overview);
                let rows = self.rows();
                if self.row.as_ref().is_none_or(|row| !rows.contains(row)) {
                    self.row = rows.into_iter().next();
                }
                Vec::new()
            }
            News::Jobs(page) if page.view != self.view => Vec::new(),
            News::Jobs(page) => {
                let fresh = self.page.as_ref().is_none_or(|before| before.view != page.view);
                let place = self.job.as_ref().and_then(|id| page.jobs.iter().position(|job| job.id == *id));
                let first = page.jobs.first().map(|job| job.id.clone());
                self.page = Some(page);
                match (place, first) {
                    (Some(place), _) => self.job_at = place,
                    // Marked by nobody yet, or not meant by the new view.
                    (None, Some(first)) if fresh || self.job.is_none() => {
                        self.job_at = 0;
                        return self.mark(first);
                    }
                    (None, _) => {}
                }
                Vec::new()
            }
            News::Output(job, said) => {
                if self.job.as_ref() == Some(&job) {
                    for said in said {
                        self.tail.hear(said);
                    }
                }
                Vec::new()
            }
            News::Details(about, told) => {
                if let Mode::Details { job, lines, .. } = &mut self.mode
                    && *job == about
                {
                    *lines = Some(told);
                }
                Vec::new()
            }
            News::Did(note) => {
                self.note = Some(note);
                Vec::new()
            }
            News::Trouble(why) => {
                self.trouble = Some(why);
                Vec::new()
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Vec<Effect> {
        // Esc and a key that come at once, as over a slow line, read as one with Alt.
        if key.modifiers.contains(KeyModifiers::ALT) {
            let mut effects = self.press(KeyEvent::from(KeyCode::Esc));
            effects.extend(self.press(KeyEvent { modifiers: key.modifiers - KeyModifiers::ALT, ..key }));
            return effects;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return vec![Effect::Quit(Why::Interrupted)],
                KeyCode::Char('z') => return vec![Effect::Suspend],
                KeyCode::Char('l') => return vec![Effect::Redraw],
                _ => {}
            }
        }
        self.note = None;
        match std::mem::replace(&mut self.mode, Mode::Normal) {
            Mode::Normal => self.press_normal(key),
            Mode::Filter { before } => self.press_filter(key, before),
            Mode::Confirm(job) => {
                if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                    return vec![Effect::Cancel(job)];
                }
                self.note = Some(Note { text: "Nothing was cancelled".to_owned(), refused: false });
                Vec::new()
            }
            Mode::Details { job, lines, top } => {
                let last = lines.as_ref().map_or(0, |lines| lines.len().saturating_sub(1));
                if let Some(step) = step(key) {
                    self.mode = Mode::Details { job, lines, top: step.from(top, last) };
                }
                Vec::new()
            }
            Mode::Help => Vec::new(),
        }
    }

    fn press_normal(&mut self, key: KeyEvent) -> Vec<Effect> {
        if let Some(step) = step(key) {
            return self.go(step);
        }
        match key.code {
            KeyCode::Char('q') => return vec![Effect::Quit(Why::Asked)],
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter { before: self.view.text.clone() },
            KeyCode::Char(digit @ '0'..='7') => return self.show_state(digit),
            KeyCode::Char('p') => return self.toggle_paused(),
            KeyCode::Char('c') => self.ask_to_cancel(),
            KeyCode::Char('r') => return self.job.iter().cloned().map(Effect::Retry).collect(),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(3),
            KeyCode::Enter => return self.enter(),
            KeyCode::Esc => return self.step_back(),
            _ => {}
        }
        Vec::new()
    }

    fn press_filter(&mut self, key: KeyEvent, before: String) -> Vec<Effect> {
        let mut text = self.view.text.clone();
        match key.code {
            KeyCode::Enter => return Vec::new(),
            KeyCode::Esc => return self.look(View { text: before, ..self.view.clone() }),
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => text.clear(),
            KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::CONTROL) => {}
            KeyCode::Char(c) if !c.is_control() && text.chars().count() < TOP_FILTER_CHARS_MAX => {
                text.push(c);
            }
            _ => {}
        }
        self.mode = Mode::Filter { before };
        self.look(View { text, ..self.view.clone() })
    }

    fn turn(&mut self, by: usize) {
        const PANES: [Pane; 4] = [Pane::Queues, Pane::Workers, Pane::Jobs, Pane::Output];
        let at = PANES.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = PANES[(at + by) % PANES.len()];
        self.zoomed = false;
    }

    fn enter(&mut self) -> Vec<Effect> {
        match (self.pane, &self.row) {
            (Pane::Queues, _) => {
                let queue = if self.view.queue == self.queue { None } else { self.queue.clone() };
                return self.look(View { queue, ..self.view.clone() });
            }
            (Pane::Workers, Some(Row::Worker(_)) | None) => {}
            (Pane::Workers | Pane::Jobs, _) => {
                if let Some(job) = self.job.clone() {
                    self.mode = Mode::Details { job: job.clone(), lines: None, top: 0 };
                    return vec![Effect::Details(job)];
                }
            }
            (Pane::Output, _) => self.zoomed = !self.zoomed,
        }
        Vec::new()
    }

    /// Leaves the last thing that was entered.
    fn step_back(&mut self) -> Vec<Effect> {
        if std::mem::take(&mut self.zoomed) {
            return Vec::new();
        }
        self.look(View::default())
    }

    fn show_state(&mut self, digit: char) -> Vec<Effect> {
        let place = digit.to_digit(10).unwrap_or(0) as usize;
        let shown = place.checked_sub(1).and_then(|place| Shown::ALL.get(place)).copied();
        self.look(View { shown, ..self.view.clone() })
    }

    fn look(&mut self, view: View) -> Vec<Effect> {
        if view == self.view {
            return Vec::new();
        }
        self.view = view.clone();
        vec![Effect::Look(view)]
    }

    fn toggle_paused(&mut self) -> Vec<Effect> {
        let queues = self.overview.iter().flat_map(|overview| &overview.queues);
        let marked = queues.into_iter().find(|queue| Some(&queue.name) == self.queue.as_ref());
        let paused = |now: bool| if now { Paused::No } else { Paused::Yes };
        marked.map(|queue| Effect::SetPaused(queue.name.clone(), paused(queue.paused))).into_iter().collect()
    }

    fn ask_to_cancel(&mut self) {
        let Some(id) = self.job.clone() else { return };
        match self.job_seen().map(|job| job.shown) {
            Some(shown) if shown.stored().is_terminal() => {
                let text = format!("Job {id} is {shown} already; there is nothing to cancel");
                self.note = Some(Note { text, refused: true });
            }
            _ => self.mode = Mode::Confirm(id),
        }
    }

    fn go(&mut self, step: Step) -> Vec<Effect> {
        match self.pane {
            Pane::Queues => {
                let queues: Vec<QueueName> =
                    self.overview.iter().flat_map(|o| &o.queues).map(|queue| queue.name.clone()).collect();
                let at = queues.iter().position(|name| Some(name) == self.queue.as_ref()).unwrap_or(0);
                self.queue = queues.get(step.from(at, queues.len().saturating_sub(1))).cloned();
                Vec::new()
            }
            Pane::Workers => {
                let rows = self.rows();
                let at = rows.iter().position(|row| Some(row) == self.row.as_ref()).unwrap_or(0);
                self.row = rows.get(step.from(at, rows.len().saturating_sub(1))).cloned();
                match self.row.clone() {
                    Some(Row::Job(job)) => self.mark(job),
                    _ => Vec::new(),
                }
            }
            Pane::Jobs => {
                let Some(page) = &self.page else { return Vec::new() };
                let last = page.jobs.len().saturating_sub(1);
                let here = page.jobs.iter().position(|job| Some(&job.id) == self.job.as_ref());
                let at = match (here, step) {
                    // One that has left the list is remembered by its place.
                    (None, Step::Up(_) | Step::Down(_)) => self.job_at.min(last),
                    (None, Step::First | Step::Last) => step.from(0, last),
                    (Some(at), _) => step.from(at, last),
                };
                let Some(job) = page.jobs.get(at).map(|job| job.id.clone()) else { return Vec::new() };
                self.job_at = at;
                self.mark(job)
            }
            Pane::Output => {
                match step {
                    Step::Up(rows) => self.tail.scroll_up(rows),
                    Step::Down(rows) => self.tail.scroll_down(rows),
                    Step::First => self.tail.scroll_up(usize::MAX / 2),
                    Step::Last => self.tail.scroll_down(usize::MAX / 2),
                }
                Vec::new()
            }
        }
    }

    fn mark(&mut self, job: JobId) -> Vec<Effect> {
        if self.job.as_ref() == Some(&job) {
            return Vec::new();
        }
        self.job = Some(job.clone());
        self.tail = Tail::default();
        vec![Effect::Follow(job)]
    }
}

/// A move through rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Up(usize),
    Down(usize),
    First,
    Last,
}

impl Step {
    fn from(self, at: usize, last: usize) -> usize {
        match self {
            Step::Up(rows) => at.saturating_sub(rows),
            Step::Down(rows) => (at + rows).min(last),
            Step::First => 0,
            Step::Last => last,
        }
    }
}

fn step(key: KeyEvent) -> Option<Step> {
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => Some(Step::Up(1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Step::Down(1)),
        KeyCode::PageUp => Some(Step::Up(PAGE_ROWS)),
        KeyCode::PageDown => Some(Step::Down(PAGE_ROWS)),
        KeyCode::Home | KeyCode::Char('g') => Some(Step::First),
        KeyCode::End | KeyCode::Char('G') => Some(Step::Last),
        _ => None,
    }
}
