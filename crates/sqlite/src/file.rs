//! The database's file: made with its final mode, looked at, refused where it cannot work.
//!
//! An existing one is never opened outside SQLite: closing it would drop this process's locks.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use queuectl_core::limits::DATABASE_PATH_BYTES_MAX;
use queuectl_core::store::{StoreError, StoreResult};
use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, makedev, statx};

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
    (0x6573_5546, "FUSE"),
    (0x6a65_6a63, "virtiofs"),
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
        Ok(found) if found.len() > 0 => Ok(true),
        Ok(_) => refuse_lone_log(path).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refuse_lone_log(path).map(|()| false),
        Err(error) => Err(StoreError::unavailable(format!("cannot look at {}", path.display()), error)),
    }
}

/// Refuses a log without its database: what was acknowledged last may be in it alone, and a new database of that name
/// would overwrite it.
fn refuse_lone_log(path: &Path) -> StoreResult<()> {
    let path = target_of(path)?;
    let (log, index) = (with_suffix(&path, "-wal"), with_suffix(&path, "-shm"));
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if length(&log) == 0 && !index.exists() {
        return Ok(());
    }
    // The database last: who makes one makes the log after it.
    match fs::metadata(&path) {
        Ok(found) if found.len() > 0 => Ok(()),
        Ok(_) => Err(StoreError::Damaged {
            what: format!(
                "{} is empty, and its log is not: something has cut the file off; move all of {0}* aside, and put a \
                 backup in their place with `queuectl restore`",
                path.display()
            ),
        }),
        Err(_) => Err(StoreError::Unavailable {
            what: format!(
                "{} is missing, and its log is there ({0}-wal, {0}-shm), with the latest changes in it: the database was \
                 moved or deleted, perhaps while a worker has it open. Put it back; or, to begin anew, end that worker \
                 and move the log aside; or name another database with --db",
                path.display()
            ),
            source: None,
        }),
    }
}

/// Where a path leads, although nothing may be there yet: as writing to it would go.
fn target_of(path: &Path) -> StoreResult<PathBuf> {
    /// As many as the kernel follows.
    const LINKS_MAX: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Ok(real) = fs::canonicalize(&target) {
            return Ok(real);
        }
        let Ok(next) = fs::read_link(&target) else { return Ok(target) };
        target = target.parent().unwrap_or(Path::new("/")).join(next);
    }
    let looped = io::Error::from_raw_os_error(libc::ELOOP);
    Err(StoreError::unavailable(format!("cannot look at {}", path.display()), looped))
}

/// Makes the file with its final mode if there is none, and the directories above it.
pub fn make_file(path: &Path) -> StoreResult<()> {
    let there = exists(path);
    if matches!(there, Ok(true)) {
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
    there?;
    let target = target_of(path)?;
    let path = target.as_path();
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
                "{} is on {name}, which may be a network file system, where SQLite cannot keep its promises; \
                 put the database on a local disk, or, if this machine alone uses it and the file system keeps locks \
                 and shared memory as a local one does, set QUEUECTL_ALLOW_NETWORK_FS=1",
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

/// A file as it is told from others: device, inode, and when it was made, in nanoseconds of the epoch (0 where the file
/// system does not say). A new file often gets the inode of one that was just deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub device: i64,
    pub inode: i64,
    pub born: i64,
}

impl Identity {
    fn of(found: &Statx) -> Identity {
        let born = i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec);
        let says = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        Identity {
            device: makedev(found.stx_dev_major, found.stx_dev_minor) as i64,
            inode: found.stx_ino as i64,
            born: if says { i64::try_from(born).unwrap_or(0) } else { 0 },
        }
    }
}

/// The identity of the file that is there.
pub fn identity(path: &Path) -> StoreResult<Identity> {
    look_at(path).map(|found| Identity::of(&found))
}

/// The same, of a file that has one name only, for everybody: who opened it by another would have a log of his own beside
/// that name, would read an old state, and the two would damage the file.
pub fn sole_identity(path: &Path) -> StoreResult<Identity> {
    let found = look_at(path)?;
    let refused = |what: String| Err(StoreError::Unavailable { what, source: None });
    if found.stx_nlink > 1 {
        return refused(format!(
            "{} has {} names (hard links), and a database that is opened by two of them is damaged; remove the others, \
             or name a copy with --db",
            path.display(),
            found.stx_nlink
        ));
    }
    if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return refused(format!(
            "{} is mounted by itself, and a database that is opened in two places, each with a log of its own beside it, \
             is damaged; mount its directory instead, or name another database with --db",
            path.display()
        ));
    }
    Ok(Identity::of(&found))
}

fn look_at(path: &Path) -> StoreResult<Statx> {
    statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::BTIME).map_err(|error| {
        StoreError::unavailable(format!("cannot look at {}", path.display()), io::Error::from(error))
    })
}

/// The path with this behind it.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_name(0x6573_5546), Some("FUSE"), "as sshfs is");
        assert_eq!(network_name(0x6a65_6a63), Some("virtiofs"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert_eq!(network_name(0x0102_1994), None, "tmpfs");
    }
}
