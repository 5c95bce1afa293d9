//! Views as people read them: tables without borders, one header line, id then state first.

use queuectl::core::state::Shown;
use queuectl::view::{JobView, OrphanView, QueueView, StatusView, WorkerView};

use crate::color::{self, paint};
use crate::table::{Cell, Column, Fit, Look, Table};
use crate::terminal::{self, clean};
use crate::when::Times;

/// A table of these rows, every cell whole. The last column is not padded.
pub fn table(header: &[&'static str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    plain_table(color::on_stdout(), header, rows)
}

/// "1 job", "2 jobs", "3 processes".
pub fn counted(count: u64, noun: &str) -> String {
    let ending = match noun {
        _ if count == 1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {noun}{ending}")
}

/// The same, for those who do not print it to standard output as it is.
pub fn plain_table(
    colours: bool,
    header: &[&'static str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let columns = header.iter().map(|title| Column::new(title, Fit::Whole)).collect();
    let cells = |row: Vec<String>| row.into_iter().map(Cell::new).collect();
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(cells).collect();
    Table::render(columns, &rows, Look { width: None, colours })
}

/// How standard output is to look: as wide as its terminal, if it is one.
pub fn look() -> Look {
    Look { width: terminal::size().map(|size| size.columns), colours: color::on_stdout() }
}

/// The columns of a listing of jobs; `job_cells` has their cells.
pub fn job_columns() -> Vec<Column> {
    vec![
        Column::new("ID", Fit::Whole),
        Column::new("STATE", Fit::Whole),
        Column::optional("QUEUE", Fit::Drop),
        Column::optional("PRIORITY", Fit::Drop),
        Column::new("ATTEMPTS", Fit::Drop),
        Column::new("CREATED", Fit::Drop),
        Column::optional("WORKER", Fit::Drop),
        Column::optional("TAGS", Fit::Shrink(8)),
        Column::new("COMMAND", Fit::Shrink(12)),
        Column::optional("REASON", Fit::Shrink(12)),
    ]
}

/// One job's row. On a terminal the code that it ended with stands behind its state.
pub fn job_cells(job: &JobView, why: String, times: Times) -> Vec<Cell> {
    let worker = job.worker_id.as_deref().filter(|_| job.state == "processing").unwrap_or_default();
    let tags: Vec<String> =
        job.tags.iter().flatten().map(|(key, value)| clean(&format!("{key}={value}"))).collect();
    let mut state = job.state.to_owned();
    let mut why = why;
    if let (Times::Relative(_), Some(code)) = (times, ended_with(job)) {
        state = format!("{state} ({code})");
        if why == format!("exit code {code}") {
            why.clear();
        }
    }
    vec![
        Cell::new(job.id.clone()),
        Cell::styled(state, color::of_state(job.state)),
        Cell::if_needed(job.queue.clone(), job.queue != queuectl::core::queue::DEFAULT_QUEUE),
        Cell::if_needed(job.priority.to_string(), job.priority != 0),
        Cell::new(format!("{}/{}", job.attempts, job.max_retries.max(1))),
        Cell::new(times.tell(&job.created_at)),
        Cell::new(worker),
        Cell::new(tags.join(" ")),
        Cell::new(job.command.as_deref().map(clean).unwrap_or_default()),
        Cell::new(clean(&why)),
    ]
}

/// The code of a run that has ended, where it says more than the state does.
fn ended_with(job: &JobView) -> Option<i32> {
    let ended = ["failed", "dead", "completed", "cancelled"].contains(&job.state);
    job.exit_code.filter(|code| ended && *code != 0)
}

pub fn workers_table(views: &[WorkerView], times: Times, look: Look) -> String {
    let columns = vec![
        Column::new("ID", Fit::Whole),
        Column::new("STATE", Fit::Whole),
        Column::new("PID", Fit::Whole),
        Column::new("SLOTS", Fit::Drop),
        Column::optional("QUEUES", Fit::Shrink(12)),
        Column::new("STARTED", Fit::Drop),
        Column::optional("HOST", Fit::Drop),
    ];
    let one_host = views.windows(2).all(|pair| pair[0].host == pair[1].host);
    let cells = |worker: &WorkerView| {
        let bound = !worker.queues.is_empty();
        let queues = if bound { worker.queues.join(",") } else { "all".to_owned() };
        vec![
            Cell::new(worker.id.clone()),
            Cell::styled(worker.state, color::of_state(worker.state)),
            Cell::new(worker.pid.to_string()),
            Cell::new(worker.slots.to_string()),
            Cell::if_needed(queues, bound),
            Cell::new(times.tell(&worker.started_at)),
            Cell::if_needed(clean(&worker.host), !one_host),
        ]
    };
    let rows: Vec<Vec<Cell>> = views.iter().map(cells).collect();
    Table::render(columns, &rows, look)
}

pub fn queues_table(views: &[QueueView], look: Look) -> String {
    let mut columns = vec![Column::new("QUEUE", Fit::Whole), Column::new("STATE", Fit::Whole)];
    columns.extend(Shown::ALL.map(|shown| match title(shown) {
        // These are zero unless somebody does something unusual.
        (title, true) => Column::optional(title, Fit::Drop),
        (title, false) => Column::new(title, Fit::Drop),
    }));
    let cells = |queue: &QueueView| {
        let state = if queue.paused { "paused" } else { "active" };
        let mut row = vec![Cell::new(queue.name.clone()), Cell::styled(state, color::of_state(state))];
        row.extend(queue.jobs.iter().map(|(shown, jobs)| {
            let style = if jobs > 0 { color::of_state(shown.as_str()) } else { anstyle::Style::new() };
            Cell::if_needed(jobs.to_string(), jobs > 0).with(style)
        }));
        row
    };
    let rows: Vec<Vec<Cell>> = views.iter().map(cells).collect();
    Table::render(columns, &rows, look)
}

/// The title of a state's column, and whether it shows only if it is needed.
fn title(shown: Shown) -> (&'static str, bool) {
    match shown {
        Shown::Pending => ("PENDING", false),
        Shown::Processing => ("PROCESSING", false),
        Shown::Completed => ("COMPLETED", false),
        Shown::Failed => ("FAILED", false),
        Shown::Dead => ("DEAD", false),
        Shown::Cancelled => ("CANCELLED", true),
        Shown::Blocked => ("BLOCKED", true),
    }
}

pub fn status(view: &StatusView, times: Times, look: Look) -> String {
    let mut text = format!("Store: {}\n\nJobs: {}\n", clean(&view.store), view.total);
    for (shown, jobs) in view.jobs.iter() {
        let line = format!("{:<12}{jobs:>8}", format!("{shown}:"));
        let colours = look.colours && jobs > 0;
        text.push_str(&format!("  {}\n", paint(color::of_state(shown.as_str()), &line, colours)));
    }
    let paused: Vec<&str> =
        view.queues.iter().filter(|queue| queue.paused).map(|queue| queue.name.as_str()).collect();
    if !paused.is_empty() {
        let names = paint(color::of_state("paused"), &paused.join(", "), look.colours);
        text.push_str(&format!("\nPaused queues: {names}\n"));
    }
    let workers = &view.workers;
    let processes = if workers.processes == 1 { "process" } else { "processes" };
    text.push_str(&format!("\nWorkers: {} active in {} {processes}\n", workers.active, workers.processes));
    if !workers.list.is_empty() {
        text.push_str(&workers_table(&workers.list, times, look));
    }
    for line in orphan_lines(&workers.orphans) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// "Keeper k1: worker gone, 2 jobs run on (a, b)", a line each.
pub fn orphan_lines(orphans: &[OrphanView]) -> Vec<String> {
    let line = |orphan: &OrphanView| {
        let jobs = if orphan.jobs.len() == 1 { "job runs" } else { "jobs run" };
        let ids = orphan.jobs.join(", ");
        format!("Keeper {}: worker gone, {} {jobs} on ({ids})", orphan.keeper, orphan.jobs.len())
    };
    orphans.iter().map(line).collect()
}
