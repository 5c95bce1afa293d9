//! Salvage: what is whole of a damaged database, in a new one. Blocking; call it off the runtime.
//!
//! The damaged file is copied first, with its log, and only the copy is opened: opening it would already write to it. The
//! jobs are read in the order of their keys; a page that cannot be read costs the rows on it and no others. What cannot be
//! reached so, since a page above it or the list of tables is damaged, is looked for page by page (`gather.rs`).
//!
//! A job is saved only if its digest says that it is what was enqueued. One whose environment is lost, or whose state may
//! be an old one, is saved as dead, with the reason: nothing runs it unless somebody decides so.

mod damaged;
mod gather;
mod leaves;
mod transfer;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};
use rusqlite::TransactionBehavior;

use crate::clock::Clock;
use crate::copy::close;
use crate::failure::Failure;
use crate::file::{identity, make_file, sync_directory_of, with_suffix};
use crate::keep::{copy_file, damage, failed, named_outputs, remove_database};
use crate::open::{beside, connect};
use crate::schema;
use damaged::{connect_damaged, copy_damaged};
use gather::gather;
use leaves::PAGE;
use transfer::Transfer;

/// What was saved, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    pub jobs: u64,
    /// Those of them that are dead now, for they cannot be run as they were enqueued, or may have run since.
    pub buried: u64,
    /// Jobs that were there and could not be saved; `None` if nobody can tell.
    pub lost: Option<u64>,
    /// Some of their ids.
    pub lost_ids: Vec<String>,
    /// Of saved jobs.
    pub attempts: u64,
    /// What else may not be all there, in words.
    pub gaps: BTreeSet<&'static str>,
    pub outputs: u64,
    /// Output files that are named and were not there.
    pub outputs_missing: u64,
}

/// Saves what is whole of a damaged database that nobody has open into a new file. The old one is not touched.
pub fn salvage(from: &Path, to: &Path) -> StoreResult<SalvageReport> {
    let from = fs::canonicalize(from).map_err(failed("look at", from))?;
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    for there in [to.clone(), beside(&to, "out"), with_suffix(&to, "-wal")] {
        if fs::symlink_metadata(&there).is_ok() {
            return Err(StoreError::Unavailable {
                what: format!("{} exists already; name a new file to salvage to", there.display()),
                source: None,
            });
        }
    }
    let partial = beside(&to, "partial");
    let between = Between { copied: beside(&to, "damaged"), gathered: beside(&to, "gathered") };
    remove_database(&partial);
    between.remove();
    let saved = salvage_between(&from, &between, &partial, &to);
    between.remove();
    if saved.is_err() {
        remove_database(&partial);
        let _ = fs::remove_dir_all(beside(&to, "out"));
    }
    saved
}

/// Databases on the way, beside the new one.
struct Between {
    copied: PathBuf,
    gathered: PathBuf,
}

impl Between {
    fn remove(&self) {
        remove_database(&self.copied);
        remove_database(&self.gathered);
    }
}

fn salvage_between(from: &Path, between: &Between, partial: &Path, to: &Path) -> StoreResult<SalvageReport> {
    make_file(partial)?;
    let fresh = connect(partial)?;
    schema::create(&fresh, partial).and_then(|()| close(fresh)).map_err(|failure| failure.0)?;
    copy_damaged(from, &between.copied, partial)?;
    let (report, outputs) = fill(between, partial).map_err(|failure| failure.0)?;
    let report = take_outputs(from, to, &outputs, report)?;
    fs::rename(partial, to).map_err(failed("create", to))?;
    sync_directory_of(to)?;
    Ok(report)
}

/// Puts what is whole into a new database. Also returns the output files that it names.
fn fill(between: &Between, new: &Path) -> Result<(SalvageReport, Vec<String>), Failure> {
    let (damaged, old) = (&between.copied, connect_damaged(&between.copied)?);
    let (connection, gathered);
    connection = connect(new)?;
    let transaction = rusqlite::Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
    let pages = fs::metadata(damaged).map_err(failed("look at", damaged))?.len() / PAGE as u64;
    let mut transfer = Transfer::new(&old, &transaction, pages);
    transfer.take_from_trees()?;
    if transfer.is_short() {
        make_file(&between.gathered)?;
        gathered = connect(&between.gathered)?;
        gather(damaged, &transaction, &gathered)?;
        transfer.take_gathered(&gathered)?;
    }
    let report = transfer.report();
    if report.jobs == 0 && report.lost != Some(0) {
        return Err(Failure(StoreError::Damaged {
            what: "no whole job is in it, neither in its tables nor on any page; nothing was saved"
                .to_owned(),
        }));
    }
    schema::begin_anew(&transaction, identity(new)?, Clock::system().now())?;
    let outputs = named_outputs(&transaction)?;
    transaction.commit()?;
    if let Some(first) = damage(&connection)?.first() {
        return Err(Failure(StoreError::Damaged {
            what: format!("what was salvaged is not sound: {first}"),
        }));
    }
    close(connection)?;
    Ok((report, outputs))
}

/// The output files, which lie beside the database and are whole or not there.
fn take_outputs(
    from: &Path,
    to: &Path,
    names: &[String],
    mut report: SalvageReport,
) -> StoreResult<SalvageReport> {
    if names.is_empty() {
        return Ok(report);
    }
    let (out_from, out_to) = (beside(from, "out"), beside(to, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    for name in names {
        let stays = !name.contains('/') && name != "..";
        if stays && copy_file(&out_from.join(name), &out_to.join(name))? {
            report.outputs += 1;
        } else {
            report.outputs_missing += 1;
        }
    }
    let synced = File::open(&out_to).and_then(|dir: File| -> io::Result<()> { dir.sync_all() });
    synced.map_err(failed("sync", &out_to))?;
    Ok(report)
}
