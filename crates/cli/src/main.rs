//! The binary `queuectl`. It alone prints, reads the environment, and exits.
//!
//! One file a verb: it reads its flags, asks the library, and gives a view to the renderer. `exit.rs` has the exit codes,
//! `place.rs` finds the store, `terminal.rs` knows the streams.

mod add;
mod backup;
mod cancel;
mod changed;
mod clear;
mod cli;
mod color;
mod completions;
mod config;
mod delete;
mod dlq;
mod doctor;
mod edit;
mod enqueue;
mod escapes;
mod exit;
mod explain;
mod first;
mod flags;
mod hints;
mod init;
mod keeper;
mod list;
mod logs;
mod migrate;
mod note;
mod pid_one;
mod place;
mod progress;
mod prune;
mod purge;
mod queue;
mod reason;
#[cfg(test)]
mod reference;
mod render;
mod reset;
mod restore;
mod retry;
mod run;
mod show;
mod stats;
mod status;
mod table;
mod target;
mod terminal;
mod top;
mod wait;
mod watch;
mod when;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // A keeper is single-threaded and lives on the first thread: no runtime, no parser of the other verbs.
    if arguments.get(1).is_some_and(|verb| verb == keeper::VERB) {
        return keeper::main(arguments.into_iter().skip(1));
    }
    // Before any thread: a shell that asks for completions runs no verb.
    if completions::answer() {
        return Exit::Done.into();
    }
    let cli = match Cli::read(arguments.clone()) {
        Ok(cli) => cli,
        Err(error) => return exit::refuse_usage(&error),
    };
    // As the first process of a container it is not the worker itself, but whoever looks after it.
    if queuectl_exec::pid_one::is_pid_one() && cli.works_here() {
        return pid_one::main(arguments);
    }
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077)).as_raw_mode();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if cli.listens() {
        runtime.enable_io();
    }
    let runtime = match runtime.enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Internal, format!("cannot start: {error}")).report(),
    };
    let code = match runtime.block_on(cli.run(umask)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    };
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    code
}
