//! A recorded run: what reached the disk, and what the store had acknowledged by when.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::play::{Fact, Play};
use crate::script::Step;
use crate::snapshot::Snapshot;
use crate::vfs::{Entry, Session};

/// A step that was acknowledged.
pub struct Mark {
    pub what: String,
    /// How much was in the log then.
    pub position: usize,
    /// The database after it.
    pub after: Arc<Snapshot>,
    /// Of a step whose parts are independent: each part's row, and how much was in the log at its acknowledgement.
    pub parts: Vec<(String, usize)>,
    /// It wrote something that is to last.
    pub changed: bool,
}

pub struct Voyage {
    pub log: Vec<Entry>,
    pub marks: Vec<Mark>,
    /// Closed; its file is the one that the database knows as its own.
    pub database: PathBuf,
    pub session: Arc<Session>,
    _dir: TempDir,
}

impl Voyage {
    /// Plays a script where nothing fails. What goes wrong all the same is told.
    pub fn record(script: &[Step]) -> Result<Voyage, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let place = dir.path().canonicalize().map_err(|error| error.to_string())?;
        let session = Session::begin(&place, None);
        let mut play = Play::new(&place, session.clone()).map_err(|error| error.to_string())?;
        let mut marks: Vec<Mark> = Vec::new();
        let mut last = Arc::new(Snapshot::default());
        for (at, step) in script.iter().enumerate() {
            let played = play.perform(step);
            let position = session.position();
            let facts = played.answer.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
            let before = last.clone();
            // A look at a closed database would write its log anew.
            if play.is_open() {
                last = play.snapshot().map_err(|error| format!("step {at}, {step:?}: {error}"))?;
            }
            broken(&facts, &last).map_err(|fact| format!("step {at}, {step:?}: {fact:?} does not hold"))?;
            let changed = before != last;
            marks.push(Mark {
                what: format!("step {at}, {}", name(step)),
                position,
                after: last.clone(),
                parts: played.parts,
                changed,
            });
        }
        Ok(Voyage { log: session.log(), marks, database: play.database.clone(), session, _dir: dir })
    }
}

/// The first fact that does not hold.
pub fn broken<'a>(facts: &'a [Fact], snapshot: &Snapshot) -> Result<(), &'a Fact> {
    match facts.iter().find(|fact| !fact.holds(snapshot)) {
        None => Ok(()),
        Some(fact) => Err(fact),
    }
}

/// What a step is called.
pub fn name(step: &Step) -> String {
    let text = format!("{step:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}
