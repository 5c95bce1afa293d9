//! `add`: one job from a shell line or exact arguments, in the grammar of `run`.

use std::ffi::OsString;

use clap::Args;
use queuectl::JobRequest;

use crate::enqueue::{Shape, enqueue};
use crate::exit::{Failure, Outcome};
use crate::flags::{JobFlags, args};
use crate::place::Place;

/// Add one job: a shell line, or a program after --
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl add 'gzip -9 big.log'\n  queuectl add -q mail --delay 5m -- ./send --all\n  \
    queuectl add --wait 'make test' && echo passed"
)]
pub struct Arguments {
    #[command(flatten)]
    pub what: What,
    /// Print the job as JSON
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print the id only
    #[arg(long)]
    quiet: bool,
    /// Wait until it has ended; exit 0 only if it succeeded
    #[arg(long)]
    wait: bool,
}

/// The command of one job, and its options.
#[derive(Debug, Args)]
pub struct What {
    /// A shell line
    #[arg(value_name = "LINE")]
    line: Vec<OsString>,
    #[command(flatten)]
    flags: JobFlags,
    /// A program and its arguments, handed over exactly
    #[arg(last = true, value_name = "PROG ARGS")]
    args: Vec<OsString>,
}

impl What {
    pub fn request(self) -> Result<JobRequest, Failure> {
        let flags = self.flags.request().map_err(Failure::usage)?;
        let mut lines = self.line;
        if lines.len() > 1 {
            let words: Vec<String> =
                lines.iter().map(|word| crate::terminal::clean(&word.to_string_lossy())).collect();
            let words = words.join(" ");
            return Err(Failure::usage("several words could be a shell line or a program with arguments")
                .hint(format!("write '{words}' in quotes, or -- {words}")));
        }
        let line = lines.pop().map(OsString::into_string).transpose();
        let line = line.map_err(|_| {
            Failure::usage("the shell line is not UTF-8").hint("give exact arguments after -- instead")
        })?;
        let command = JobRequest { command: line, args: args(self.args), ..JobRequest::default() };
        match (&command.command, &command.args) {
            (None, None) => Err(Failure::usage("no command is given").hint("write 'LINE' or -- PROG ARGS")),
            (Some(_), Some(_)) => Err(Failure::usage(
                "a shell line and arguments after -- exclude each other; give one of them",
            )),
            _ => Ok(flags.merge(command)),
        }
    }
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let Arguments { json, quiet, wait, .. } = arguments;
    let shape = Shape { json, quiet, single: true, wait, asked: None };
    enqueue(place, vec![arguments.what.request()?], shape).await
}
