//! What a worker and its keeper say to each other: plain data, versioned, with no process code in it.
//!
//! Frames are a little-endian `u32` length and a postcard body (see `wire.rs`). Enums and structs only ever grow at
//! their end, and a keeper speaks its own version and the one before. The same [`ExitRecord`] goes over the wire and
//! into the spool. Instants are milliseconds of the boot-time clock, which does not jump and counts suspended time;
//! only the store knows the date.

use crate::texts::Texts;
use queuectl_core::claim::{ClaimToken, Incarnation};
use serde::{Deserialize, Serialize};

/// The version of this protocol. While there is only one, the proof tries upgrades with a made-up second.
pub const PROTOCOL_VERSION: u16 = if cfg!(queuectl_next) { 2 } else { 1 };
/// The oldest that is still spoken: the one before, as far as there is one.
pub const PROTOCOL_VERSION_MIN: u16 = 1;

/// What is spoken with somebody whose newest version is this: the older of both, if it is still known here.
pub fn agreed(theirs: u16) -> Option<u16> {
    Some(theirs.min(PROTOCOL_VERSION)).filter(|version| *version >= PROTOCOL_VERSION_MIN)
}

/// A claim as the wire spells it; displayed and marked in the environment as `<incarnation>.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClaimKey {
    pub incarnation: u64,
    pub number: u64,
}

/// From worker to keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first word on every connection, with the newest version that is known; answered with [`Event::Hello`]. Both
    /// go on with what is [`agreed`].
    Hello { version: u16 },
    /// Runs an attempt. Answered with `Started` or at once with `Exited(CouldNotStart)`.
    Start(Box<Start>),
    /// Ends an attempt: TERM to its tree, KILL after `grace_ms` (0: KILL at once). Unknown claims are ignored.
    Stop { claim: ClaimKey, reason: StopReason, grace_ms: u64 },
    /// The outcomes of these are durable in the store: the spool forgets them.
    Settled { claims: Vec<ClaimKey> },
    /// Sends what an attempt has printed so far and goes on with what it prints; ends with [`Event::Ended`].
    Follow { claim: ClaimKey, stdout_from: u64, stderr_from: u64 },
    /// The worker leaves in good order: the keeper exits once it has no children and nothing unsettled is running.
    Leave,
    /// The worker leaves its attempts to the next one, whatever becomes of them otherwise when it is gone.
    HandOver,
    /// Whoever asks wants to take the place of a worker that is gone. Answered with an [`Event::Exited`] for each outcome
    /// that is not settled and then [`Event::Adopted`], or, while the worker is there, with the connection's end. From
    /// then on his crash has the consequence that he names.
    Adopt { on_crash: OnCrash },
}

/// One attempt to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub claim: ClaimKey,
    /// The program and its arguments; a program without a slash is looked up in `PATH` of `env`.
    pub argv: Texts,
    /// The whole environment, as `NAME=value`. The keeper adds nothing but the mark `QUEUECTL_CLAIM` (replacing one that is there).
    #[serde(with = "crate::texts::variables")]
    pub env: Texts,
    #[serde(with = "serde_bytes")]
    pub dir: Vec<u8>,
    /// A file to read as standard input; `/dev/null` if none.
    #[serde(with = "serde_bytes")]
    pub stdin: Option<Vec<u8>>,
    pub timeout_ms: Option<u64>,
    /// Between TERM and KILL at the timeout.
    pub kill_grace_ms: u64,
    /// Kept of both streams together, in bytes.
    pub output_max: u64,
    pub leftovers: Leftovers,
}

/// What becomes of processes that outlive the attempt's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leftovers {
    Kill,
    Keep,
}

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// A person cancelled the job.
    Cancelled,
    /// The worker was told to stop at once.
    WorkerStopping,
}

/// From keeper to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Hello {
        version: u16,
        keeper: String,
        pid: u32,
    },
    Started {
        claim: ClaimKey,
        pid: u32,
        at_ms: u64,
    },
    Exited(Box<ExitRecord>),
    /// A piece of output for a follower; `from` is its offset in the whole stream.
    Chunk {
        claim: ClaimKey,
        stream: Stream,
        from: u64,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// These bytes of the stream are no longer there (they fell into the dropped middle).
    Gap {
        claim: ClaimKey,
        stream: Stream,
        from: u64,
        to: u64,
    },
    /// A follower has everything, or the keeper does not know the claim.
    Ended {
        claim: ClaimKey,
    },
    /// Whoever asked is now the worker. What is named nowhere, here or in the exits before, was never started.
    Adopted {
        running: Vec<ClaimKey>,
        /// Possibly started, and how they ended could not be recorded.
        lost: Vec<ClaimKey>,
    },
    /// Made up, for the proof: only who speaks version 2 can read it.
    #[cfg(queuectl_next)]
    Mood {
        word: String,
    },
}

/// What a keeper does with its attempts when its worker is gone without a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnCrash {
    /// They run on, and the next worker takes the keeper over.
    #[default]
    Adopt,
    /// Their trees are killed at once.
    Kill,
}

impl OnCrash {
    pub const ALL: [OnCrash; 2] = [OnCrash::Adopt, OnCrash::Kill];

    pub fn as_str(self) -> &'static str {
        match self {
            OnCrash::Adopt => "adopt",
            OnCrash::Kill => "kill",
        }
    }

    pub fn parse(name: &str) -> Option<OnCrash> {
        OnCrash::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Everything that is known of an attempt that has ended. Its spool format is frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    pub claim: ClaimKey,
    pub end: End,
    /// Boot-time clock; `None` if nothing was started.
    pub started_ms: Option<u64>,
    pub ended_ms: u64,
    pub usage: Usage,
    pub stdout: Captured,
    pub stderr: Captured,
    /// Processes that outlived the attempt and were killed.
    pub leftovers_killed: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    TimedOut,
    /// Nothing ran. `ours`: for lack of processes, descriptors or memory, not through the job's own fault.
    CouldNotStart {
        message: String,
        ours: bool,
    },
    Stopped {
        reason: StopReason,
    },
    Interrupted {
        cause: Interruption,
    },
}

/// Who broke an attempt off, when nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interruption {
    /// The machine is going down, or the keeper itself was told to end.
    Shutdown,
    /// The worker died, and its trees with it.
    WorkerLost,
    /// The keeper died (written by whoever recovers its spool).
    KeeperLost,
}

/// What the attempt used, as reaped: CPU time of its waited-for tree, memory of its largest process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_user_ms: u64,
    pub cpu_system_ms: u64,
    pub max_rss_kib: u64,
}

/// What was kept of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// All that was printed, in bytes.
    pub bytes_total: u64,
    /// Of that, not kept. The gap lies at offset `head_len` of the body.
    pub bytes_dropped: u64,
    /// Length of the part of the body before the gap; equals the body's length when nothing was dropped.
    pub head_len: u64,
    /// SHA-256 over the body: all that was printed, or what was kept of it.
    pub sha256: [u8; 32],
    pub body: Body,
}

/// Where the kept bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A file of the output directory. The reader syncs it before it records it.
    File {
        name: String,
        len: u64,
    },
}

impl Default for Body {
    fn default() -> Body {
        Body::Inline(Vec::new())
    }
}

impl From<ClaimToken> for ClaimKey {
    fn from(token: ClaimToken) -> ClaimKey {
        ClaimKey { incarnation: token.incarnation.0, number: token.number }
    }
}

impl From<ClaimKey> for ClaimToken {
    fn from(key: ClaimKey) -> ClaimToken {
        ClaimToken { incarnation: Incarnation(key.incarnation), number: key.number }
    }
}

impl std::fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        ClaimToken::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_speak_the_older_one_if_it_is_still_known() {
        assert_eq!(agreed(PROTOCOL_VERSION), Some(PROTOCOL_VERSION));
        assert_eq!(
            agreed(PROTOCOL_VERSION + 1),
            Some(PROTOCOL_VERSION),
            "the other one then knows ours, or not"
        );
        assert_eq!(agreed(PROTOCOL_VERSION_MIN), Some(PROTOCOL_VERSION_MIN));
        assert_eq!(agreed(PROTOCOL_VERSION_MIN - 1), None);
    }
}
