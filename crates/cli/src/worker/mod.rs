//! `worker`: processes that run jobs.

mod list;
mod start;
mod stop;
mod unit;

use std::path::PathBuf;

use clap::Subcommand;
use queuectl::{OnCrash, WorkerOptions};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, environment, home};

#[derive(Debug, Subcommand)]
pub enum Verb {
    Start(start::Arguments),
    Stop(stop::Arguments),
    /// List running workers
    #[command(visible_alias = "status")]
    List(list::Arguments),
    Unit(unit::Arguments),
}

impl Verb {
    /// Whether this process is to be a worker.
    pub fn works_here(&self) -> bool {
        matches!(self, Verb::Start(arguments) if arguments.works_here())
    }
}

pub async fn run(place: &Place, verb: Verb, umask: u32) -> Outcome {
    match verb {
        Verb::Start(arguments) => start::run(place, arguments, umask).await,
        Verb::Stop(arguments) => stop::run(place, &arguments).await,
        Verb::List(arguments) => list::run(place, &arguments).await,
        Verb::Unit(arguments) => unit::run(place, &arguments),
    }
}

/// A worker of this process, with one slot, for every queue.
pub fn options(umask: u32) -> Result<WorkerOptions, Failure> {
    Ok(WorkerOptions {
        slots: 1,
        queues: Vec::new(),
        only: None,
        drain: false,
        environment: environment(),
        home: home(),
        program: this_program()?,
        umask,
        on_crash: OnCrash::Adopt,
        host: host(),
        version: queuectl::VERSION.to_owned(),
    })
}

/// This binary, even if it was replaced since it was started.
pub fn this_program() -> Result<PathBuf, Failure> {
    let link = PathBuf::from("/proc/self/exe");
    std::fs::read_link(&link)
        .map(|path| if path.exists() { path } else { link })
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot find this program: {error}")))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
