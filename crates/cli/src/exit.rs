//! Exit codes and errors, as people and scripts get them. The codes never change their meaning.

use std::error::Error as _;
use std::fmt::Write as _;
use std::process::ExitCode;

use queuectl::core::settings::{SettingError, key_names};
use queuectl::core::store::StoreError;
use queuectl::{EnqueueError, Error, RequestError, SelectorError};

use queuectl::core::spelling::nearest;

use crate::{color, terminal};

/// What a verb came to.
pub type Outcome = Result<Exit, Failure>;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The answer is no.
    No,
    /// Usage, invalid JSON, unknown state or key.
    Usage,
    /// A named id or selector matched nothing.
    NotFound,
    /// Refused by state: a duplicate id, running, already ended.
    Refused,
    /// A store, file or disk could not be used.
    Unavailable,
    /// Our bug.
    Internal,
    /// A wait timed out.
    TimedOut,
    /// `run`: queuectl itself failed.
    RunFailed,
    Interrupted,
    /// `run` passes the job's own code through.
    Job(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Refused => 4,
            Exit::Unavailable => 5,
            Exit::Internal => 70,
            Exit::TimedOut => 124,
            Exit::RunFailed => 125,
            Exit::Interrupted => 130,
            Exit::Job(code) => code,
        }
    }

    /// What to do about an error of this kind that names nothing better.
    fn way_out(self) -> Option<&'static str> {
        match self {
            Exit::Usage => Some("`queuectl help` lists the commands; each takes --help and shows examples"),
            Exit::NotFound => Some("`queuectl list` shows the jobs there are"),
            Exit::Refused => Some("`queuectl show ID` tells the state of a job"),
            Exit::Unavailable | Exit::RunFailed => {
                Some("check the path, its permissions and the free space, then try again")
            }
            Exit::Internal => Some("this is a fault of queuectl itself; please report it"),
            Exit::TimedOut => Some("give it more time, or look with `queuectl status`"),
            Exit::Done | Exit::No | Exit::Interrupted | Exit::Job(_) => None,
        }
    }
}

/// Why a verb did not do what it was asked to: what happened, why, and what to do.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
    /// Standard output was closed: no error, and nobody to tell.
    quiet: bool,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None, quiet: false }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The reader of our standard output has gone: the verb ends quietly.
    pub fn closed_stdout() -> Failure {
        Failure { exit: Exit::Done, message: String::new(), hint: None, quiet: true }
    }

    /// Prints it and gives the code to exit with.
    pub fn report(self) -> ExitCode {
        if !self.quiet {
            let hint = self.hint.or_else(|| self.exit.way_out().map(str::to_owned));
            let hint = hint.map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
            terminal::complain(&format!("{} {}{hint}", mark(), terminal::clean_lines(&self.message)));
        }
        self.exit.into()
    }
}

/// An error with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // SQLite repeats its own words behind a number.
        let said = more.rsplit(": ").next().unwrap_or(&more);
        if !text.contains(said) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let hint = match &error {
            StoreError::Damaged { .. } => Some(
                "nothing was changed; keep the file, and go back to a backup of it with `queuectl restore`, or save what \
                     is whole with `queuectl doctor --salvage NEW`",
            ),
            StoreError::Closed { .. } => Some(
                "see what became of the disk and the file; look whether the change is there before it is made again",
            ),
            StoreError::InUse { .. } => Some(
                "wait until they have ended, or stop the workers first: `queuectl worker stop [--force]`",
            ),
            StoreError::Incompatible { .. } => Some("use the newest queuectl that works with this store"),
            _ => None,
        };
        let text = match error.source() {
            // SQLite's own words help only where ours do not say it already.
            Some(cause) if !cause.to_string().contains("not a database") => chain(&error),
            _ => error.to_string(),
        };
        let in_use = matches!(error, StoreError::InUse { .. });
        let failure = Failure::new(if in_use { Exit::Refused } else { Exit::Unavailable }, text);
        hint.into_iter().fold(failure, Failure::hint)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Store(error) => error.into(),
            Error::Keeper { .. } => Failure::new(Exit::Unavailable, chain(&error)).hint(
                "its jobs are given back; start the worker again, and look at the free memory and disk",
            ),
            error => Failure::new(Exit::Unavailable, chain(&error)),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        Failure::usage(chain(&error)).hint("nothing was enqueued; `queuectl enqueue --help` shows examples")
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Failure {
        let hint = match &error {
            SettingError::UnknownKey { given } => nearest(given, key_names()).map_or_else(
                || "`queuectl config list` shows the keys with their values".to_owned(),
                |key| format!("did you mean `{key}`?"),
            ),
            SettingError::BadValue { key, .. } => {
                format!("nothing was changed; `queuectl config get {key}` shows the value in force")
            }
        };
        Failure::usage(error.to_string()).hint(hint)
    }
}

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Failure {
        match error {
            EnqueueError::Request(error) => error.into(),
            EnqueueError::Store(error) => error.into(),
            EnqueueError::Duplicate(_) => Failure::new(Exit::Refused, error.to_string())
                .hint("nothing was enqueued; give another id, or leave it out and one is made"),
        }
    }
}

impl From<SelectorError> for Failure {
    fn from(error: SelectorError) -> Failure {
        match error {
            SelectorError::Store(error) => error.into(),
            SelectorError::BadLast(_) => Failure::usage(error.to_string()),
            SelectorError::Nothing(_) | SelectorError::Empty | SelectorError::NoMatch => {
                Failure::new(Exit::NotFound, error.to_string())
                    .hint("`queuectl list` shows the jobs there are")
            }
            SelectorError::Ambiguous { .. } => {
                Failure::new(Exit::NotFound, error.to_string()).hint("give more of the id")
            }
        }
    }
}

/// How every error begins.
fn mark() -> String {
    color::paint(color::ERROR, "Error:", color::on_stderr())
}

/// A mistake in the command line, or a request for help.
pub fn refuse_usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed stdout is no error.
            let _ = error.print();
            Exit::Done.into()
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            terminal::complain(&format!("{} a command is missing\n\n{}", mark(), rendered(error)));
            Exit::Usage.into()
        }
        _ => {
            let text = rendered(error).replacen("error:", "Error:", 1);
            terminal::complain(text.trim_end());
            Exit::Usage.into()
        }
    }
}

/// The parser's words, with its colours if standard error shows colours.
fn rendered(error: &clap::Error) -> String {
    let styled = error.render();
    if color::on_stderr() { styled.ansi().to_string() } else { styled.to_string() }
}
