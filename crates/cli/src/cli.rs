//! The command line's grammar, and which verb goes where.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::{
    add, backup, cancel, clear, color, completions, config, delete, dlq, doctor, edit, enqueue, explain,
    first, init, list, logs, migrate, prune, queue, reset, restore, retry, run, show, stats, status, top,
    wait, worker,
};

/// A durable background-job queue: enqueue commands, run workers, retry failures, keep what fails for good.
#[derive(Debug, Parser)]
#[command(name = "queuectl", version, propagate_version = true)]
#[command(after_help = "Examples:
  queuectl enqueue '{\"id\":\"job1\",\"command\":\"sleep 2\"}'
  queuectl worker start --count 3
  queuectl status
  queuectl list --state failed
  queuectl dlq retry job1")]
pub struct Cli {
    /// The database file [default: $QUEUECTL_DB, else queuectl/queue.db in the XDG data directory]
    #[arg(long, global = true, value_name = "FILE")]
    db: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, hide_default_value = true)]
    color: color::Choice,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Enqueue(enqueue::Arguments),
    Add(add::Arguments),
    Run(run::Arguments),
    List(list::Arguments),
    Status(status::Arguments),
    Show(show::Arguments),
    Explain(explain::Arguments),
    Logs(logs::Arguments),
    Stats(stats::Arguments),
    Top(top::Arguments),
    Wait(wait::Arguments),
    Cancel(cancel::Arguments),
    Retry(retry::Arguments),
    Edit(edit::Arguments),
    Delete(delete::Arguments),
    Prune(prune::Arguments),
    Clear(clear::Arguments),
    Reset(reset::Arguments),
    /// Workers: start, stop, list
    #[command(
        subcommand,
        after_help = "Examples:\n  queuectl worker start --count 3\n  queuectl worker stop"
    )]
    Worker(worker::Verb),
    /// The dead letter queue: jobs whose attempts are used up
    #[command(subcommand, after_help = "Examples:\n  queuectl dlq list\n  queuectl dlq retry job1")]
    Dlq(dlq::Verb),
    /// Queues: list, pause, resume
    #[command(subcommand, after_help = "Examples:\n  queuectl queue list\n  queuectl queue pause mail")]
    Queue(queue::Verb),
    /// Settings that all workers share
    #[command(
        subcommand,
        after_help = "Examples:\n  queuectl config set max-retries 3\n  queuectl config list"
    )]
    Config(config::Verb),
    Init(init::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Doctor(doctor::Arguments),
    Migrate(migrate::Arguments),
    Completions(completions::Arguments),
}

/// What [`Cli`] is to a call of `enqueue`.
#[derive(Parser)]
struct CliOfEnqueue {
    #[arg(long, global = true)]
    db: Option<PathBuf>,
    #[arg(long, global = true, value_enum, default_value_t)]
    color: color::Choice,
    #[command(subcommand)]
    verb: VerbEnqueue,
}

#[derive(Subcommand)]
enum VerbEnqueue {
    Enqueue(Box<enqueue::Arguments>),
}

impl Cli {
    /// Reads the command line. Help and mistakes follow `--color` too.
    pub fn read(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
        let choice = color::read(&arguments);
        color::settle(choice);
        let arguments = normalise(arguments);
        if let Some(cli) = Cli::read_enqueue(&arguments) {
            color::settle(cli.color);
            return Ok(cli);
        }
        let mut command = Cli::command().color(choice.into());
        let matches = command.try_get_matches_from_mut(arguments)?;
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        color::settle(cli.color);
        Ok(cli)
    }

    /// Scripts call `enqueue` a thousand times, and to build the grammar of every verb takes as long as to enqueue a job: a
    /// call without a mistake needs that of this verb alone. The whole grammar reads all else, or says what is wrong.
    fn read_enqueue(arguments: &[OsString]) -> Option<Cli> {
        if !arguments.iter().any(|word| word == "enqueue") {
            return None;
        }
        let CliOfEnqueue { db, color, verb } = CliOfEnqueue::try_parse_from(arguments).ok()?;
        let VerbEnqueue::Enqueue(arguments) = verb;
        Some(Cli { db, color, verb: Some(Verb::Enqueue(*arguments)) })
    }

    /// Whether this process is to be a worker.
    pub fn works_here(&self) -> bool {
        matches!(&self.verb, Some(Verb::Worker(verb)) if verb.works_here())
    }

    /// Whether signals or sockets have to be heard. What only enqueues ends sooner without: it makes no descriptors for them.
    pub fn listens(&self) -> bool {
        !matches!(&self.verb, Some(Verb::Enqueue(arguments)) if !arguments.waits())
    }

    /// Runs the verb. `umask` is the one that the process was started with.
    pub async fn run(self, umask: u32) -> Outcome {
        let Some(verb) = self.verb else { return first::run(&Place::find(self.db)?).await };
        // Needs no store, nor a place for one.
        if let Verb::Completions(arguments) = &verb {
            return completions::run(arguments);
        }
        let place = Place::find(self.db)?;
        match verb {
            Verb::Enqueue(arguments) => enqueue::run(&place, arguments).await,
            Verb::Add(arguments) => add::run(&place, arguments).await,
            Verb::Run(arguments) => run::run(&place, arguments, umask).await,
            Verb::List(arguments) => list::run(&place, arguments).await,
            Verb::Status(arguments) => status::run(&place, arguments).await,
            Verb::Show(arguments) => show::run(&place, arguments).await,
            Verb::Explain(arguments) => explain::run(&place, arguments).await,
            Verb::Stats(arguments) => stats::run(&place, arguments).await,
            Verb::Top(arguments) => top::run(&place, arguments).await,
            Verb::Logs(arguments) => logs::run(&place, arguments).await,
            Verb::Cancel(arguments) => cancel::run(&place, arguments).await,
            Verb::Retry(arguments) => retry::run(&place, arguments).await,
            Verb::Wait(arguments) => wait::run(&place, arguments).await,
            Verb::Edit(arguments) => edit::run(&place, arguments).await,
            Verb::Delete(arguments) => delete::run(&place, arguments).await,
            Verb::Prune(arguments) => prune::run(&place, arguments).await,
            Verb::Clear(arguments) => clear::run(&place, arguments).await,
            Verb::Reset(arguments) => reset::run(&place, &arguments).await,
            Verb::Worker(verb) => worker::run(&place, verb, umask).await,
            Verb::Dlq(verb) => dlq::run(&place, verb).await,
            Verb::Queue(verb) => queue::run(&place, verb).await,
            Verb::Config(verb) => config::run(&place, verb).await,
            Verb::Backup(arguments) => backup::run(&place, arguments).await,
            Verb::Restore(arguments) => restore::run(&place, arguments).await,
            Verb::Doctor(arguments) => doctor::run(&place, &arguments).await,
            Verb::Migrate(arguments) => migrate::run(&place, &arguments).await,
            Verb::Init(arguments) => init::run(&place, arguments).await,
            Verb::Completions(arguments) => completions::run(&arguments),
        }
    }
}

/// Long flags may be spelled with underscores; what follows `--` is left alone.
pub fn normalise(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut ours = true;
    let normal = |argument: OsString| {
        ours &= argument != "--";
        let Some(flag) = argument.to_str().filter(|text| ours && text.starts_with("--")) else {
            return argument;
        };
        let name = flag.split('=').next().unwrap_or(flag);
        // A value that merely begins with dashes is no flag.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return argument;
        }
        format!("{}{}", name.replace('_', "-"), &flag[name.len()..]).into()
    };
    arguments.into_iter().map(normal).collect()
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn underscores_become_dashes_before_the_separator_only() {
        let words = ["queuectl", "--max_retries=3_4=_", "--run_at", "a_b", "--a_b c", "--", "--x_y"];
        let words = words.map(OsString::from);
        let expected = ["queuectl", "--max-retries=3_4=_", "--run-at", "a_b", "--a_b c", "--", "--x_y"];
        let expected = expected.map(OsString::from);
        assert_eq!(normalise(words.to_vec()), expected);
    }
}
