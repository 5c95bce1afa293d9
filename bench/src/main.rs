//! Benchmarks. Each measures the release binary against a floor, in pairs within the same minute, and prints medians.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod enqueue_floor;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures queuectl.
#[derive(Debug, Parser)]
struct Bench {
    /// The binary to measure [default: the one beside this program]
    #[arg(long, global = true)]
    queuectl: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// `enqueue -` of many lines against a prepared insert of the same rows
    EnqueueFloor(enqueue_floor::Arguments),
}

fn main() -> Result<(), Box<dyn Error>> {
    let bench = Bench::parse();
    let queuectl = match bench.queuectl {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("queuectl"),
    };
    match bench.what {
        What::EnqueueFloor(arguments) => {
            let measured = enqueue_floor::run(&queuectl, &arguments)?;
            println!("{measured}");
        }
    }
    Ok(())
}
