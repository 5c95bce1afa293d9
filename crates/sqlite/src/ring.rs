//! Rings: one byte to the datagram socket of each process that waits, in the run directory beside the database.
//!
//! A ring never blocks: a full socket was rung already; a refused one belongs to a dead process and is unlinked.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use queuectl_core::store::{StoreError, StoreResult, Topic};
use queuectl_points::point;

/// Longest path that a socket address holds, less its end mark.
const SOCKET_PATH_MAX: usize = 107;
static SERIAL: AtomicU64 = AtomicU64::new(0);

fn prefix(topic: Topic) -> &'static str {
    match topic {
        Topic::Work => "ring-work-",
        Topic::Outcome => "ring-outcome-",
    }
}

/// A path that fits a socket address: through the directory's descriptor if it is too long. The file keeps the
/// descriptor open for as long as the path is used.
fn reachable(directory: &Path, name: &str) -> io::Result<(PathBuf, Option<File>)> {
    let path = directory.join(name);
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return Ok((path, None));
    }
    let handle = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd())), Some(handle)))
}

/// Wakes everyone who listens to this topic. Errors do not matter: every listener also looks by itself.
pub fn ring(run_dir: &Path, topic: Topic) {
    let Ok(entries) = fs::read_dir(run_dir) else { return };
    let mut socket = None;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix(topic))) else { continue };
        if socket.is_none() {
            socket = UnixDatagram::unbound().and_then(|s| s.set_nonblocking(true).map(|()| s)).ok();
        }
        let Some(socket) = &socket else { return };
        let Ok((path, _handle)) = reachable(run_dir, name) else { continue };
        point!("ring.send");
        if let Err(error) = socket.send_to(&[1], &path)
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A bound socket, unlinked when dropped.
pub struct RingSocket {
    pub socket: UnixDatagram,
    path: PathBuf,
}

impl RingSocket {
    /// Makes the run directory if there is none, and a socket in it.
    pub fn bind(run_dir: &Path, topic: Topic) -> StoreResult<RingSocket> {
        let failed =
            |e: io::Error| StoreError::unavailable(format!("cannot listen in {}", run_dir.display()), e);
        make_run_dir(run_dir)?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{serial}.sock", prefix(topic), std::process::id());
        // Left by a dead process of the same id.
        let _ = fs::remove_file(run_dir.join(&name));
        let (address, _handle) = reachable(run_dir, &name).map_err(failed)?;
        let socket = UnixDatagram::bind(address).map_err(failed)?;
        point!("ring.bound");
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(RingSocket { socket, path: run_dir.join(name) })
    }
}

impl Drop for RingSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The run directory belongs to one user alone: locks, sockets and spools in it are trusted.
fn make_run_dir(run_dir: &Path) -> StoreResult<()> {
    match DirBuilder::new().mode(0o700).create(run_dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(run_dir)
                .map_err(|e| StoreError::unavailable(format!("cannot look at {}", run_dir.display()), e))?;
            let ours = found.uid() == rustix::process::geteuid().as_raw();
            if found.is_dir() && ours && (found.mode() & 0o7777) | 0o700 == 0o700 {
                return Ok(());
            }
            Err(StoreError::Unavailable {
                what: format!(
                    "{} is not a directory that only this user can enter; only the owner of a database runs its workers",
                    run_dir.display()
                ),
                source: None,
            })
        }
        Err(error) => Err(StoreError::unavailable(format!("cannot create {}", run_dir.display()), error)),
    }
}
