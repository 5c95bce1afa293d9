//! The state machine of a job: one table, one function.

use std::fmt;

use crate::time::Timestamp;

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Pending,
    Processing,
    Completed,
    Dead,
    Cancelled,
    /// Waits for other jobs. In the schema from the start; nothing makes one yet.
    Blocked,
}

/// What people see: [`State`], and `failed` for a pending job that waits for its backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shown {
    Pending,
    Processing,
    Completed,
    Failed,
    Dead,
    Cancelled,
    Blocked,
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A worker took it.
    Claim,
    /// Its claim went back before anything started.
    Release,
    /// Its attempt succeeded.
    Complete,
    /// Its attempt failed; another follows.
    Backoff,
    /// Its attempt ended, and no other follows.
    Bury,
    /// Its attempt was broken off through no fault of its own.
    Interrupt,
    /// A person cancelled it.
    Cancel,
    /// A person brought it back from a terminal state.
    Revive,
    /// A person ended its backoff.
    Hasten,
    /// What it waited for is done.
    Unblock,
}

/// An event that a state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {from} cannot {event}")]
pub struct IllegalTransition {
    pub from: State,
    pub event: Event,
}

/// Every allowed transition. The diagram in the docs is printed from this table.
pub const TRANSITIONS: &[(State, Event, State)] = &[
    (State::Pending, Event::Claim, State::Processing),
    (State::Pending, Event::Cancel, State::Cancelled),
    (State::Pending, Event::Hasten, State::Pending),
    (State::Processing, Event::Release, State::Pending),
    (State::Processing, Event::Complete, State::Completed),
    (State::Processing, Event::Backoff, State::Pending),
    (State::Processing, Event::Bury, State::Dead),
    (State::Processing, Event::Interrupt, State::Pending),
    (State::Processing, Event::Cancel, State::Cancelled),
    (State::Blocked, Event::Unblock, State::Pending),
    (State::Blocked, Event::Cancel, State::Cancelled),
    (State::Completed, Event::Revive, State::Pending),
    (State::Dead, Event::Revive, State::Pending),
    (State::Cancelled, Event::Revive, State::Pending),
];

/// The state that follows, if the event is allowed.
pub fn transition(from: State, event: Event) -> Result<State, IllegalTransition> {
    TRANSITIONS
        .iter()
        .find(|(state, what, _)| (*state, *what) == (from, event))
        .map(|(_, _, to)| *to)
        .ok_or(IllegalTransition { from, event })
}

impl State {
    pub const ALL: [State; 6] =
        [State::Pending, State::Processing, State::Completed, State::Dead, State::Cancelled, State::Blocked];

    /// Nothing happens to it any more unless a person asks.
    pub fn is_terminal(self) -> bool {
        matches!(self, State::Completed | State::Dead | State::Cancelled)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Processing => "processing",
            State::Completed => "completed",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
            State::Blocked => "blocked",
        }
    }

    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// What people see at `now`. `retrying`: its last attempt failed and it waits for the next.
    pub fn shown(self, retrying: bool, due_at: Timestamp, now: Timestamp) -> Shown {
        match self {
            State::Pending if retrying && due_at > now => Shown::Failed,
            State::Pending => Shown::Pending,
            State::Processing => Shown::Processing,
            State::Completed => Shown::Completed,
            State::Dead => Shown::Dead,
            State::Cancelled => Shown::Cancelled,
            State::Blocked => Shown::Blocked,
        }
    }
}

impl Shown {
    /// In the order of a job's life.
    pub const ALL: [Shown; 7] = [
        Shown::Pending,
        Shown::Processing,
        Shown::Completed,
        Shown::Failed,
        Shown::Dead,
        Shown::Cancelled,
        Shown::Blocked,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Shown::Failed => "failed",
            other => other.stored().as_str(),
        }
    }

    pub fn parse(name: &str) -> Option<Shown> {
        Shown::ALL.into_iter().find(|shown| shown.as_str() == name)
    }

    /// The stored state behind it.
    pub fn stored(self) -> State {
        match self {
            Shown::Pending | Shown::Failed => State::Pending,
            Shown::Processing => State::Processing,
            Shown::Completed => State::Completed,
            Shown::Dead => State::Dead,
            Shown::Cancelled => State::Cancelled,
            Shown::Blocked => State::Blocked,
        }
    }
}

/// The state machine as a table for the docs, printed from [`TRANSITIONS`].
pub fn diagram() -> String {
    let mut text = String::from("| from | event | to |\n| --- | --- | --- |\n");
    for (from, event, to) in TRANSITIONS {
        text.push_str(&format!("| `{from}` | {event} | `{to}` |\n"));
    }
    text
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::Claim => "claim",
            Event::Release => "release",
            Event::Complete => "complete",
            Event::Backoff => "back off",
            Event::Bury => "bury",
            Event::Interrupt => "interrupt",
            Event::Cancel => "cancel",
            Event::Revive => "revive",
            Event::Hasten => "hasten",
            Event::Unblock => "unblock",
        })
    }
}
