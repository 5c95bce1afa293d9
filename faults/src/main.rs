//! The crash proof: runs figures, each of which tries to break one promise of the store, and prints what came of it.
//! Never part of the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table, and tells what broke")]

mod apart;
mod crew;
mod dice;
mod figure;
mod figures;
mod house;
mod image;
mod kept;
mod play;
mod procs;
mod report;
mod scene;
mod script;
mod snapshot;
mod vfs;
mod voyage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use figure::{FIGURES, Figure, Profile};
use report::{Finished, Line};

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
    /// Keep finished figures in this file, and skip those that it has
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the table into the marked section of this document
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

/// True if all figures passed.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(what) = &arguments.apart {
        println!("{}", apart::inside(what, arguments.seed)?);
        return Ok(true);
    }
    let chosen = choose(&arguments.figures)?;
    let profile = if arguments.long { Profile::Long } else { Profile::Short };
    let finished = arguments.resume.as_deref().map(Finished::load).transpose()?;
    vfs::install();
    crew::count_panics();
    let mut lines = Vec::new();
    for figure in chosen {
        let before =
            finished.as_ref().and_then(|done| done.find(figure.name, profile.name(), arguments.seed));
        if let Some(line) = before {
            lines.push(line.clone());
            continue;
        }
        eprintln!("{}, seed {}: {}", figure.name, arguments.seed, figure.what);
        let outcome = (figure.run)(&figure.plan(profile, arguments.seed));
        let line = Line {
            figure: figure.name.to_owned(),
            profile: profile.name().to_owned(),
            seed: arguments.seed,
            trials: outcome.trials,
            result: outcome.result,
            passed: outcome.passed,
        };
        if let Some(finished) = &finished {
            finished.add(&line)?;
        }
        lines.push(line);
    }
    print!("{}", report::table(&lines));
    if let Some(document) = &arguments.write {
        report::write(document, &lines)?;
    }
    let failed: Vec<&Line> = lines.iter().filter(|line| !line.passed).collect();
    for line in &failed {
        eprintln!("failed: {}, seed {}: {}", line.figure, line.seed, line.result);
    }
    if !failed.is_empty() {
        for line in crew::broken() {
            eprintln!("{line}");
        }
    }
    Ok(failed.is_empty())
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
