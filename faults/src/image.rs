//! What a disk may hold after the power went: all that was synced, and of the rest whatever it happened to write.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::dice::Dice;
use crate::vfs::{Entry, Kind};

/// Disks write whole sectors, in bytes.
const SECTOR: u64 = 512;

/// What becomes of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// None is lost: the process was killed, the machine runs on.
    Kept,
    Dropped,
    /// The earlier ones are there, the one after them in part.
    Prefix,
    /// Each as chance has it: there, lost, or there in part.
    Mixed,
}

impl Unsynced {
    pub fn draw(dice: &mut Dice) -> Unsynced {
        match dice.below(8) {
            0 => Unsynced::Kept,
            1 => Unsynced::Dropped,
            2 | 3 => Unsynced::Prefix,
            _ => Unsynced::Mixed,
        }
    }
}

/// The files that are there, with what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<Kind, Vec<u8>>,
}

/// One file of the disk, by whatever name.
#[derive(Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Given(Kind, usize),
    Removed(Kind),
}

/// The disk while the log is played: every file that ever was, and which name means which.
struct Disk {
    inodes: Vec<Inode>,
    /// As the directory was last synced.
    names: BTreeMap<Kind, usize>,
    renames: Vec<Name>,
    /// As running processes see it.
    current: BTreeMap<Kind, usize>,
}

impl Image {
    /// A disk on which the plug was pulled after these entries. The database's own name was synced before the first.
    pub fn after(log: &[Entry], unsynced: Unsynced, dice: &mut Dice) -> Image {
        let mut disk = Disk {
            inodes: vec![Inode::default()],
            names: BTreeMap::from([(Kind::Database, 0)]),
            renames: Vec::new(),
            current: BTreeMap::from([(Kind::Database, 0)]),
        };
        for entry in log {
            disk.play(entry, unsynced, dice);
        }
        disk.lose(unsynced, dice)
    }

    /// Writes the files where a database is to be. One that is there already stays the same file, with new content; it must
    /// not be open anywhere.
    pub fn place(&self, database: &Path) -> io::Result<()> {
        for kind in Kind::ALL {
            let path = beside(database, kind.suffix());
            match self.files.get(&kind) {
                Some(bytes) => {
                    OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(path)?
                        .write_all(bytes)?;
                }
                None => remove(&path)?,
            }
        }
        // Shared memory is no memory of the disk.
        remove(&beside(database, "-shm"))
    }
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Disk {
    fn play(&mut self, entry: &Entry, unsynced: Unsynced, dice: &mut Dice) {
        match entry {
            Entry::Create(kind) => {
                self.inodes.push(Inode::default());
                let inode = self.inodes.len() - 1;
                self.current.insert(*kind, inode);
                self.renames.push(Name::Given(*kind, inode));
            }
            Entry::Write { kind, offset, bytes } => {
                self.pend(*kind, Change::Write(*offset, bytes.clone()));
            }
            Entry::Truncate { kind, size } => self.pend(*kind, Change::Truncate(*size)),
            Entry::Sync { kind, directory } => {
                if let Some(inode) = self.inode(*kind) {
                    for change in std::mem::take(&mut inode.pending) {
                        apply(&mut inode.synced, &change);
                    }
                }
                if *directory {
                    self.sync_names();
                }
            }
            // As long as the machine runs, everybody reads what was written.
            Entry::SyncFailed(_) if unsynced == Unsynced::Kept => {}
            Entry::SyncFailed(kind) => {
                // The kernel takes the pages for clean now: what did not reach the disk never will.
                if let Some(inode) = self.inode(*kind) {
                    for change in std::mem::take(&mut inode.pending) {
                        if dice.percent(50) {
                            apply(&mut inode.synced, &change);
                        }
                    }
                }
            }
            Entry::Delete { kind, directory } => {
                self.current.remove(kind);
                self.renames.push(Name::Removed(*kind));
                if *directory {
                    self.sync_names();
                }
            }
        }
    }

    fn inode(&mut self, kind: Kind) -> Option<&mut Inode> {
        let inode = *self.current.get(&kind)?;
        self.inodes.get_mut(inode)
    }

    fn pend(&mut self, kind: Kind, change: Change) {
        if let Some(inode) = self.inode(kind) {
            inode.pending.push(change);
        }
    }

    fn sync_names(&mut self) {
        let count = self.renames.len();
        self.rename(count);
    }

    /// The first so many changes of the directory reach the disk: it keeps their order.
    fn rename(&mut self, count: usize) {
        for name in self.renames.drain(..count) {
            match name {
                Name::Given(kind, inode) => drop(self.names.insert(kind, inode)),
                Name::Removed(kind) => drop(self.names.remove(&kind)),
            }
        }
    }

    fn lose(mut self, unsynced: Unsynced, dice: &mut Dice) -> Image {
        let count = match unsynced {
            Unsynced::Kept => self.renames.len(),
            Unsynced::Dropped => 0,
            Unsynced::Prefix | Unsynced::Mixed => dice.below(self.renames.len() + 1),
        };
        self.rename(count);
        let mut files = BTreeMap::new();
        for (kind, inode) in self.names {
            let inode = &mut self.inodes[inode];
            let mut bytes = std::mem::take(&mut inode.synced);
            let whole = match unsynced {
                Unsynced::Kept => inode.pending.len(),
                Unsynced::Prefix => dice.below(inode.pending.len() + 1),
                Unsynced::Dropped | Unsynced::Mixed => 0,
            };
            for (at, change) in inode.pending.iter().enumerate() {
                let fate = match unsynced {
                    _ if at < whole => 0,
                    Unsynced::Prefix if at == whole => 2,
                    Unsynced::Mixed => dice.below(3),
                    _ => 1,
                };
                match (fate, change) {
                    (0, change) => apply(&mut bytes, change),
                    (2, Change::Write(offset, written)) => tear(&mut bytes, *offset, written, dice),
                    _ => {}
                }
            }
            files.insert(kind, bytes);
        }
        Image { files }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, written) => put(bytes, *offset, written),
        Change::Truncate(size) => bytes.resize(*size as usize, 0),
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + written.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(written);
}

/// Some sectors of a write.
fn tear(bytes: &mut Vec<u8>, offset: u64, written: &[u8], dice: &mut Dice) {
    let mut at = 0;
    while at < written.len() {
        let in_sector = (SECTOR - (offset + at as u64) % SECTOR) as usize;
        let end = written.len().min(at + in_sector);
        if dice.percent(50) {
            put(bytes, offset + at as u64, &written[at..end]);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kind: Kind, offset: u64, bytes: &[u8]) -> Entry {
        Entry::Write { kind, offset, bytes: bytes.to_vec() }
    }

    #[test]
    fn what_was_synced_is_there_and_a_new_name_with_its_directory() {
        let kind = Kind::Wal;
        let mut log =
            vec![Entry::Create(kind), write(kind, 0, b"one"), Entry::Sync { kind, directory: false }];
        let image = |log: &[Entry]| Image::after(log, Unsynced::Dropped, &mut Dice::new(1, "image", 1));
        assert_eq!(image(&log).files.get(&kind), None, "its name is not on the disk");
        log[2] = Entry::Sync { kind, directory: true };
        log.push(write(kind, 3, b"two"));
        assert_eq!(image(&log).files[&kind], b"one", "and what came after the sync is lost");
        let kept = Image::after(&log, Unsynced::Kept, &mut Dice::new(1, "image", 1));
        assert_eq!(kept.files[&kind], b"onetwo");
    }

    #[test]
    fn a_torn_write_loses_whole_sectors() {
        let log = [write(Kind::Database, 0, &[7; 4096])];
        let mut torn = 0;
        for trial in 0..64 {
            let image = Image::after(&log, Unsynced::Mixed, &mut Dice::new(1, "torn", trial));
            let bytes = &image.files[&Kind::Database];
            for sector in bytes.chunks(SECTOR as usize) {
                assert!(sector == [7; SECTOR as usize] || sector == [0; SECTOR as usize]);
            }
            torn += usize::from(bytes.contains(&0));
        }
        assert!(torn > 0, "some of them");
    }
}
