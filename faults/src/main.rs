//! The crash proof: runs figures, each of which tries to break one promise of the store, and prints what came of it.
//! Never part of the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table, and tells what broke")]

mod apart;
mod crew;
mod dice;
mod figure;
mod figures;
mod history;
mod house;
mod image;
mod kept;
mod play;
mod procs;
mod report;
mod scene;
mod script;
mod snapshot;
mod undisturbed;
mod vfs;
mod voyage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use figure::{FIGURES, Figure, Outcome, Plan, Profile, Verdict};
use report::{DOCUMENT, Finished, Line};

/// Tries to break what queuectl promises, and prints a table of the attempts.
#[derive(Debug, Parser)]
struct Arguments {
    /// Figures to run, by name [default: all]
    figures: Vec<String>,
    /// Run the long profile
    #[arg(long)]
    long: bool,
    /// What decides every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the table into the marked section of this document [default with --long: docs/reliability.md]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Play one trial, as `FIGURE:TRIAL`, in the part of a process that a figure has started
    #[arg(long, hide = true)]
    apart: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("queuectl-faults: {why}");
            ExitCode::from(2)
        }
    }
}

/// True if no figure failed.
fn run(arguments: &Arguments) -> Result<bool, String> {
    crew::count_panics();
    if let Some(what) = &arguments.apart {
        println!("{}", apart::inside(what, arguments.seed)?);
        return Ok(true);
    }
    let chosen = choose(&arguments.figures)?;
    let profile = if arguments.long { Profile::Long } else { Profile::Short };
    let finished = arguments.long.then(finished_file).transpose()?.map(Finished::load).transpose()?;
    let document = arguments.write.clone().or(arguments.long.then(|| DOCUMENT.into()));
    let commit = report::commit();
    vfs::install();
    let mut lines = Vec::new();
    for figure in chosen {
        let found = finished
            .as_ref()
            .and_then(|done| done.find(figure.name, profile.name(), arguments.seed, &commit).cloned());
        let line = if let Some(line) = found {
            line
        } else {
            let line = try_one(figure, profile, arguments.seed, &commit);
            finished.as_ref().map_or(Ok(()), |finished| finished.add(&line))?;
            line
        };
        lines.push(line);
        // A run that is broken off leaves what it has found.
        if let Some(document) = &document {
            report::write(document, &lines)?;
        }
    }
    print!("{}", report::table(&lines));
    Ok(told(&lines))
}

/// What a long run has finished lies with the build.
fn finished_file() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = program.ancestors().nth(2).ok_or("this program lies in no target directory")?;
    Ok(target.join("faults-long.jsonl"))
}

fn try_one(figure: &Figure, profile: Profile, seed: u64, commit: &str) -> Line {
    eprintln!("{}, seed {seed}: {}", figure.name, figure.what);
    if profile == Profile::Short {
        crew::watch(figure.name, seed);
    }
    let plan = figure.plan(profile, seed);
    let begin = procs::now();
    let outcome = held_to(&plan, (figure.run)(&plan), crew::panics().len());
    Line {
        figure: figure.name.to_owned(),
        profile: profile.name().to_owned(),
        seed,
        commit: commit.to_owned(),
        took_s: begin.elapsed().as_secs(),
        trials: outcome.trials,
        result: outcome.result,
        verdict: outcome.verdict,
    }
}

/// What no figure may come to, whatever it says of itself: a panic anywhere, fewer trials than were planned, or none.
fn held_to(plan: &Plan, mut outcome: Outcome, panics: usize) -> Outcome {
    let planned = plan.trials.unwrap_or(1);
    if panics > 0 {
        outcome.result.push_str(&format!("; {panics} panics"));
        outcome.verdict = Verdict::Fail;
    }
    if outcome.trials < planned && outcome.verdict != Verdict::Skip {
        outcome.result.push_str(&format!("; {planned} trials were planned"));
        outcome.verdict = Verdict::Fail;
    }
    outcome
}

/// Tells what failed; true if nothing did. Where everything must be tried, a figure that was skipped has failed.
#[expect(clippy::disallowed_methods, reason = "whether this is CI, only the environment tells")]
fn told(lines: &[Line]) -> bool {
    let all = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let fails = |line: &&Line| match line.verdict {
        Verdict::Pass | Verdict::Late => false,
        Verdict::Skip => all,
        Verdict::Fail => true,
    };
    let failed: Vec<&Line> = lines.iter().filter(fails).collect();
    for line in &failed {
        eprintln!("failed: {}, seed {}: {}", line.figure, line.seed, line.result);
    }
    if !failed.is_empty() {
        for line in crew::broken() {
            eprintln!("{line}");
        }
    }
    failed.is_empty()
}

fn choose(names: &[String]) -> Result<Vec<&'static Figure>, String> {
    let known = |name: &String| FIGURES.iter().any(|figure| figure.name.eq_ignore_ascii_case(name));
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
        return Err(format!("there is no figure `{unknown}`; there are {}", all.join(", ")));
    }
    let wanted = |figure: &&Figure| {
        names.is_empty() || names.iter().any(|name| figure.name.eq_ignore_ascii_case(name))
    };
    Ok(FIGURES.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_missing_trials_fail_a_figure_that_finds_nothing_wrong() {
        let plan = Plan { profile: Profile::Short, seed: 1, trials: Some(3) };
        let right = |trials| Outcome { trials, result: "0 wrong".to_owned(), verdict: Verdict::Pass };
        assert_eq!(held_to(&plan, right(3), 0), right(3));
        assert_eq!(held_to(&plan, right(3), 1).verdict, Verdict::Fail);
        assert_eq!(held_to(&plan, right(2), 0).verdict, Verdict::Fail);
        assert_eq!(
            held_to(&Plan { trials: None, ..plan }, right(0), 0).verdict,
            Verdict::Fail,
            "none at all"
        );
        let skipped = Outcome { verdict: Verdict::Skip, ..right(0) };
        assert_eq!(held_to(&plan, skipped.clone(), 0), skipped);
    }
}
