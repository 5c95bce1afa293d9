//! The table: of a run on standard output, of the last runs in a document.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::figure::FIGURES;

const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- /figures -->";
const HEAD: &str = "| figure | what | profile | trials | seed | result | target | |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- |\n";

/// A figure that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub figure: String,
    pub profile: String,
    pub seed: u64,
    pub trials: u64,
    pub result: String,
    pub passed: bool,
}

impl Line {
    fn verdict(&self) -> &'static str {
        if self.passed { "pass" } else { "FAIL" }
    }
}

/// The lines, for people.
pub fn table(lines: &[Line]) -> String {
    let mut cells = vec![["figure", "trials", "seed", "result", "target", ""].map(str::to_owned)];
    for line in lines {
        cells.push([
            line.figure.clone(),
            line.trials.to_string(),
            line.seed.to_string(),
            line.result.clone(),
            target(&line.figure).to_owned(),
            line.verdict().to_owned(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

fn target(figure: &str) -> &'static str {
    FIGURES.iter().find(|one| one.name == figure).map_or("", |one| one.target)
}

/// Writes the lines into the marked section of a document; the rows of other figures stay.
pub fn write(document: &Path, lines: &[Line]) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", document.display());
    let text = fs::read_to_string(document).map_err(told)?;
    let marked = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let Some((before, (old, after))) = marked else {
        return Err(format!("{} has no section between {} and {END}", document.display(), BEGIN.trim()));
    };
    let mut section = HEAD.to_owned();
    for figure in FIGURES {
        let begin = format!("| {} |", figure.name);
        let Some(line) = lines.iter().find(|line| line.figure == figure.name) else {
            let kept = old.lines().filter(|row| row.starts_with(&begin));
            section.extend(kept.map(|row| format!("{row}\n")));
            continue;
        };
        section.push_str(&format!(
            "{begin} {} | {} | {} | {} | {} | {} | {} |\n",
            figure.what,
            line.profile,
            line.trials,
            line.seed,
            line.result,
            figure.target,
            line.verdict()
        ));
    }
    fs::write(document, format!("{before}{BEGIN}{section}{END}{after}")).map_err(told)
}

/// Finished figures of earlier runs, one JSON object a line, so that a long run can go on where it was broken off.
pub struct Finished {
    file: PathBuf,
    lines: Vec<Line>,
}

impl Finished {
    pub fn load(file: &Path) -> Result<Finished, String> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        // A line that was broken off with its run counts as not written.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Finished { file: file.to_owned(), lines })
    }

    /// The figure as it came out before, with this profile and seed.
    pub fn find(&self, figure: &str, profile: &str, seed: u64) -> Option<&Line> {
        self.lines
            .iter()
            .find(|line| line.figure == figure && line.profile == profile && line.seed == seed && line.passed)
    }

    pub fn add(&self, line: &Line) -> Result<(), String> {
        use std::io::Write;
        let mut text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        text.push('\n');
        let mut open = fs::OpenOptions::new();
        let file = open.append(true).create(true).open(&self.file);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("{}: {error}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figure: &str, passed: bool) -> Line {
        let (figure, profile) = (figure.to_owned(), "short".to_owned());
        Line { figure, profile, seed: 7, trials: 3, result: "0 of 3 wrong".to_owned(), passed }
    }

    #[test]
    fn a_documents_section_gets_the_new_rows_and_keeps_the_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let document = dir.path().join("reliability.md");
        fs::write(&document, format!("before\n{BEGIN}{END}\nafter\n")).expect("written");
        write(&document, &[line("R13", true)]).expect("it has the section");
        write(&document, &[line("R2", false)]).expect("it still has");
        let text = fs::read_to_string(&document).expect("it is there");
        assert!(text.starts_with("before\n") && text.ends_with(&format!("{END}\nafter\n")), "{text}");
        let rows: Vec<&str> = text.lines().filter(|row| row.starts_with("| R")).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert!(rows[0].starts_with("| R2 |") && rows[0].ends_with("| FAIL |"), "{text}");
        assert!(rows[1].starts_with("| R13 |") && rows[1].ends_with("| pass |"), "{text}");
    }

    #[test]
    fn a_figure_that_passed_before_is_known_by_its_profile_and_seed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("finished");
        let finished = Finished::load(&file).expect("nothing yet");
        finished.add(&line("R2", true)).expect("written");
        finished.add(&line("R13", false)).expect("written");
        let finished = Finished::load(&file).expect("it is there");
        assert_eq!(finished.find("R2", "short", 7), Some(&line("R2", true)));
        assert_eq!(finished.find("R2", "long", 7), None);
        assert_eq!(finished.find("R2", "short", 8), None);
        assert_eq!(finished.find("R13", "short", 7), None, "what failed runs again");
    }
}
