//! The run directory: who is alive, told by locks that the kernel drops the instant their holder dies.
//!
//! `worker-<id>.lock`, `keeper-<id>.lock` and `loader-<id>.lock` are held for life; beside a keeper's lock lie its socket and its spool.

use crate::estate::remove_if_there;
use queuectl_core::limits::{RUN_ID_CHARS_MAX, RUN_LOCK_WAIT_MAX};
use queuectl_points::point;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that may wait for a keeper.
const BACKLOG: i32 = 64;
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Worker,
    Keeper,
    /// Somebody who puts many jobs in.
    Loader,
}

/// A worker or keeper that is, or was, there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    pub kind: Kind,
    pub id: String,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Worker => "worker-",
            Kind::Keeper => "keeper-",
            Kind::Loader => "loader-",
        }
    }
}

pub fn lock_name(kind: Kind, id: &str) -> String {
    format!("{}{id}.lock", kind.prefix())
}

pub fn socket_name(id: &str) -> String {
    format!("keeper-{id}.sock")
}

pub fn spool_name(id: &str) -> String {
    format!("keeper-{id}.spool")
}

/// Says that a keeper's worker is gone and that its jobs run on.
fn orphan_name(id: &str) -> String {
    format!("keeper-{id}.orphan")
}

pub(crate) fn mark_orphan(run_dir: &Path, id: &str) -> io::Result<()> {
    let path = run_dir.join(orphan_name(id));
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    point!("orphan.marked");
    Ok(())
}

pub(crate) fn unmark_orphan(run_dir: &Path, id: &str) -> io::Result<()> {
    remove_if_there(&run_dir.join(orphan_name(id)))?;
    point!("orphan.unmarked");
    Ok(())
}

/// The keepers that live, sorted.
pub fn live_keepers(run_dir: &Path) -> io::Result<Vec<String>> {
    let mut live = Vec::new();
    for entry in list(run_dir)?.into_iter().filter(|entry| entry.kind == Kind::Keeper) {
        if is_alive(run_dir, Kind::Keeper, &entry.id)? {
            live.push(entry.id);
        }
    }
    Ok(live)
}

/// Whether a keeper has said that its worker is gone.
pub fn is_marked_orphan(run_dir: &Path, id: &str) -> bool {
    run_dir.join(orphan_name(id)).exists()
}

/// The keepers that live and have said that their worker is gone, sorted.
pub fn orphans(run_dir: &Path) -> io::Result<Vec<String>> {
    let mut orphans = live_keepers(run_dir)?;
    orphans.retain(|id| is_marked_orphan(run_dir, id));
    Ok(orphans)
}

/// Keepers that have ended and left a spool, but whose lock file somebody has deleted. It is the last to go otherwise.
pub fn without_lock(run_dir: &Path) -> io::Result<Vec<String>> {
    let mut found = names(run_dir)?;
    found.retain_mut(|name| {
        let Some(id) = name.strip_prefix("keeper-").and_then(|rest| rest.strip_suffix(".spool")) else {
            return false;
        };
        *name = id.to_owned();
        // One that lives listens, and will notice by itself.
        check_id(name).is_ok()
            && !run_dir.join(lock_name(Kind::Keeper, name)).exists()
            && is_deaf(run_dir, name)
    });
    Ok(found)
}

/// Nobody listens at a keeper's socket: it has ended.
pub fn is_deaf(run_dir: &Path, id: &str) -> bool {
    let gone = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    connect(run_dir, id).is_err_and(|error| gone.contains(&error.kind()))
}

/// Makes the directory for this user alone, or checks that it is.
pub fn create_run_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_run_dir(path),
        Err(error) => Err(error),
    }
}

fn check_run_dir(path: &Path) -> io::Result<()> {
    let refuse = |why: String| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("run directory {} {why}", path.display()),
        ))
    };
    let found = std::fs::symlink_metadata(path)?;
    let user = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return refuse("is not a directory".to_owned());
    }
    if found.uid() != user {
        return refuse(format!("belongs to user {}, not to user {user}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return refuse(format!("can be written by others (mode {:o})", found.mode() & 0o7777));
    }
    Ok(())
}

/// A lock that is held until it is dropped or its process dies.
#[derive(Debug)]
pub struct HeldLock {
    path: PathBuf,
    file: File,
}

impl HeldLock {
    /// Whether the file is still where others look for it, as far as can be seen: it may be out of reach for a while.
    pub fn is_in_place(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(named) => self.file.metadata().is_ok_and(|held| is_same(&held, &named)),
            Err(error) => !is_gone(&error),
        }
    }

    /// Deletes the file and lets go: nothing is left of this worker or keeper.
    pub fn remove(self) -> io::Result<()> {
        point!("lock.remove.before");
        let removed = std::fs::remove_file(&self.path);
        point!("lock.remove.after");
        removed
    }
}

/// Takes the lock of a worker or keeper that is starting, creating its file.
pub fn lock(run_dir: &Path, kind: Kind, id: &str) -> io::Result<HeldLock> {
    check_id(id)?;
    let path = run_dir.join(lock_name(kind, id));
    let tries = RUN_LOCK_WAIT_MAX.as_millis() / LOCK_RETRY_INTERVAL.as_millis();
    for _ in 0..tries {
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path)?;
        point!("lock.created");
        match file.try_lock() {
            Ok(()) if is_still_at(&file, &path) => {
                point!("lock.held");
                return Ok(HeldLock { path, file });
            }
            // Somebody took the estate of an earlier one and deleted the file meanwhile.
            Ok(()) => {}
            // Whoever asks whether we are alive holds the lock for an instant.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY_INTERVAL),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let message = format!("{} is held by another process", path.display());
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Takes the lock of one that has died. `None` while it lives, and when nothing of it is there.
pub fn try_lock_dead(run_dir: &Path, kind: Kind, id: &str) -> io::Result<Option<HeldLock>> {
    check_id(id)?;
    let path = run_dir.join(lock_name(kind, id));
    let Some(file) = open_existing(&path)? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) if is_still_at(&file, &path) => {
            point!("lock.taken_over");
            Ok(Some(HeldLock { path, file }))
        }
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether its lock is held. Creates nothing.
pub fn is_alive(run_dir: &Path, kind: Kind, id: &str) -> io::Result<bool> {
    check_id(id)?;
    let Some(file) = open_existing(&run_dir.join(lock_name(kind, id)))? else { return Ok(false) };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// All workers and keepers that have a lock file, dead or alive, sorted. None if there is no such directory.
pub fn list(run_dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = names(run_dir)?.iter().filter_map(|name| parse_lock_name(name)).collect();
    entries.sort();
    Ok(entries)
}

/// Of all its files; none if there is no such directory.
fn names(run_dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(run_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

fn parse_lock_name(name: &str) -> Option<Entry> {
    let stem = name.strip_suffix(".lock")?;
    [Kind::Worker, Kind::Keeper, Kind::Loader].into_iter().find_map(|kind| {
        let id = stem.strip_prefix(kind.prefix())?;
        check_id(id).ok()?;
        Some(Entry { kind, id: id.to_owned() })
    })
}

fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    is_same(&held, &named)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether nothing is there, which is not what every error says.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn check_id(id: &str) -> io::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > RUN_ID_CHARS_MAX || !id.bytes().all(plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{id}` does not name a worker")));
    }
    Ok(())
}

/// Connects to a keeper, without waiting: [`io::ErrorKind::WouldBlock`] means that more wait for its answer than it lets
/// wait, as when it is frozen.
pub fn connect(run_dir: &Path, id: &str) -> io::Result<UnixStream> {
    check_id(id)?;
    let (directory, address) = socket_address(run_dir, id)?;
    let socket = new_socket()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &address)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    drop(directory);
    Ok(socket.into())
}

/// Makes a keeper's socket. The caller holds its lock, so that what is there is stale.
pub(crate) fn listen(run_dir: &Path, id: &str) -> io::Result<UnixListener> {
    let path = run_dir.join(socket_name(id));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (directory, address) = socket_address(run_dir, id)?;
    let socket = new_socket()?;
    rustix::net::bind(&socket, &address)?;
    rustix::fs::chmodat(
        &directory,
        socket_name(id),
        rustix::fs::Mode::from_raw_mode(0o600),
        rustix::fs::AtFlags::empty(),
    )?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// An address holds at most 107 bytes of path, so it goes by the directory's descriptor, which is returned to be kept.
fn socket_address(run_dir: &Path, id: &str) -> io::Result<(File, SocketAddrUnix)> {
    let directory = File::open(run_dir)?;
    let path = format!("/proc/self/fd/{}/{}", directory.as_fd().as_raw_fd(), socket_name(id));
    Ok((directory, SocketAddrUnix::new(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_life_from_death() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_alive(dir.path(), Kind::Worker, "a").unwrap());
        let held = lock(dir.path(), Kind::Worker, "a").unwrap();
        assert!(is_alive(dir.path(), Kind::Worker, "a").unwrap());
        assert!(try_lock_dead(dir.path(), Kind::Worker, "a").unwrap().is_none());
        drop(held);
        assert!(!is_alive(dir.path(), Kind::Worker, "a").unwrap());
        let taken = try_lock_dead(dir.path(), Kind::Worker, "a").unwrap().unwrap();
        taken.remove().unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn looking_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_alive(dir.path(), Kind::Keeper, "a").unwrap());
        assert!(try_lock_dead(dir.path(), Kind::Keeper, "a").unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(list(&dir.path().join("absent")).unwrap().is_empty());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        create_run_dir(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        create_run_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        let error = create_run_dir(&path).unwrap_err();
        assert!(error.to_string().contains("can be written by others (mode 770)"), "{error}");
    }

    #[test]
    fn names_are_read_back_and_others_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["worker-a.lock", "keeper-b-2.lock", "keeper-b-2.spool", "keeper-.lock", "x.lock"] {
            File::create(dir.path().join(name)).unwrap();
        }
        let entry = |kind, id: &str| Entry { kind, id: id.to_owned() };
        assert_eq!(list(dir.path()).unwrap(), [entry(Kind::Worker, "a"), entry(Kind::Keeper, "b-2")]);
        assert!(lock(dir.path(), Kind::Keeper, "../x").is_err());
    }

    #[test]
    fn a_socket_works_under_a_path_too_long_for_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(150));
        create_run_dir(&long).unwrap();
        let listener = listen(&long, "a").unwrap();
        let stream = connect(&long, "a").unwrap();
        listener.accept().unwrap();
        drop(stream);
        // A stale socket is replaced.
        drop(listener);
        listen(&long, "a").unwrap();
    }

    #[test]
    fn a_keeper_that_accepts_nothing_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_deaf(dir.path(), "a"));
        let listener = listen(dir.path(), "a").unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect(dir.path(), "a") {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(waiting.len() >= BACKLOG as usize && !is_deaf(dir.path(), "a"));
        drop(listener);
        assert!(is_deaf(dir.path(), "a"));
    }

    #[test]
    fn a_spool_without_a_lock_is_found_unless_its_keeper_lives() {
        let dir = tempfile::tempdir().unwrap();
        for id in ["dead", "locked", "alive"] {
            File::create(dir.path().join(spool_name(id))).unwrap();
        }
        drop(lock(dir.path(), Kind::Keeper, "locked").unwrap());
        let _alive = listen(dir.path(), "alive").unwrap();
        assert_eq!(without_lock(dir.path()).unwrap(), ["dead"]);
    }
}
