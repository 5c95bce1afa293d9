//! Reports as marked sections of a document, one a scenario, with a plot each in a folder of the document's name; what is
//! around them, and what is there of other scenarios, stays as it is.

use std::fmt::Write as _;
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

/// Writes what came of one scenario, or why it failed, in the place of what is there of it; `order` has all scenarios.
pub fn write(
    path: &Path,
    scenario: &str,
    came: Result<&Report, &str>,
    conditions: &Conditions,
    order: &[&str],
) -> Result<(), Fault> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => "# Performance\n".to_owned(),
        Err(error) => return Err(error.into()),
    };
    let body = match came {
        Ok(report) => {
            let plots = path.with_extension("");
            fs::create_dir_all(&plots)?;
            let folder =
                plots.file_name().and_then(|name| name.to_str()).ok_or("the document has no name")?;
            let drawn = plot::draw(report, &plots.join(format!("{scenario}.svg")))?;
            section(report, drawn.then(|| format!("![{scenario}]({folder}/{scenario}.svg)")))
        }
        Err(why) => format!("failed: {}\n", why.replace('\n', " ")),
    };
    let text = format!("## {scenario}\n\n{body}\nConditions: {}.\n", conditions.line());
    fs::write(path, with_section(&old, scenario, &text, order))?;
    Ok(())
}

/// Replaces one scenario's section between the marks, or adds the marks at the end. Sections stand in the given order.
fn with_section(old: &str, scenario: &str, text: &str, order: &[&str]) -> String {
    let (before, within, after) = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            (&old[..begin], &old[begin + BEGIN.len()..end], &old[end + END.len()..])
        }
        _ => (old.trim_end(), "", "\n"),
    };
    let gap = if within.is_empty() && !old.contains(BEGIN) { "\n\n" } else { "" };
    let mut marked = String::new();
    for name in order {
        let (begin, end) = (format!("<!-- bench: {name} -->\n"), format!("<!-- /bench: {name} -->\n"));
        let kept = || {
            let (_, rest) = within.split_once(&begin)?;
            rest.split_once(&end).map(|(text, _)| text)
        };
        if let Some(text) = if *name == scenario { Some(text) } else { kept() } {
            let _ = write!(marked, "\n{begin}{text}{end}");
        }
    }
    format!("{before}{gap}{BEGIN}\n{marked}\n{END}{after}")
}

fn section(report: &Report, plot: Option<String>) -> String {
    let mut text = format!("{}\n\n", report.about);
    text.push_str(&table(&ROW_TITLES, &rows(report)));
    if !report.goals.is_empty() {
        text.push('\n');
        text.push_str(&table(&GOAL_TITLES, &goals(report)));
    }
    if let Some(plot) = plot {
        let _ = writeln!(text, "\n{plot}");
    }
    let _ = writeln!(text, "\n{}.\n", report.extent());
    for contender in &report.contenders {
        let _ = writeln!(text, "- {}: {}; {}", contender.name, contender.durability, contender.setting);
    }
    for (name, why) in &report.skipped {
        let _ = writeln!(text, "- {name} did not take part: {why}");
    }
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
    fn a_scenario_replaces_its_own_section_and_no_other() {
        let order = ["a", "b", "c"];
        let b = with_section("# Performance\n\nWords.\n", "b", "one\n", &order);
        assert_eq!(
            b,
            "# Performance\n\nWords.\n\n<!-- bench -->\n\n<!-- bench: b -->\none\n<!-- /bench: b -->\n\n<!-- /bench -->\n"
        );
        let all = with_section(
            &with_section(&format!("{b}\nMore.\n"), "c", "three\n", &order),
            "a",
            "two\n",
            &order,
        );
        let places =
            ["Words.", "two", "one", "three", "More."].map(|text| all.find(text).expect("it is there"));
        assert!(places.is_sorted(), "{all}");
        let again = with_section(&all, "b", "four\n", &order);
        assert_eq!(again, all.replace("one", "four"));
    }
}
