//! Colours: where a terminal shows them, unless `--color`, NO_COLOR or CLICOLOR_FORCE say otherwise. They never carry the
//! meaning, and JSON has none.

use std::ffi::OsString;
use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::place::variable;

/// What `--color` says; `auto` means on a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    // A doc comment here would stand in every verb's help, and make it long.
    #[default]
    Auto,
    Always,
    Never,
}

impl From<Choice> for clap::ColorChoice {
    fn from(choice: Choice) -> clap::ColorChoice {
        match choice {
            Choice::Auto => clap::ColorChoice::Auto,
            Choice::Always => clap::ColorChoice::Always,
            Choice::Never => clap::ColorChoice::Never,
        }
    }
}

/// What the words say, before anything is parsed: help and mistakes follow it too. A bad value is the parser's to refuse.
pub fn read(arguments: &[OsString]) -> Choice {
    let mut choice = Choice::Auto;
    let mut words =
        arguments.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = if word == "--color" { words.next() } else { word.strip_prefix("--color=") };
        match value {
            Some("auto") => choice = Choice::Auto,
            Some("always") => choice = Choice::Always,
            Some("never") => choice = Choice::Never,
            _ => {}
        }
    }
    choice
}

/// From now on all output follows this choice.
pub fn settle(choice: Choice) {
    let choice = match choice {
        // What calls itself dumb shows escapes as they are.
        Choice::Auto if variable("TERM").is_some_and(|term| term == "dumb") => ColorChoice::Never,
        Choice::Auto => ColorChoice::Auto,
        Choice::Always => ColorChoice::Always,
        Choice::Never => ColorChoice::Never,
    };
    choice.write_global();
}

pub fn on_stdout() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

pub fn on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// A text in a style, if colours are on.
pub fn paint(style: Style, text: &str, on: bool) -> String {
    if on && style != Style::new() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// How a state of a job, a queue or a worker looks.
pub fn of_state(state: &str) -> Style {
    match state {
        "completed" | "active" => AnsiColor::Green.on_default(),
        "dead" => AnsiColor::Red.on_default(),
        "failed" | "blocked" | "paused" | "stopping" => AnsiColor::Yellow.on_default(),
        "processing" => AnsiColor::Blue.on_default(),
        "cancelled" => AnsiColor::Magenta.on_default(),
        _ => Style::new(),
    }
}

/// How the mark of an error looks.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// How titles look.
pub const TITLE: Style = Style::new().bold();
/// How asides look.
pub const ASIDE: Style = Style::new().dimmed();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_before_or_after_the_verb_but_not_from_a_jobs_words() {
        let read = |words: &[&str]| read(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(read(&["queuectl", "list"]), Choice::Auto);
        assert_eq!(read(&["queuectl", "--color", "never", "list"]), Choice::Never);
        assert_eq!(read(&["queuectl", "list", "--color=always"]), Choice::Always);
        assert_eq!(read(&["queuectl", "run", "--", "ls", "--color=always"]), Choice::Auto);
    }

    #[test]
    fn a_text_is_painted_only_if_colours_are_on() {
        assert_eq!(paint(of_state("dead"), "dead", true), "\x1b[31mdead\x1b[0m");
        assert_eq!(paint(of_state("dead"), "dead", false), "dead");
        assert_eq!(paint(of_state("pending"), "pending", true), "pending");
    }
}
