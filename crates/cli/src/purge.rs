//! Deleting many jobs after a question: what `clear`, `dlq purge` and `reset` share.

use queuectl::core::query::Filter;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::progress::Progress;
use crate::render::counted;
use crate::terminal::{complain, confirm, print_line};

/// What to delete.
pub struct Purge {
    pub filter: Filter,
    /// So many, in words: "2 dead jobs".
    pub what: Box<dyn Fn(u64) -> String>,
    /// Without asking.
    pub yes: bool,
}

/// Asks, and deletes in small steps whatever is not running.
pub async fn purge(place: &Place, purge: Purge) -> Outcome {
    let Purge { filter, what, yes } = purge;
    let Some(reader) = place.open_existing().await? else {
        print_line("Deleted 0 jobs")?;
        return Ok(Exit::Done);
    };
    let meant = reader.count(&filter).await?;
    if meant > 0 && !yes && !confirm(&format!("Delete {} for good?", what(meant))) {
        return Err(Failure::new(Exit::No, "nothing was deleted").hint("--yes deletes without asking"));
    }
    let mut deleted = 0;
    if meant > 0 {
        let progress = Progress::new("Deleting jobs", Some(meant));
        deleted = place.open().await?.clear(filter, |step| progress.add(step)).await?;
    }
    if deleted < meant {
        let left = counted(meant - deleted, "job");
        complain(&format!(
            "Note: {left} marked as running stayed; `queuectl cancel --state processing` ends what runs"
        ));
    }
    print_line(&format!("Deleted {}", counted(deleted, "job")))?;
    Ok(Exit::Done)
}
