//! How an attempt ended, and what it used.

use std::time::Duration;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    TimedOut,
    /// Nothing ran, through the job's own fault (no such program, no such directory).
    CouldNotStart {
        message: String,
    },
    Interrupted(Interruption),
    /// Stopped because a person cancelled the job.
    Cancelled,
}

/// Why an attempt was broken off although nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interruption {
    /// Whoever ran it died. The only one that counts towards the crash limit.
    Crash,
    /// The machine went down or its keeper was told to end.
    Shutdown,
    /// The worker was told to stop at once.
    Stop,
}

impl Outcome {
    /// The outcome's name in the store, the JSON and the docs.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Exited { .. } => "exited",
            Outcome::Signaled { .. } => "signaled",
            Outcome::TimedOut => "timed-out",
            Outcome::CouldNotStart { .. } => "could-not-start",
            Outcome::Interrupted(Interruption::Crash) => "interrupted",
            Outcome::Interrupted(Interruption::Shutdown) => "shutdown",
            Outcome::Interrupted(Interruption::Stop) => "stopped",
            Outcome::Cancelled => "cancelled",
        }
    }

    /// The number that goes with it: an exit code or a signal.
    pub fn number(&self) -> Option<i32> {
        match self {
            Outcome::Exited { code } => Some(*code),
            Outcome::Signaled { signal } => Some(*signal),
            _ => None,
        }
    }

    /// The text that goes with it.
    pub fn message(&self) -> Option<&str> {
        match self {
            Outcome::CouldNotStart { message } => Some(message),
            _ => None,
        }
    }

    /// The outcome with these parts, as a store reads it back; `None` for an unknown name.
    pub fn from_parts(name: &str, number: Option<i32>, message: Option<String>) -> Option<Outcome> {
        Some(match name {
            "exited" => Outcome::Exited { code: number? },
            "signaled" => Outcome::Signaled { signal: number? },
            "timed-out" => Outcome::TimedOut,
            "could-not-start" => Outcome::CouldNotStart { message: message.unwrap_or_default() },
            "interrupted" => Outcome::Interrupted(Interruption::Crash),
            "shutdown" => Outcome::Interrupted(Interruption::Shutdown),
            "stopped" => Outcome::Interrupted(Interruption::Stop),
            "cancelled" => Outcome::Cancelled,
            _ => return None,
        })
    }

    /// The code that a shell would report: the exit code, 128 + the signal, 124 timed out, 127 could not start.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Outcome::Exited { code } => Some(*code),
            Outcome::Signaled { signal } => Some(128 + signal),
            Outcome::TimedOut => Some(124),
            Outcome::CouldNotStart { .. } => Some(127),
            Outcome::Interrupted(_) | Outcome::Cancelled => None,
        }
    }

    /// What happened, in a few words for `last_error`.
    pub fn describe(&self) -> String {
        match self {
            Outcome::Exited { code } => format!("exit code {code}"),
            Outcome::Signaled { signal } => format!("killed by signal {signal}{}", signal_suffix(*signal)),
            Outcome::TimedOut => "timed out".to_owned(),
            Outcome::CouldNotStart { message } => format!("could not start: {message}"),
            Outcome::Interrupted(Interruption::Crash) => "interrupted: its worker died".to_owned(),
            Outcome::Interrupted(Interruption::Shutdown) => "interrupted by a shutdown".to_owned(),
            Outcome::Interrupted(Interruption::Stop) => "interrupted: its worker was stopped".to_owned(),
            Outcome::Cancelled => "cancelled".to_owned(),
        }
    }
}

fn signal_suffix(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        3 => " (QUIT)",
        4 => " (ILL)",
        6 => " (ABRT)",
        7 => " (BUS)",
        8 => " (FPE)",
        9 => " (KILL), by somebody or by the kernel for want of memory",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        _ => "",
    }
}

/// What an attempt used, as reaped for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_user: Duration,
    pub cpu_system: Duration,
    /// Of its largest process, in KiB.
    pub max_rss_kib: u64,
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What was kept of one stream of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// All that was printed, in bytes.
    pub bytes_total: u64,
    /// Of that, not kept; the gap lies at offset `head_len` of the body.
    pub bytes_dropped: u64,
    /// Length of the part of the body before the gap, in bytes.
    pub head_len: u64,
    /// SHA-256 over the body: all that was printed, or what was kept of it.
    pub sha256: [u8; 32],
    pub body: OutputBody,
}

/// Where kept output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputBody {
    Inline(Vec<u8>),
    /// A file of the store's output directory, synced before it is recorded.
    File {
        name: String,
        len: u64,
    },
}

impl Default for OutputBody {
    fn default() -> OutputBody {
        OutputBody::Inline(Vec::new())
    }
}
