//! `completions`: prints the script with which a shell asks this program what could come next, and answers it.
//!
//! The script holds no words of the grammar: at each key press the shell runs `queuectl` with a variable set, and
//! [`answer`] replies. So ids, queues and verbs are always those of this version and this store.

use clap::{Args, CommandFactory};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use crate::cli::Cli;
use crate::exit::{Exit, Failure, Outcome};
use crate::hints;
use crate::place::current_dir;
use crate::terminal::print_bytes;

/// Names the shell that asks. Like all of our variables it never reaches a job.
const VARIABLE: &str = "QUEUECTL_COMPLETE";
const PROGRAM: &str = "queuectl";

/// Print a completion script: verbs, options, states, queues, keys, ids
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(queuectl completions bash)                            # in ~/.bashrc
  source <(queuectl completions zsh)                             # in ~/.zshrc, after compinit
  queuectl completions fish > ~/.config/fish/completions/queuectl.fish
  eval (queuectl completions elvish | slurp)                     # in rc.elv
  queuectl completions powershell | Out-String | Invoke-Expression")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let unknown = || Failure::new(Exit::Internal, format!("no script for {}", arguments.shell));
    let shells = Shells::builtins();
    let shell = shells.completer(&arguments.shell.to_string()).ok_or_else(unknown)?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write the script: {error}")))?;
    print_bytes(&script)?;
    Ok(Exit::Done)
}

/// Answers a shell that asks for completions; false if none does. Whatever goes wrong, it says nothing: a message
/// would land in the middle of the line that someone is typing.
pub fn answer() -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let grammar = || hints::attach(Cli::command(), &words);
    let completer = CompleteEnv::with_factory(grammar).var(VARIABLE).bin(PROGRAM).completer(PROGRAM);
    completer.try_complete(words.iter(), current_dir().as_deref()).unwrap_or(true)
}
