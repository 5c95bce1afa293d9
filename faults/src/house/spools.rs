//! The ends of runs that keepers have written into their spools: what is there stands, whoever dies then.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use queuectl_exec::protocol::{End, ExitRecord};
use queuectl_exec::spool::{SpoolRecord, decode};

/// Incarnation and number, as the store has them.
pub type Claim = (i64, i64);

/// The exit codes that are in the spools of this run directory now.
pub fn exits(run_dir: &Path) -> BTreeMap<Claim, i32> {
    let entries = fs::read_dir(run_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let spools = entries.filter(|path| path.extension().is_some_and(|extension| extension == "spool"));
    // One may go meanwhile, once all of it is settled.
    let records = spools.filter_map(|path| fs::read(path).ok()).flat_map(|bytes| decode(&bytes).records);
    let exits = records.filter_map(|record| match record {
        SpoolRecord::Exit(ExitRecord { claim, end: End::Exited { code }, .. }) => {
            Some(((claim.incarnation as i64, claim.number as i64), code))
        }
        _ => None,
    });
    exits.collect()
}
