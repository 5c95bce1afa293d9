//! The four panes: queues, workers with what they run, jobs, and what the marked job prints.

use queuectl::core::state::Shown;
use queuectl::core::time::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row as TableRow, Table};
use unicode_width::UnicodeWidthStr;

use super::{ASIDE, Ink, fit};
use crate::top::seen::{JobSeen, WorkerSeen};
use crate::top::state::{Model, Pane};
use crate::when::amount;

/// Columns of a job that are left out where a pane is narrower.
const JOB_WIDE: u16 = 60;
/// What a queue has besides its name, with what stands between, in columns.
const QUEUE_FIGURES: u16 = 31;
/// The widest that a name may be, in columns.
const NAME_WIDTH_MAX: u16 = 24;

pub fn draw(frame: &mut Frame, area: Rect, pane: Pane, model: &Model, ink: Ink) {
    let (title, focused) = (title(pane, model), model.pane == pane);
    let mark = if focused { Modifier::BOLD } else { Modifier::DIM };
    let title = fit(&title, usize::from(area.width).saturating_sub(2));
    let block = Block::bordered()
        .border_style(Style::new().add_modifier(mark))
        .title(Line::styled(title, Style::new().add_modifier(mark)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    match pane {
        Pane::Queues => queues(frame, inner, model, ink),
        Pane::Workers => workers(frame, inner, model, ink),
        Pane::Jobs => jobs(frame, inner, model, ink),
        Pane::Output => output(frame, inner, model),
    }
}

fn title(pane: Pane, model: &Model) -> String {
    let focus = if model.pane == pane { "*" } else { "" };
    let about = match pane {
        Pane::Queues => "Queues".to_owned(),
        Pane::Workers => "Workers".to_owned(),
        Pane::Jobs => jobs_title(model),
        Pane::Output => match (&model.job, model.tail.below()) {
            (None, _) => "Output".to_owned(),
            (Some(job), 0) => format!("Output of {job}"),
            (Some(job), below) => format!("Output of {job}, {below} lines below"),
        },
    };
    format!("{focus}{about}")
}

fn jobs_title(model: &Model) -> String {
    let view = &model.view;
    let mut title = "Jobs".to_owned();
    if let Some(shown) = view.shown {
        title.push_str(&format!(", {shown}"));
    }
    if let Some(queue) = &view.queue {
        title.push_str(&format!(", in {queue}"));
    }
    if !view.text.is_empty() {
        title.push_str(&format!(", with `{}`", view.text));
    }
    match &model.page {
        Some(page) if page.view == *view && page.more => {
            title.push_str(&format!(", the newest {}", page.jobs.len()));
        }
        Some(page) if page.view == *view => {}
        _ => title.push_str(" ..."),
    }
    title
}

/// How wide the pane of the queues would like to be.
pub fn queues_width(model: &Model) -> u16 {
    queue_name_width(model) + QUEUE_FIGURES + 2
}

fn queue_name_width(model: &Model) -> u16 {
    let queues = model.overview.iter().flat_map(|overview| &overview.queues);
    let widest = queues.map(|queue| queue.name.as_str().width()).max().unwrap_or(0) as u16;
    widest.clamp(5, NAME_WIDTH_MAX)
}

fn queues(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    let Some(overview) = &model.overview else { return };
    if overview.queues.is_empty() {
        return say(frame, area, "No queues.");
    }
    let name = area.width.saturating_sub(QUEUE_FIGURES).clamp(1, queue_name_width(model));
    let columns = [
        Constraint::Length(name),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
    ];
    let at = overview.queues.iter().position(|queue| Some(&queue.name) == model.queue.as_ref());
    let rows = overview.queues.iter().map(|queue| {
        let state = if queue.paused { "paused" } else { "active" };
        let mut cells = vec![
            Cell::from(fit(queue.name.as_str(), name.into())),
            Cell::from(state).style(ink.of_state(state)),
        ];
        cells.extend([Shown::Pending, Shown::Processing, Shown::Dead].map(|shown| {
            let jobs = queue.jobs.get(shown);
            let style = if jobs > 0 { ink.of_state(shown.as_str()) } else { Style::new() };
            Cell::from(Line::from(jobs.to_string()).right_aligned()).style(style)
        }));
        cells
    });
    let mut header = vec![Line::from("QUEUE"), Line::from("STATE")];
    header.extend(["PENDING", "RUNNING", "DEAD"].map(|title| Line::from(title).right_aligned()));
    list(frame, area, header, &columns, rows.collect(), at.map(|at| (at, model.pane == Pane::Queues)));
}

fn workers(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    let Some(overview) = &model.overview else { return };
    if overview.workers.is_empty() {
        return say(frame, area, "No workers are running. Start one: queuectl worker start");
    }
    let rows = model.rows();
    let at = rows.iter().position(|row| Some(row) == model.row.as_ref());
    let cells = overview.workers.iter().flat_map(|worker| {
        let jobs = worker.running.iter().map(|job| worker_job(job, overview.now, ink));
        std::iter::once(worker_head(worker, ink)).chain(jobs)
    });
    let columns =
        [Constraint::Length(NAME_WIDTH_MAX.min(area.width / 2)), Constraint::Length(5), Constraint::Fill(1)];
    list(
        frame,
        area,
        ["WORKER", "TIME", "RUNS"].map(Line::from).to_vec(),
        &columns,
        cells.collect(),
        at.map(|at| (at, model.pane == Pane::Workers)),
    );
}

fn worker_head(worker: &WorkerSeen, ink: Ink) -> Vec<Cell<'static>> {
    let queues = if worker.queues.is_empty() {
        String::new()
    } else {
        format!(", queues {}", worker.queues.join(" "))
    };
    let state = if worker.stopping { "stopping" } else { "active" };
    let about = format!("{} of {} busy, pid {}{queues}", worker.running.len(), worker.slots, worker.pid);
    let about = if worker.stopping { format!("stopping, {about}") } else { about };
    vec![
        Cell::from(fit(&worker.id, NAME_WIDTH_MAX.into())),
        Cell::from(""),
        Cell::from(about).style(ink.of_state(state)),
    ]
}

fn worker_job(job: &JobSeen, now: Timestamp, ink: Ink) -> Vec<Cell<'static>> {
    vec![
        Cell::from(format!("  {}", fit(job.id.as_str(), usize::from(NAME_WIDTH_MAX) - 2))),
        Cell::from(since(job.started_at, now)),
        Cell::from(job.command.clone()).style(ink.of_state(job.shown.as_str())),
    ]
}

fn jobs(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    // The page before stays until the one that is asked for is there.
    let Some(page) = &model.page else { return say(frame, area, "Looking ...") };
    if page.jobs.is_empty() {
        let none = if page.more { "No such job among the newest." } else { "No jobs." };
        return say(frame, area, none);
    }
    let now = model.overview.as_ref().map(|overview| overview.now);
    let wide = area.width >= JOB_WIDE;
    let several = model.overview.as_ref().is_some_and(|overview| overview.queues.len() > 1);
    let widest = |of: &dyn Fn(&JobSeen) -> usize| page.jobs.iter().map(of).max().unwrap_or(0) as u16;
    let id = widest(&|job| job.id.as_str().width()).clamp(2, (area.width / 3).max(8));
    let why = widest(&|job| job.why.width()).min(area.width / 3);
    let mut header = vec!["ID", "STATE"];
    let mut columns = vec![Constraint::Length(id), Constraint::Length(10)];
    if wide {
        if several {
            header.push("QUEUE");
            columns
                .push(Constraint::Length(widest(&|job| job.queue.as_str().width()).clamp(5, NAME_WIDTH_MAX)));
        }
        header.extend(["TRIES", "AGE"]);
        columns.extend([Constraint::Length(5), Constraint::Length(4)]);
    }
    header.push("COMMAND");
    columns.push(Constraint::Fill(1));
    if wide && why > 0 {
        header.push("WHY");
        columns.push(Constraint::Length(why.max(3)));
    }
    let row = |job: &JobSeen| {
        let mut cells = vec![
            Cell::from(fit(job.id.as_str(), id.into())),
            Cell::from(state_of(job)).style(ink.of_state(job.shown.as_str())),
        ];
        if wide {
            if several {
                cells.push(Cell::from(fit(job.queue.as_str(), NAME_WIDTH_MAX.into())));
            }
            cells.push(Cell::from(format!("{}/{}", job.attempts, job.attempts_max)));
            cells.push(Cell::from(now.map(|now| since(Some(job.created_at), now)).unwrap_or_default()));
        }
        cells.push(Cell::from(job.command.clone()));
        if wide && why > 0 {
            cells.push(Cell::from(fit(&job.why, why.max(3).into())));
        }
        cells
    };
    let at = page.jobs.iter().position(|job| Some(&job.id) == model.job.as_ref());
    let rows = page.jobs.iter().map(row).collect();
    let header = header.into_iter().map(Line::from).collect();
    list(frame, area, header, &columns, rows, at.map(|at| (at, model.pane == Pane::Jobs)));
}

/// The state, with the code that a job ended with where that says more.
fn state_of(job: &JobSeen) -> String {
    let ended = matches!(job.shown, Shown::Failed | Shown::Dead);
    match job.exit_code.filter(|code| ended && *code != 0) {
        Some(code) => format!("{} ({code})", job.shown),
        None => job.shown.to_string(),
    }
}

fn output(frame: &mut Frame, area: Rect, model: &Model) {
    if model.tail.is_empty() {
        return say(frame, area, if model.job.is_some() { "Nothing printed." } else { "" });
    }
    let rows = model.tail.rows(area.width.into(), area.height.into());
    let line =
        |row: crate::top::tail::Line| Line::styled(row.text, if row.remark { ASIDE } else { Style::new() });
    frame.render_widget(Paragraph::new(rows.into_iter().map(line).collect::<Vec<Line>>()), area);
}

/// A table with one row marked, which is in sight; `true` if the keys move the mark.
fn list(
    frame: &mut Frame,
    area: Rect,
    header: Vec<Line<'static>>,
    columns: &[Constraint],
    rows: Vec<Vec<Cell<'static>>>,
    marked: Option<(usize, bool)>,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let at = marked.map_or(0, |(at, _)| at);
    // The mark stays in the middle where there is room on both sides.
    let first = at.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let rows = rows.into_iter().enumerate().skip(first).take(room).map(|(place, cells)| {
        let style = match marked {
            Some((at, true)) if at == place => Style::new().add_modifier(Modifier::REVERSED),
            Some((at, false)) if at == place => {
                Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
            }
            _ => Style::new(),
        };
        TableRow::new(cells).style(style)
    });
    let header = TableRow::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, columns.iter().copied()).header(header), area);
}

fn say(frame: &mut Frame, area: Rect, text: &str) {
    frame.render_widget(Line::styled(fit(text, area.width.into()), ASIDE), area);
}

fn since(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map(|then| amount(now.since(then).as_secs() as i64)).unwrap_or_default()
}
