//! Control groups (version 2), where one is delegated to us: one more way to tell and to end what belongs to an attempt.
//!
//! What is in a group stays in it whatever it does to its environment, its session and its parents. Yet a job that runs as
//! the same user can leave one on purpose. So this adds to the other ways and replaces none of them.
//!
//! ```text
//! <delegated>/queuectl-<keeper>/slot-<n>    one for each attempt that runs at once, used again once it is empty
//!                               kept-<n>    for one attempt whose leftovers are to live on
//! ```
//!
//! A keeper holds a lock on its directory for life. No controller is enabled, so that groups above may hold processes too.

mod delegation;

use delegation::{delegated, group_of};
use queuectl_core::limits::{SWEEP_INTERVAL, SWEEP_PASSES_MAX};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What directories of keepers begin with.
const HOME_PREFIX: &str = "queuectl-";

/// Names a group until the machine goes down: a path can be given to another one, a number cannot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CgroupName {
    /// As seen by the keeper.
    pub path: String,
    /// Of its inode.
    pub number: u64,
}

/// A group that is there.
#[derive(Debug)]
pub(crate) struct Cgroup {
    name: CgroupName,
    directory: Arc<File>,
    events: File,
    /// All that was in it has been killed at once.
    killed: Cell<bool>,
}

/// What may be done with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Populated,
    /// Gone, or a job has left it frozen, or all in it was killed at once: newer kernels then kill whatever begins in it
    /// as well, for they take the kill for one that came while it was being made.
    Unusable,
}

impl Cgroup {
    pub(crate) fn make(path: &Path) -> io::Result<Cgroup> {
        fs::create_dir(path)?;
        Cgroup::open(path)
    }

    /// The group that has been given this name, if it is still there and can be seen from here.
    pub(crate) fn find(name: &CgroupName) -> Option<Cgroup> {
        Cgroup::open(Path::new(&name.path)).ok().filter(|found| found.name == *name)
    }

    fn open(path: &Path) -> io::Result<Cgroup> {
        let directory = File::open(path)?;
        let text = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let name = CgroupName { path: text, number: directory.metadata()?.ino() };
        let events = File::open(path.join("cgroup.events"))?;
        Ok(Cgroup { name, directory: Arc::new(directory), events, killed: Cell::new(false) })
    }

    pub(crate) fn name(&self) -> &CgroupName {
        &self.name
    }

    fn path(&self) -> &Path {
        Path::new(&self.name.path)
    }

    /// Where a child is to begin.
    pub(crate) fn directory(&self) -> Arc<File> {
        self.directory.clone()
    }

    pub(crate) fn state(&self) -> State {
        let mut bytes = [0; 256];
        let Ok(len) = self.events.read_at(&mut bytes, 0) else { return State::Unusable };
        let says = |line: &str| String::from_utf8_lossy(&bytes[..len]).lines().any(|one| one == line);
        match (says("populated 1"), says("frozen 1") || self.killed.get()) {
            (true, _) => State::Populated,
            (false, true) => State::Unusable,
            (false, false) => State::Empty,
        }
    }

    /// The processes in it, and in groups that they have made below it.
    pub(crate) fn pids(&self) -> HashSet<i32> {
        let listed = |path: &PathBuf| fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        let all = with_descendants(self.path());
        all.iter().flat_map(|path| listed(path).lines().filter_map(parse_pid).collect::<Vec<_>>()).collect()
    }

    /// Kills all that is in it. True if the kernel has done so for all at once, whoever they run as.
    pub(crate) fn kill(&self) -> bool {
        let all = fs::write(self.path().join("cgroup.kill"), "1").is_ok();
        self.killed.set(self.killed.get() || all);
        if !all {
            self.kill_each();
        }
        all
    }

    /// For kernels before 5.14.
    fn kill_each(&self) {
        let pin = |pid: i32| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
        let pinned: Vec<_> = self.pids().into_iter().filter_map(pin).collect();
        // Whoever is pinned and still listed is who was listed: his number is nobody else's.
        let still = self.pids();
        for (_, process) in pinned.iter().filter(|(pid, _)| still.contains(pid)) {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Kills all that is in it, until it is empty. Returns how many processes were seen.
    fn end(&self) -> io::Result<u32> {
        let mut seen = HashSet::new();
        for _ in 0..SWEEP_PASSES_MAX {
            seen.extend(self.pids());
            if seen.contains(&std::process::id().cast_signed()) {
                return Err(io::Error::other(
                    "this process itself is in a control group that is to be emptied",
                ));
            }
            if self.state() != State::Populated {
                return Ok(seen.len() as u32);
            }
            self.kill();
            self.wait_for_news();
        }
        let message = format!("control group {} does not become empty", self.name.path);
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    }

    /// Until it becomes empty, but not for long.
    fn wait_for_news(&self) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: SWEEP_INTERVAL.as_nanos() as _ };
        // The kernel tells of changes since the last read.
        let _ = poll(&mut [PollFd::new(&self.events, PollFlags::PRI)], Some(&timeout));
    }

    /// Deletes it if nothing is in it; true once it is gone.
    pub(crate) fn remove(self) -> bool {
        remove(self.path())
    }
}

/// Kills all that is in these groups, waits until they are empty, and deletes them. Those that are gone, or that cannot
/// be seen from here, are passed over. Returns how many processes were killed.
///
/// An error means that something in them does not die; then what they belonged to must not be given back.
pub fn end_cgroups(names: &[CgroupName]) -> io::Result<u32> {
    let mut killed = 0;
    for cgroup in names.iter().filter_map(Cgroup::find) {
        killed += cgroup.end()?;
        let home = cgroup.path().parent().map(Path::to_owned);
        cgroup.remove();
        // It stays while there are others in it.
        home.map(fs::remove_dir);
    }
    Ok(killed)
}

/// Whether the keeper at the other end makes groups for its attempts.
pub fn has_groups(connection: &UnixStream, keeper: &str) -> bool {
    let group = |pid: Pid| group_of(pid.as_raw_nonzero().get().cast_unsigned());
    // Of whoever began to listen there.
    let peer = rustix::net::sockopt::socket_peercred(connection).ok().map(|peer| peer.pid);
    peer.and_then(group).is_some_and(|above| home_of(&above, keeper).is_dir())
}

fn home_of(above: &Path, keeper: &str) -> PathBuf {
    above.join(format!("{HOME_PREFIX}{keeper}"))
}

/// The directory of a keeper's groups. Its lock is dropped by the kernel with the keeper.
#[derive(Debug)]
pub(crate) struct Home {
    pub path: PathBuf,
    _lock: File,
}

impl Home {
    /// `None` if nothing is delegated to this process.
    pub(crate) fn make(keeper: &str) -> io::Result<Option<Home>> {
        let Some(above) = delegated() else { return Ok(None) };
        remove_dead(&above);
        let path = home_of(&above, keeper);
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        // Only who takes us for dead can hold it, and he finds in vain what he looks for and fails to delete it later.
        lock.lock()?;
        if lock.metadata()?.ino() != fs::metadata(&path)?.ino() {
            return Err(Errno::STALE.into());
        }
        Ok(Some(Home { path, _lock: lock }))
    }
}

/// Deletes what dead keepers have left empty here. What still runs in theirs is for whoever settles their spools.
fn remove_dead(above: &Path) {
    for home in children(above) {
        let ours =
            home.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(HOME_PREFIX));
        if ours && File::open(&home).is_ok_and(|lock| lock.try_lock().is_ok()) {
            remove(&home);
        }
    }
}

/// Deletes a group and all below it, as far as they are empty; true once it is gone.
pub(crate) fn remove(path: &Path) -> bool {
    let mut gone = false;
    for path in with_descendants(path).iter().rev() {
        gone = fs::remove_dir(path).is_ok() || !path.exists();
    }
    gone
}

/// Those above come before those below.
fn with_descendants(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    let mut next = 0;
    while next < all.len() {
        all.extend(children(&all[next]));
        next += 1;
    }
    all
}

pub(crate) fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// A process of another pid namespace is shown as 0.
fn parse_pid(line: &str) -> Option<i32> {
    line.parse().ok().filter(|&pid| pid > 0)
}
