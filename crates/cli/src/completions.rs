//! `completions`: what a shell needs to complete our words. The script asks this program for each of them.

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::print_bytes;

/// Names the variable by which the script asks.
pub const VARIABLE: &str = "QUEUECTL_COMPLETE";

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl completions bash > ~/.local/share/bash-completion/completions/queuectl\n  \
    queuectl completions zsh > ~/.zfunc/_queuectl\n  \
    queuectl completions fish > ~/.config/fish/completions/queuectl.fish"
)]
pub struct Arguments {
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let name = match arguments.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Elvish => "elvish",
        Shell::Powershell => "powershell",
    };
    let shells = Shells::builtins();
    let failed = |what: String| Failure::new(Exit::Internal, format!("no script for {name}: {what}"));
    let completer = shells.completer(name).ok_or_else(|| failed("it is not known".to_owned()))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "queuectl", "queuectl", "queuectl", &mut script)
        .map_err(|error| failed(error.to_string()))?;
    print_bytes(&script)?;
    Ok(Exit::Done)
}
