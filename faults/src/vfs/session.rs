//! What is watched: the files of one directory, and what is to happen to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How long files may stay open after their store was dropped.
const CLOSING_MAX: Duration = Duration::from_secs(60);

/// Which of a database's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Database,
    Wal,
    Journal,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Database, Kind::Wal, Kind::Journal];

    /// What its name ends with, after the database's.
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Database => "",
            Kind::Wal => "-wal",
            Kind::Journal => "-journal",
        }
    }
}

/// Something that happened to a file, and succeeded unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    Create(Kind),
    Write {
        kind: Kind,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        kind: Kind,
        size: u64,
    },
    /// `directory`: the entries of the directory with it.
    Sync {
        kind: Kind,
        directory: bool,
    },
    /// The disk could not; the kernel may have forgotten what it was to write.
    SyncFailed(Kind),
    Delete {
        kind: Kind,
        directory: bool,
    },
}

/// A storage call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Open,
    Delete,
    Access,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Lock,
    ShmMap,
    ShmLock,
}

/// Fails the `at`-th storage call, counted from 1, and if `persistent` all those after it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// Only calls of this kind count.
    pub of: Option<Call>,
    pub at: u64,
    pub persistent: bool,
    /// The disk is full: writes say so, and a persistent trap lets all other calls through.
    pub full: bool,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Entry>,
    trap: Option<Trap>,
    /// The call that the trap waited for was made.
    sprung: bool,
    calls: Vec<Call>,
    open: usize,
    failed: BTreeSet<Call>,
    /// Whoever wants to write next waits until this is false again.
    held_up: bool,
}

/// Watches the database in one directory from its begin until it is dropped.
#[derive(Debug)]
pub struct Session {
    dir: PathBuf,
    state: Mutex<State>,
    /// Files were closed, or writers may go on.
    changed: Condvar,
    /// A writer waits.
    waits: Notify,
}

static SESSIONS: Mutex<Vec<Weak<Session>>> = Mutex::new(Vec::new());

impl Session {
    /// Begins to watch files of `dir`, which must be its real path. Syncs of what is watched are written down and not done:
    /// nobody pulls the plug but we.
    pub fn begin(dir: &Path, trap: Option<Trap>) -> Arc<Session> {
        let state = Mutex::new(State { trap, ..State::default() });
        let session =
            Arc::new(Session { dir: dir.to_owned(), state, changed: Condvar::new(), waits: Notify::new() });
        let mut sessions = SESSIONS.lock().expect("no panic while it is held");
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(&session));
        session
    }

    /// The session that watches this file.
    pub(super) fn of(file: &Path) -> Option<Arc<Session>> {
        let sessions = SESSIONS.lock().expect("no panic while it is held");
        sessions.iter().filter_map(Weak::upgrade).find(|session| file.parent() == Some(&session.dir))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    /// How much has happened so far.
    pub fn position(&self) -> usize {
        self.state().log.len()
    }

    /// What has happened so far.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// Storage calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls.len() as u64
    }

    /// Those of one kind.
    pub fn calls_of(&self, kind: Call) -> u64 {
        self.state().calls.iter().filter(|call| **call == kind).count() as u64
    }

    /// The kinds of calls that were failed.
    pub fn failed(&self) -> BTreeSet<Call> {
        self.state().failed.clone()
    }

    /// Nothing fails from now on.
    pub fn heal(&self) {
        self.state().trap = None;
    }

    /// Waits until no file is open any more; false if that takes too long.
    pub fn wait_closed(&self) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), CLOSING_MAX, |state| state.open > 0);
        !waited.expect("no panic while it is held").1.timed_out()
    }

    pub(super) fn note(&self, entry: Entry) {
        self.state().log.push(entry);
    }

    pub(super) fn opened(&self) {
        self.state().open += 1;
    }

    pub(super) fn closed(&self) {
        self.state().open -= 1;
        self.changed.notify_all();
    }

    /// The next one who wants to write waits, until [`Session::release`].
    pub fn hold_up(&self) {
        self.state().held_up = true;
    }

    /// Resolves once somebody waits.
    pub async fn somebody_waits(&self) {
        self.waits.notified().await;
    }

    pub fn release(&self) {
        self.state().held_up = false;
        self.changed.notify_all();
    }

    /// Somebody is about to lock the log for writing.
    pub(super) fn before_writing(&self) {
        let state = self.state();
        if state.held_up {
            self.waits.notify_one();
            drop(self.changed.wait_while(state, |state| state.held_up));
        }
    }

    /// Counts a call; true if it must fail, and whether that is because the disk is full.
    pub(super) fn fails(&self, call: Call) -> Option<bool> {
        let mut state = self.state();
        state.calls.push(call);
        let trap = state.trap?;
        let counts = |one: &&Call| trap.of.is_none_or(|kind| kind == **one);
        let springs = counts(&&call) && state.calls.iter().filter(counts).count() as u64 == trap.at;
        state.sprung |= springs;
        let hit = if trap.persistent { state.sprung && (!trap.full || call == Call::Write) } else { springs };
        if !hit {
            return None;
        }
        state.failed.insert(call);
        Some(trap.full && call == Call::Write)
    }
}
