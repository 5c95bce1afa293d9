//! The database's file: made with its final mode, looked at, refused where it cannot work.
//!
//! An existing one is never opened outside SQLite: closing it would drop this process's locks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use queuectl_core::limits::DATABASE_PATH_BYTES_MAX;
use queuectl_core::store::{StoreError, StoreResult};

use crate::keep::with_suffix;

/// File systems of other machines, by their magic numbers.
const NETWORK: &[(i64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x786f_4256, "a VirtualBox share"),
];

/// Where the file really is: the run directory lies beside it, by whatever link it was reached.
pub fn real_path(path: &Path) -> StoreResult<PathBuf> {
    let real = fs::canonicalize(path)
        .map_err(|e| StoreError::unavailable(format!("cannot look at {}", path.display()), e))?;
    let bytes = real.as_os_str().len();
    if bytes > DATABASE_PATH_BYTES_MAX {
        return Err(StoreError::Unavailable {
            what: format!(
                "the path of the database has {bytes} bytes, and SQLite takes {DATABASE_PATH_BYTES_MAX}; \
                 name a shorter one with --db"
            ),
            source: None,
        });
    }
    Ok(real)
}

/// True if there is a file with something in it.
pub fn exists(path: &Path) -> StoreResult<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(StoreError::Unavailable {
            what: format!("{} is a directory, not a database file", path.display()),
            source: None,
        }),
        // SQLite would write its journal beside a device.
        Ok(found) if !found.is_file() => Err(StoreError::Unavailable {
            what: format!("{} is a device, a pipe or a socket, not a database file", path.display()),
            source: None,
        }),
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::unavailable(format!("cannot look at {}", path.display()), error)),
    }
}

/// Makes the file with its final mode if there is none, and the directories above it.
pub fn make_file(path: &Path) -> StoreResult<()> {
    if matches!(exists(path), Ok(true)) {
        return Ok(());
    }
    let bytes = path.as_os_str().len();
    if bytes > DATABASE_PATH_BYTES_MAX && !path.exists() {
        return Err(StoreError::Unavailable {
            what: format!(
                "the path of the database has {bytes} bytes, and SQLite takes {DATABASE_PATH_BYTES_MAX}; \
                 name a shorter one with --db"
            ),
            source: None,
        });
    }
    // A link whose target is not there yet is followed, as writing to it would.
    if let (Ok(target), false) = (fs::read_link(path), path.exists()) {
        return make_file(&path.parent().unwrap_or(Path::new("/")).join(target));
    }
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|above| !above.exists()).collect();
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|e| StoreError::unavailable(format!("cannot create {}", parent.display()), e))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            // SQLite syncs what it writes; that the file is there at all is up to its directories.
            for made in missing.into_iter().chain([path]) {
                sync_directory_of(made)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => exists(path).map(drop),
        Err(error) => Err(StoreError::unavailable(
            format!("cannot create {}; choose a directory that is yours with --db", path.display()),
            error,
        )),
    }
}

/// Makes durable that a file is there, or no more.
pub fn sync_directory_of(path: &Path) -> StoreResult<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| StoreError::unavailable(format!("cannot sync {}", directory.display()), e))
}

/// Refuses a path whose nearest existing part is on another machine: locks and the shared memory of the write-ahead
/// log do not work there.
pub fn refuse_network(path: &Path) -> StoreResult<()> {
    let Some(found) = path.ancestors().find_map(|part| rustix::fs::statfs(part).ok()) else { return Ok(()) };
    match network_name(found.f_type & 0xffff_ffff) {
        None => Ok(()),
        Some(name) => Err(StoreError::Unavailable {
            what: format!(
                "{} is on {name}, a network file system, where SQLite cannot keep its promises; \
                 put the database on a local disk",
                path.display()
            ),
            source: None,
        }),
    }
}

fn network_name(magic: i64) -> Option<&'static str> {
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

/// True for a database in a place where nothing can be written, with nothing left in its log: no process can change it
/// from here. Refuses one whose log nobody can read there.
pub fn is_at_rest_and_read_only(path: &Path) -> StoreResult<bool> {
    let Some(directory) = path.parent() else { return Ok(false) };
    if rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok() {
        return Ok(false);
    }
    let beside = |suffix| fs::metadata(with_suffix(path, suffix)).map(|found| found.len());
    let (log, index) = (beside("-wal"), beside("-shm"));
    match (log, index) {
        // Another process has it open, and shares its index of the log.
        (Ok(_), Ok(_)) => Ok(false),
        (Ok(1..), Err(_)) => Err(StoreError::Unavailable {
            what: format!(
                "{} is in a place that cannot be written, and its log beside it has to be read in first; copy both files, \
                 {} and its -wal, to a directory that is yours, and name the copy with --db",
                path.display(),
                path.file_name().unwrap_or_default().display()
            ),
            source: None,
        }),
        _ => Ok(true),
    }
}

/// Refuses an empty file with a log that is not: something has cut it off, and opening it would discard the log too.
pub fn refuse_truncated(path: &Path) -> StoreResult<()> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if length(path) > 0 {
        return Ok(());
    }
    let Ok(path) = fs::canonicalize(path) else { return Ok(()) };
    if path.is_file() && length(&path) == 0 && length(&with_suffix(&path, "-wal")) > 0 {
        return Err(StoreError::Damaged {
            what: format!(
                "{} is empty, and its log is not: something has cut the file off; move both aside, and put a backup in \
                 their place with `queuectl restore`",
                path.display()
            ),
        });
    }
    Ok(())
}

/// Refuses to write to a file that has a second name: whoever opened it by that one would have a log of his own, and the
/// two would damage the file.
pub fn refuse_second_name(path: &Path) -> StoreResult<()> {
    match fs::metadata(path) {
        Ok(found) if found.nlink() > 1 => Err(StoreError::Unavailable {
            what: format!(
                "{} has {} names (hard links), and a database that is opened by two of them is damaged; remove the \
                 others, or make a copy with `queuectl backup`",
                path.display(),
                found.nlink()
            ),
            source: None,
        }),
        _ => Ok(()),
    }
}

/// The file's identity, as the database records it: device and inode.
pub fn identity(path: &Path) -> StoreResult<(i64, i64)> {
    let found = fs::metadata(path)
        .map_err(|e| StoreError::unavailable(format!("cannot look at {}", path.display()), e))?;
    Ok((found.dev() as i64, found.ino() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert_eq!(network_name(0x0102_1994), None, "tmpfs");
    }
}
