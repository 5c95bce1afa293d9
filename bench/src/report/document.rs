//! Reports as a marked section of a document, with a plot each in a folder of the document's name; what is around it stays
//! as it is.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::Report;
use super::plot;
use super::table::{GOAL_TITLES, ROW_TITLES, goals, rows};
use crate::conditions::Conditions;
use crate::stand::Fault;

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// Replaces the section between the marks, or adds one at the end.
pub fn write(path: &Path, reports: &[Report], conditions: &Conditions) -> Result<(), Fault> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => "# Performance\n".to_owned(),
        Err(error) => return Err(error.into()),
    };
    let plots = path.with_extension("");
    fs::create_dir_all(&plots)?;
    let folder = plots.file_name().and_then(|name| name.to_str()).ok_or("the document has no name")?;
    let mut drawn = Vec::new();
    for report in reports {
        if plot::draw(report, &plots.join(format!("{}.svg", report.scenario)))? {
            drawn.push(report.scenario.as_str());
        }
    }
    let plot_of = |report: &Report| {
        let scenario = drawn.iter().find(|scenario| **scenario == report.scenario)?;
        Some(format!("![{scenario}]({folder}/{scenario}.svg)"))
    };
    fs::write(path, with_section(&old, &section(reports, conditions, plot_of)))?;
    Ok(())
}

fn with_section(old: &str, section: &str) -> String {
    let marked = format!("{BEGIN}\n{section}{END}");
    match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{marked}{}", &old[..begin], &old[end + END.len()..])
        }
        _ => format!("{}\n\n{marked}\n", old.trim_end()),
    }
}

fn section(
    reports: &[Report],
    conditions: &Conditions,
    plot_of: impl Fn(&Report) -> Option<String>,
) -> String {
    let mut text = format!("\nConditions: {}.\n", conditions.line());
    for report in reports {
        let _ = writeln!(text, "\n## {}\n\n{}\n", report.scenario, report.about);
        text.push_str(&table(&ROW_TITLES, &rows(report)));
        if !report.goals.is_empty() {
            text.push('\n');
            text.push_str(&table(&GOAL_TITLES, &goals(report)));
        }
        if let Some(plot) = plot_of(report) {
            let _ = writeln!(text, "\n{plot}");
        }
        let _ = writeln!(text, "\n{} rounds, scale {}.\n", report.rounds, report.scale);
        for contender in &report.contenders {
            let _ = writeln!(text, "- {}: {}; {}", contender.name, contender.durability, contender.setting);
        }
        for (name, why) in &report.skipped {
            let _ = writeln!(text, "- {name} did not take part: {why}");
        }
    }
    text.push('\n');
    text
}

fn table<const N: usize>(titles: &[&str; N], rows: &[[String; N]]) -> String {
    let mut text = format!("| {} |\n|{}\n", titles.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_once_and_then_replaced_where_it_stands() {
        let first = with_section("# Performance\n\nWords.\n", "one\n");
        assert_eq!(first, "# Performance\n\nWords.\n\n<!-- bench -->\none\n<!-- /bench -->\n");
        let second = with_section(&format!("{first}\nMore.\n"), "two\n");
        assert_eq!(second, "# Performance\n\nWords.\n\n<!-- bench -->\ntwo\n<!-- /bench -->\n\nMore.\n");
    }
}
