//! A report as text: who, how fast, how that compares, and under which conditions.

use std::fmt::Write;

use super::Report;
use super::number::{optional, spread};
use crate::conditions::Conditions;

/// The rows of the contenders: who, role, jobs, figure, spread, CPU, memory.
pub fn rows(report: &Report) -> Vec<[String; 7]> {
    let mut rows = Vec::new();
    for contender in &report.contenders {
        for (at, figure) in contender.figures.iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            rows.push([
                first(contender.name.clone()),
                first(contender.role.clone()),
                first(if contender.jobs == 0 { "-".to_owned() } else { contender.jobs.to_string() }),
                format!("{} [{}]", figure.name, figure.unit),
                spread(figure.spread),
                first(optional(contender.cpu_ms_per_job)),
                first(optional(contender.peak_mib)),
            ]);
        }
    }
    rows
}

/// The rows of what is wanted: what, of which figure, spread, wanted, verdict.
pub fn goals(report: &Report) -> Vec<[String; 5]> {
    let row = |goal: &super::GoalReport| {
        let value = goal.spread.map_or_else(|| "-".to_owned(), spread);
        [goal.what(), goal.figure.clone(), value, goal.want.clone(), goal.verdict.to_owned()]
    };
    report.goals.iter().map(row).collect()
}

pub const ROW_TITLES: [&str; 7] =
    ["contender", "role", "jobs", "figure", "median (min-max)", "CPU ms/job", "peak MiB"];
pub const GOAL_TITLES: [&str; 5] = ["compared", "figure", "median (min-max)", "wanted", ""];

pub fn print(report: &Report, conditions: &Conditions) -> String {
    let mut text = format!("{}: {}\n", report.scenario, report.about);
    text.push_str(&aligned(&ROW_TITLES, &rows(report)));
    if !report.goals.is_empty() {
        text.push('\n');
        text.push_str(&aligned(&GOAL_TITLES, &goals(report)));
    }
    text.push('\n');
    for contender in &report.contenders {
        let _ = writeln!(text, "{}: {}; {}", contender.name, contender.durability, contender.setting);
    }
    for (name, why) in &report.skipped {
        let _ = writeln!(text, "skipped: {name} ({why})");
    }
    let _ = writeln!(text, "{}; {}", report.extent(), conditions.line());
    text
}

fn aligned<const N: usize>(titles: &[&str; N], rows: &[[String; N]]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([titles[at].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(titles.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}
