//! The table: of a run on standard output, of the last runs in a document.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::figure::{FIGURES, Verdict};

const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- /figures -->";
const HEAD: &str = "| figure | what | profile | trials | seed | commit | took | result | target | |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
/// Where the table is published, from the root of the repository.
pub const DOCUMENT: &str = "docs/reliability.md";

/// A figure that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub figure: String,
    pub profile: String,
    pub seed: u64,
    pub commit: String,
    pub took_s: u64,
    pub trials: u64,
    pub result: String,
    pub verdict: Verdict,
}

impl Line {
    fn took(&self) -> String {
        match (self.took_s / 60, self.took_s % 60) {
            (0, seconds) => format!("{seconds} s"),
            (minutes, seconds) => format!("{minutes} min {seconds} s"),
        }
    }
}

/// Which tree this is: its commit, with `-dirty` if tracked files have changed since, or `-` where git cannot tell. The
/// document does not count: a run writes it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "-".to_owned() };
    let others = format!(":(top,exclude){DOCUMENT}");
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", &others]);
    if changed.is_some_and(|files| files.is_empty()) { commit } else { format!("{commit}-dirty") }
}

/// The lines, for people.
pub fn table(lines: &[Line]) -> String {
    let mut cells =
        vec![["figure", "trials", "seed", "commit", "took", "result", "target", ""].map(str::to_owned)];
    for line in lines {
        cells.push([
            line.figure.clone(),
            line.trials.to_string(),
            line.seed.to_string(),
            line.commit.clone(),
            line.took(),
            line.result.clone(),
            target(&line.figure).to_owned(),
            line.verdict.name().to_owned(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

fn target(figure: &str) -> &'static str {
    FIGURES.iter().find(|one| one.name == figure).map_or("", |one| one.target)
}

/// Writes the lines into the marked section of a document; the rows of other figures stay, and of those that were skipped.
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
        let ran = |line: &&Line| line.figure == figure.name && line.verdict != Verdict::Skip;
        let Some(line) = lines.iter().find(ran) else {
            let kept = old.lines().filter(|row| row.starts_with(&begin));
            section.extend(kept.map(|row| format!("{row}\n")));
            continue;
        };
        section.push_str(&format!(
            "{begin} {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            figure.what,
            line.profile,
            line.trials,
            line.seed,
            line.commit,
            line.took(),
            line.result,
            figure.target,
            line.verdict.name()
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
    pub fn load(file: PathBuf) -> Result<Finished, String> {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        // A line that was broken off with its run counts as not written.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Finished { file, lines })
    }

    /// The figure as it came out before, with this profile and seed, of the same commit. What failed or was skipped is
    /// tried again.
    pub fn find(&self, figure: &str, profile: &str, seed: u64, commit: &str) -> Option<&Line> {
        self.lines.iter().find(|line| {
            line.figure == figure
                && line.profile == profile
                && line.seed == seed
                && line.commit == commit
                && matches!(line.verdict, Verdict::Pass | Verdict::Late)
        })
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

    fn line(figure: &str, verdict: Verdict) -> Line {
        Line {
            figure: figure.to_owned(),
            profile: "short".to_owned(),
            seed: 7,
            commit: "abc1234".to_owned(),
            took_s: 61,
            trials: 3,
            result: "0 of 3 wrong".to_owned(),
            verdict,
        }
    }

    #[test]
    fn a_documents_section_gets_the_new_rows_and_keeps_the_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let document = dir.path().join("reliability.md");
        fs::write(&document, format!("before\n{BEGIN}{END}\nafter\n")).expect("written");
        write(&document, &[line("R13", Verdict::Late)]).expect("it has the section");
        write(&document, &[line("R2", Verdict::Fail)]).expect("it still has");
        write(&document, &[line("R13", Verdict::Skip)])
            .expect("nor does it lose a row that nothing replaces");
        let text = fs::read_to_string(&document).expect("it is there");
        assert!(text.starts_with("before\n") && text.ends_with(&format!("{END}\nafter\n")), "{text}");
        let rows: Vec<&str> = text.lines().filter(|row| row.starts_with("| R")).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert!(rows[0].starts_with("| R2 |") && rows[0].ends_with("| FAIL |"), "{text}");
        assert!(rows[1].starts_with("| R13 |") && rows[1].ends_with("| late |"), "{text}");
        assert!(rows[1].contains("| short | 3 | 7 | abc1234 | 1 min 1 s | 0 of 3 wrong |"), "{text}");
    }

    #[test]
    fn a_figure_that_was_right_before_is_known_by_its_profile_seed_and_commit() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("finished");
        let finished = Finished::load(file.clone()).expect("nothing yet");
        for (figure, verdict) in
            [("R2", Verdict::Pass), ("R10", Verdict::Late), ("R12", Verdict::Skip), ("R13", Verdict::Fail)]
        {
            finished.add(&line(figure, verdict)).expect("written");
        }
        let finished = Finished::load(file).expect("it is there");
        let find = |figure| finished.find(figure, "short", 7, "abc1234");
        assert_eq!(find("R2"), Some(&line("R2", Verdict::Pass)));
        assert_eq!(find("R10"), Some(&line("R10", Verdict::Late)));
        assert_eq!((find("R12"), find("R13")), (None, None), "what was skipped or failed runs again");
        assert_eq!(finished.find("R2", "long", 7, "abc1234"), None);
        assert_eq!(finished.find("R2", "short", 8, "abc1234"), None);
        assert_eq!(finished.find("R2", "short", 7, "abc1234-dirty"), None);
    }
}
