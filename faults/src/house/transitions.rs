//! Every change of a job's state, written down by a trigger of the house's own, against the state machine.

use std::path::Path;
use std::time::Duration;

use queuectl_core::state::{State, TRANSITIONS};

use crate::snapshot::witness;

/// Also a claim that takes the place of another one, which a processing job cannot have.
const WATCH: &str =
    "CREATE TABLE house_transition (id TEXT NOT NULL, was TEXT NOT NULL, becomes TEXT NOT NULL) STRICT;
    CREATE TRIGGER house_watch AFTER UPDATE OF state, claim ON job
      WHEN (old.state, old.claim) IS NOT (new.state, new.claim)
    BEGIN
      INSERT INTO house_transition VALUES (new.id, old.state, new.state);
    END;";
const PATIENCE: Duration = Duration::from_secs(10);

/// From now on each transition is written down, in the transaction that makes it.
pub fn watch(database: &Path) -> Result<(), String> {
    let install = || {
        let connection = witness(database)?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {WATCH} COMMIT"))
    };
    install().map_err(|e| format!("cannot watch the states: {e}"))
}

/// Each was one that the state machine allows, and what had ended was brought back as often as a person asked.
pub fn check(database: &Path, revivals: impl Fn(&str) -> u32) -> Result<(), String> {
    let seen = read(database).map_err(|e| e.to_string())?;
    if seen.is_empty() {
        return Err("no change of a state was written down".to_owned());
    }
    seen.iter().try_for_each(|(id, was, becomes, times)| {
        judge(was, becomes, *times, revivals(id)).map_err(|why| format!("{id}: {why}"))
    })
}

fn read(database: &Path) -> rusqlite::Result<Vec<(String, String, String, u32)>> {
    let connection = witness(database)?;
    let mut statement = connection
        .prepare("SELECT id, was, becomes, count(*) FROM house_transition GROUP BY id, was, becomes")?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], row)?.collect()
}

fn judge(was: &str, becomes: &str, times: u32, revivals: u32) -> Result<(), String> {
    let allowed =
        |from: State, to: State| TRANSITIONS.iter().any(|(was, _, becomes)| (*was, *becomes) == (from, to));
    match (State::parse(was), State::parse(becomes)) {
        (Some(from), Some(to)) if !allowed(from, to) => Err(format!("it was {from} and became {to}")),
        (Some(from), Some(_)) if from.is_terminal() && times > revivals => {
            Err(format!("it was {from} and came back {times} times, asked {revivals} times"))
        }
        (Some(_), Some(_)) => Ok(()),
        _ => Err(format!("it was {was} and became {becomes}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_state_machine_allows_passes_and_only_a_person_brings_back() {
        assert_eq!(judge("pending", "processing", 7, 0), Ok(()));
        assert_eq!(judge("dead", "pending", 1, 1), Ok(()));
        for (was, becomes) in
            [("pending", "completed"), ("processing", "processing"), ("completed", "processing")]
        {
            assert!(judge(was, becomes, 1, 1).is_err(), "{was} {becomes}");
        }
        assert!(judge("completed", "pending", 1, 0).is_err());
        assert!(judge("dead", "pending", 2, 1).is_err());
    }
}
