//! A worker that is the first process of a container: this process then only stands by, and the worker is its child.
//!
//! So the worker may crash and be started again, and adopts what its keeper still runs, for the container goes on.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use queuectl_exec::pid_one::{ChildEnd, Setback, stand_by};

use crate::exit::{Exit, Failure};
use crate::terminal::complain;
use crate::worker::this_program;

/// The code of a Rust program that has panicked.
const PANICKED: i32 = 101;

/// Runs the same command line as a child, for as long as it is to run.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match run(arguments) {
        Ok(end) => ExitCode::from(end.code()),
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Vec<OsString>) -> Result<ChildEnd, Failure> {
    let mut command = Command::new(this_program()?);
    command.args(arguments.into_iter().skip(1));
    let crashed = |code| code == i32::from(Exit::Internal.code()) || code == PANICKED;
    stand_by(command, crashed, tell)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot look after the worker: {error}")))
}

fn tell(setback: &Setback, wait: Duration) {
    let what = match setback {
        Setback::Crashed(ChildEnd::Exited(code)) => format!("crashed (exit code {code})"),
        Setback::Crashed(ChildEnd::Signaled(signal)) => format!("crashed (signal {signal})"),
        Setback::NotStarted(error) => format!("could not be started ({error})"),
    };
    complain(&format!("The worker {what}. It is started again in {wait:?} and takes over what runs on."));
}
