//! What the same steps make of a store where nothing fails: the measure of one where something did.

use crate::play::Play;
use crate::script::Step;
use crate::snapshot::Snapshot;
use crate::vfs::Session;

/// A step that took effect.
#[derive(Debug, Clone)]
pub enum Taken {
    Acknowledged(Step),
    /// Whoever asked for it was told of a failure: nothing that it answers is known to anybody.
    Unheard(Step),
}

/// A store of its own after these steps, without what tells it from another.
pub fn after(steps: &[Taken]) -> Result<Snapshot, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = dir.path().canonicalize().map_err(|error| error.to_string())?;
    let mut play = Play::new(&place, Session::begin(&place, None)).map_err(|error| error.to_string())?;
    for taken in steps {
        let (step, answer) = match taken {
            Taken::Acknowledged(step) => (step, play.perform(step).answer.map(drop)),
            Taken::Unheard(step) => (step, play.perform_unheard(step)),
        };
        answer.map_err(|why| format!("{step:?} fails where nothing does: {why}"))?;
    }
    let snapshot = play.snapshot().map_err(|error| error.to_string())?.of_any_store();
    play.perform(&Step::Close).answer?;
    Ok(snapshot)
}
