//! Benchmarks: the release binary beside floors that nothing can be faster than, and beside its peers, in rounds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

mod built;
mod clock;
mod conditions;
mod floors;
mod meter;
mod peers;
mod plan;
mod product;
mod report;
mod rounds;
mod scenarios;
mod stand;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::conditions::Conditions;
use crate::stand::{Fault, Scale, Stand};

/// Measures queuectl.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Bench {
    /// A scenario, or all
    #[arg(required = true, value_parser = scenario_names())]
    scenario: Option<String>,
    /// Rounds: in each, every contender runs once
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    scale: Scale,
    /// Print one JSON object a scenario
    #[arg(long)]
    json: bool,
    /// Write each table into a section of this document, in the place of the last one of its scenario
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The binary to measure [default: built first, and put beside this program]
    #[arg(long)]
    queuectl: Option<PathBuf>,
    /// Where bench/peers.sh put the peers [default: target/peers]
    #[arg(long)]
    peers: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// A floor, in this process; prints its seconds
    #[command(hide = true, subcommand)]
    Floor(floors::Floor),
    /// Our side of the scenario `drain`, in this process; prints its seconds
    #[command(hide = true, name = "drain-part")]
    Drain { store: PathBuf },
    /// Becomes a command that reads from a wide pipe
    #[command(hide = true)]
    Widened {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
}

fn scenario_names() -> Vec<&'static str> {
    scenarios::ALL.iter().map(|(name, _)| *name).chain(["all"]).collect()
}

fn main() -> Result<ExitCode, Fault> {
    let bench = Bench::parse();
    if let Some(part) = bench.part {
        let took = match part {
            Part::Floor(floor) => floors::run(floor)?,
            Part::Drain { store } => scenarios::drain::run(&store)?,
            Part::Widened { command } => match floors::pipe::widened(&command)? {},
        };
        println!("{}", took.as_secs_f64());
        return Ok(ExitCode::SUCCESS);
    }
    let this = std::env::current_exe()?;
    let queuectl = match &bench.queuectl {
        Some(given) => given.clone(),
        None => built::queuectl(&this)?,
    };
    let stand = Stand {
        queuectl,
        // Absolute: a peer runs in a directory of its own.
        peers: match &bench.peers {
            Some(given) => std::path::absolute(given)?,
            None => Stand::source().join("target/peers"),
        },
        bench: this,
        scale: bench.scale,
    };
    built::check(&stand)?;
    let chosen = bench.scenario.as_deref().unwrap_or("all");
    play(&bench, &stand, chosen)
}

/// Plays the chosen scenarios; one that fails does not keep the others from being played.
fn play(bench: &Bench, stand: &Stand, chosen: &str) -> Result<ExitCode, Fault> {
    let conditions = Conditions::found(stand);
    conditions.refuse_memory(bench.scale)?;
    let order: Vec<&str> = scenarios::ALL.iter().map(|(name, _)| *name).collect();
    let mut code = ExitCode::SUCCESS;
    for (name, planner) in scenarios::ALL.iter().filter(|(name, _)| chosen == "all" || chosen == *name) {
        let came = planner(stand).and_then(|plan| rounds::play(plan, bench.pairs, bench.scale));
        let came = came.map_err(|fault| fault.to_string());
        match &came {
            Ok(report) if bench.json => {
                println!("{}", serde_json::json!({ "report": report, "conditions": conditions }));
            }
            Ok(report) => println!("{}", report::table(report, &conditions)),
            Err(why) => eprintln!("{name} failed: {why}"),
        }
        // The tiny scale only shows that all of it works: what its figures would void is told, and is no failure.
        let works = |report: &report::Report| bench.scale == Scale::Tiny && report.incomplete.is_none();
        if !came.as_ref().is_ok_and(|report| report.is_sound() || works(report)) {
            code = ExitCode::FAILURE;
        }
        // Each time, so that a run that is broken off leaves what it measured.
        if let Some(path) = &bench.write {
            report::write_document(path, name, came.as_ref().map_err(String::as_str), &conditions, &order)?;
        }
    }
    Ok(code)
}
