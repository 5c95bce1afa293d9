//! `floors`: what the machine can do at most, for itself. Nothing of ours takes part.

use std::path::{Path, PathBuf};

use crate::floors::{COUNT_AT_ONCE, seconds};
use crate::meter::metered;
use crate::plan::{Contender, Plan, Role, Sample};
use crate::product::Queue;
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const SYNCED: &str = "synced in full";

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let mut plan = Plan::new(
        "floors",
        "a synced append, and raw SQLite on our schema: inserts, claims and completions, so many a transaction",
        &[(RATE, "a second")],
    );
    let times = stand.scale.pick(10, 500, 2_000);
    plan.contender(Contender::new(
        Role::Floor,
        "append + fdatasync",
        SYNCED,
        "4 KiB at the end of a file",
        move |dir| {
            let file = text(&dir.join("file"))?;
            let (seconds, usage) = metered(|| seconds(stand, &["append", &file, &times.to_string()]))?;
            Ok(Sample::of(RATE, times as f64 / seconds).with_usage(times, usage))
        },
    ));
    for (insert, complete, batch, rows) in [
        ("insert, 1", "claim+complete, 1", 1, stand.scale.pick(10, 500, 5_000)),
        ("insert, 100", "claim+complete, 100", 100, stand.scale.pick(200, 10_000, 100_000)),
        ("insert, 1,000", "claim+complete, 1,000", 1_000, stand.scale.pick(1_000, 20_000, 200_000)),
    ] {
        plan.contender(Contender::new(
            Role::Floor,
            insert,
            SYNCED,
            "prepared, our schema with its indexes, counted once a transaction",
            move |dir| {
                let (from, into) = (filled(stand, dir, "from", rows)?, empty(stand, dir, "into")?);
                let arguments = ["insert", &text(&from)?, &text(&into)?, &batch.to_string(), COUNT_AT_ONCE];
                let (seconds, usage) = metered(|| seconds(stand, &arguments))?;
                Ok(Sample::of(RATE, rows as f64 / seconds).with_usage(rows, usage))
            },
        ));
        plan.contender(Contender::new(
            Role::Floor,
            complete,
            SYNCED,
            "as above, with an attempt's row each; one transaction settles and claims",
            move |dir| {
                let store = filled(stand, dir, "store", rows)?;
                let arguments = ["complete", &text(&store)?, &batch.to_string(), COUNT_AT_ONCE];
                let (seconds, usage) = metered(|| seconds(stand, &arguments))?;
                Ok(Sample::of(RATE, rows as f64 / seconds).with_usage(rows, usage))
            },
        ));
    }
    Ok(plan)
}

fn empty(stand: &Stand, dir: &Path, name: &str) -> Result<PathBuf, Fault> {
    let dir = dir.join(name);
    std::fs::create_dir(&dir)?;
    Ok(Queue::new(stand, &dir)?.database)
}

fn filled(stand: &Stand, dir: &Path, name: &str, rows: usize) -> Result<PathBuf, Fault> {
    let dir = dir.join(name);
    std::fs::create_dir(&dir)?;
    let queue = Queue::new(stand, &dir)?;
    queue.enqueue((0..rows).map(|n| format!(r#"{{"id":"job-{n}","command":"echo {n}"}}"#)))?;
    Ok(queue.database)
}

/// A path as an argument.
pub fn text(path: &Path) -> Result<String, Fault> {
    path.to_str().map(str::to_owned).ok_or_else(|| "the temporary directory's name is not UTF-8".into())
}
