//! `keeper`: the hidden verb that turns this process into a worker's keeper.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use queuectl::OnCrash;
use queuectl_exec::KeeperOptions;

use crate::exit::{Exit, Failure, refuse_usage};

pub const VERB: &str = "keeper";

#[derive(Debug, Parser)]
#[command(name = "queuectl keeper", about = "Started by a worker; not for people")]
struct Arguments {
    #[arg(long)]
    run_dir: PathBuf,
    #[arg(long)]
    out_dir: PathBuf,
    #[arg(long)]
    id: String,
    /// Of the jobs, in octal
    #[arg(long, value_parser = octal)]
    umask: u32,
    #[arg(long, value_parser = on_crash)]
    on_crash: OnCrash,
    #[arg(long)]
    guard: Option<PathBuf>,
}

fn on_crash(text: &str) -> Result<OnCrash, String> {
    OnCrash::parse(text).ok_or_else(|| "adopt or kill".to_owned())
}

fn octal(text: &str) -> Result<u32, std::num::ParseIntError> {
    u32::from_str_radix(text, 8)
}

pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refuse_usage(&error),
    };
    let options = KeeperOptions {
        run_dir: arguments.run_dir,
        out_dir: arguments.out_dir,
        id: arguments.id,
        umask: arguments.umask,
        on_crash: arguments.on_crash,
        guard: arguments.guard,
    };
    match queuectl_exec::run(options) {
        Ok(()) => Exit::Done.into(),
        Err(error) => Failure::new(Exit::Unavailable, format!("the keeper failed: {error}")).report(),
    }
}
