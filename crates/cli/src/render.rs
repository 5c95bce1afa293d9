//! Views as people read them: tables without borders, one header line, id then state first.

use comfy_table::{ContentArrangement, Table, presets};
use queuectl::view::{JobView, QueueView, StatusView, WorkerView};

use crate::terminal::clean;

/// Of a command in a table, in characters.
const COMMAND_CHARS_MAX: usize = 60;

/// A table of these rows. The last column is not padded.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// A command as one short line.
fn short(command: &str) -> String {
    let line = clean(command);
    if line.chars().count() <= COMMAND_CHARS_MAX {
        return line;
    }
    let cut: String = line.chars().take(COMMAND_CHARS_MAX - 1).collect();
    format!("{cut}…")
}

pub fn jobs_table(views: &[JobView]) -> String {
    let rows = views.iter().map(|job| {
        let note = match (&job.next_retry_at, &job.run_at) {
            (Some(at), _) => format!("retry at {at}"),
            (None, Some(at)) if job.state == "pending" => format!("runs at {at}"),
            _ => job.last_error.as_deref().map(short).unwrap_or_default(),
        };
        vec![
            job.id.clone(),
            job.state.to_owned(),
            job.queue.clone(),
            job.priority.to_string(),
            format!("{}/{}", job.attempts, job.max_retries.max(1)),
            job.created_at.clone(),
            job.command.as_deref().map(short).unwrap_or_default(),
            note,
        ]
    });
    table(&["ID", "STATE", "QUEUE", "PRIORITY", "ATTEMPTS", "CREATED", "COMMAND", "NOTE"], rows)
}

pub fn workers_table(views: &[WorkerView]) -> String {
    let rows = views.iter().map(|worker| {
        let queues = if worker.queues.is_empty() { "all".to_owned() } else { worker.queues.join(",") };
        vec![
            worker.id.clone(),
            worker.state.to_owned(),
            worker.pid.to_string(),
            worker.slots.to_string(),
            queues,
            worker.started_at.clone(),
            worker.host.clone(),
        ]
    });
    table(&["ID", "STATE", "PID", "SLOTS", "QUEUES", "STARTED", "HOST"], rows)
}

pub fn queues_table(views: &[QueueView]) -> String {
    let mut header = vec!["QUEUE", "STATE"];
    let names: Vec<String> =
        queuectl::core::state::Shown::ALL.iter().map(|s| s.as_str().to_uppercase()).collect();
    header.extend(names.iter().map(String::as_str));
    let rows = views.iter().map(|queue| {
        let state = if queue.paused { "paused" } else { "active" };
        let mut row = vec![queue.name.clone(), state.to_owned()];
        row.extend(queue.jobs.iter().map(|(_, jobs)| jobs.to_string()));
        row
    });
    table(&header, rows)
}

pub fn status(view: &StatusView) -> String {
    let mut text = format!("Store: {}\n\nJobs: {}\n", clean(&view.store), view.total);
    for (shown, jobs) in view.jobs.iter() {
        text.push_str(&format!("  {:<12}{jobs:>8}\n", format!("{shown}:")));
    }
    let paused: Vec<&str> =
        view.queues.iter().filter(|queue| queue.paused).map(|queue| queue.name.as_str()).collect();
    if !paused.is_empty() {
        text.push_str(&format!("\nPaused queues: {}\n", paused.join(", ")));
    }
    let workers = &view.workers;
    let processes = if workers.processes == 1 { "process" } else { "processes" };
    text.push_str(&format!("\nWorkers: {} active in {} {processes}\n", workers.active, workers.processes));
    if !workers.list.is_empty() {
        text.push_str(&workers_table(&workers.list));
    }
    text
}
