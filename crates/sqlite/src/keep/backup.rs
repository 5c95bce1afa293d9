//! Backups of a database that may be in use.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use queuectl_core::store::{StoreError, StoreResult};

use super::examine::named_outputs;
use super::files::{copy_file, failed, or_full, refused, sync_dir};
use super::{NAME, Progress};
use crate::batches::IS_THERE;
use crate::copy::{close, copy};
use crate::failure::Failure;
use crate::file::make_file;
use crate::open::{beside, connect};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    pub jobs: u64,
    /// Of the database, in bytes.
    pub bytes: u64,
    pub outputs: u64,
    /// Output files that the database names and that were not there.
    pub missing: Vec<String>,
}

/// Copies a database that may be in use, and the outputs that it names, into a directory that must be new or empty.
/// It has its name only once it is whole and on disk.
///
/// What is copied belongs to nobody: whoever opens it for writing gives its claims back and makes it a store of its own.
pub fn backup(from: &Path, to: &Path, watch: &mut dyn FnMut(Progress)) -> StoreResult<BackupReport> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Unavailable {
            what: format!("{} is not empty; name a new directory for each backup", to.display()),
            source: None,
        });
    }
    let to = std::path::absolute(to).map_err(failed("use", to))?;
    if fs::metadata(&to).is_ok_and(|found| !found.is_dir()) {
        return Err(refused(format!("{} is there and is no directory; name a new one", to.display())));
    }
    let to = real(&to);
    if ["out", "run"].iter().any(|what| to.starts_with(beside(&real(from), what))) {
        let what = "lies inside of the store that it is to be a copy of; name a directory elsewhere";
        return Err(refused(format!("{} {what}", to.display())));
    }
    let above = to.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().mode(0o700).recursive(true).create(above).map_err(failed("create", above))?;
    // Nobody else's, and gone again unless it gets its name. Only the death of this process leaves it behind.
    let partial = tempfile::Builder::new()
        .prefix(".queuectl-backup-")
        .tempdir_in(above)
        .map_err(failed("make a directory in", above))?;
    let report = make(from, partial.path(), watch).map_err(|error| or_full(error, above))?;
    fs::rename(partial.path(), &to).map_err(failed("create", &to))?;
    // It has gone to its place.
    let _ = partial.keep();
    sync_dir(above)?;
    Ok(report)
}

/// A path by no link, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let above = path.parent().and_then(|above| fs::canonicalize(above).ok());
    fs::canonicalize(path).ok().or(above.map(|above| above.join(name))).unwrap_or_else(|| path.to_owned())
}

fn make(from: &Path, dir: &Path, watch: &mut dyn FnMut(Progress)) -> StoreResult<BackupReport> {
    let database = dir.join(NAME);
    make_file(&database)?;
    copy(from, &database, &mut |done, total| watch(Progress::Pages { done, total }))
        .map_err(|failure| failure.0)?;
    let (jobs, files) = blank(&database).map_err(|failure| failure.0)?;
    let (out_from, out_to) = (beside(from, "out"), beside(&database, "out"));
    DirBuilder::new().mode(0o700).create(&out_to).map_err(failed("create", &out_to))?;
    let (mut outputs, mut missing) = (0, Vec::new());
    let total = files.len() as u64;
    for (at, name) in files.into_iter().enumerate() {
        if copy_file(&out_from.join(&name), &out_to.join(&name))? {
            outputs += 1;
        } else {
            missing.push(name);
        }
        watch(Progress::Outputs { done: at as u64 + 1, total });
    }
    let file = File::open(&database).map_err(failed("open", &database))?;
    file.sync_all().map_err(failed("sync", &database))?;
    sync_dir(&out_to)?;
    sync_dir(dir)?;
    let bytes = file.metadata().map_err(failed("look at", &database))?.len();
    Ok(BackupReport { jobs, bytes, outputs, missing })
}

/// Makes a copy nobody's. Returns how many jobs it has and which output files it names.
pub fn blank(database: &Path) -> Result<(u64, Vec<String>), Failure> {
    let connection = connect(database)?;
    connection.execute_batch(
        "UPDATE meta SET incarnation = 0, device = 0, inode = 0, born = 0; DELETE FROM worker",
    )?;
    // What is staged in a batch that was never opened is no job yet.
    let counted = format!("SELECT count(*) FROM job WHERE {IS_THERE}");
    let jobs: i64 = connection.query_row(&counted, [], |row| row.get(0))?;
    let files = named_outputs(&connection)?;
    close(connection)?;
    Ok((jobs as u64, files))
}
