//! Writes the spool: each record before the step that relies on it, by `write`, without syncing. What no step of this
//! turn relies on is noted, and goes with the next write.

use crate::protocol::{ClaimKey, ExitRecord};
use crate::rundir::spool_name;
use crate::spool::{SpoolRecord, decode, encode};
use queuectl_core::limits::SPOOL_BYTES_MAX;
use queuectl_points::point;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    len: u64,
    /// Records that are not in the file yet, in their order.
    noted: Vec<u8>,
    /// The file is rewritten once it is longer.
    rewrite_at: u64,
    /// The records of each claim that is not settled, as they are in the file, or will be.
    live: HashMap<ClaimKey, Vec<u8>>,
}

impl Journal {
    pub(super) fn create(run_dir: &Path, id: &str) -> io::Result<Journal> {
        let path = run_dir.join(spool_name(id));
        let file = open(&path, OpenOptions::new().create_new(true))?;
        Ok(Journal {
            path,
            file,
            len: 0,
            noted: Vec::new(),
            rewrite_at: SPOOL_BYTES_MAX,
            live: HashMap::new(),
        })
    }

    /// Writes what is noted and then this record.
    pub(super) fn append(&mut self, record: &SpoolRecord) -> io::Result<()> {
        self.note(record)?;
        self.flush().inspect_err(|_| drop(self.live.remove(&record.claim())))
    }

    /// Takes a record that need not be in the file before the next [`Journal::flush`].
    pub(super) fn note(&mut self, record: &SpoolRecord) -> io::Result<()> {
        let bytes = encode(record).map_err(io::Error::other)?;
        self.noted.extend_from_slice(&bytes);
        self.live.entry(record.claim()).or_default().extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes what is noted. What cannot be written is not tried again.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.noted.is_empty() {
            return Ok(());
        }
        point!("spool.append.before");
        let written = self.file.write_all(&self.noted);
        point!("spool.append.after");
        let len = std::mem::take(&mut self.noted).len() as u64;
        if let Err(error) = written {
            // A part of a record must not stay in the middle of the file.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len += len;
        Ok(())
    }

    /// Forgets these claims. The file shrinks when nothing is left, or too much that is forgotten.
    pub(super) fn settle(&mut self, claims: &[ClaimKey]) -> io::Result<()> {
        let mut any = false;
        for &claim in claims {
            if self.live.remove(&claim).is_some() {
                any = true;
                let settled = SpoolRecord::Settled { claim };
                self.noted.extend(encode(&settled).map_err(io::Error::other)?);
            }
        }
        if !any {
            return Ok(());
        }
        point!("spool.settle.before");
        if self.live.is_empty() {
            self.file.set_len(0)?;
            point!("spool.emptied");
            (self.len, self.noted) = (0, Vec::new());
            return Ok(());
        }
        if self.len > self.rewrite_at { self.rewrite() } else { Ok(()) }
    }

    /// What is not settled: the claims, and the outcomes of those that have one.
    pub(super) fn unsettled(&self) -> Vec<(ClaimKey, Option<ExitRecord>)> {
        let exit = |bytes: &Vec<u8>| {
            decode(bytes).records.into_iter().find_map(|record| match record {
                SpoolRecord::Exit(exit) => Some(exit),
                _ => None,
            })
        };
        self.live.iter().map(|(claim, bytes)| (*claim, exit(bytes))).collect()
    }

    /// Whether nothing is left to be settled.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// Puts a file with only the live records in the place of this one.
    fn rewrite(&mut self) -> io::Result<()> {
        let path = self.path.with_extension("spool.new");
        let bytes: Vec<u8> = self.live.values().flatten().copied().collect();
        let mut file = open(&path, OpenOptions::new().create(true))?;
        file.set_len(0)?;
        file.write_all(&bytes)?;
        point!("spool.rewrite.before");
        std::fs::rename(&path, &self.path)?;
        point!("spool.rewrite.after");
        self.file = file;
        (self.len, self.noted) = (bytes.len() as u64, Vec::new());
        self.rewrite_at = SPOOL_BYTES_MAX.max(2 * self.len);
        Ok(())
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{SpoolContents, SpoolEnding};

    fn claim(number: u64) -> ClaimKey {
        ClaimKey { incarnation: 0, number }
    }

    fn intent(number: u64) -> SpoolRecord {
        SpoolRecord::Intent { claim: claim(number), cgroup: None }
    }

    fn read(dir: &Path) -> SpoolContents {
        decode(&std::fs::read(dir.join(spool_name("k"))).unwrap())
    }

    #[test]
    fn the_file_is_empty_once_all_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), "k").unwrap();
        journal.append(&intent(1)).unwrap();
        journal.append(&intent(2)).unwrap();
        journal.settle(&[claim(2), claim(9)]).unwrap();
        journal.flush().unwrap();
        let records = vec![intent(1), intent(2), SpoolRecord::Settled { claim: claim(2) }];
        assert_eq!(read(dir.path()), SpoolContents { records, ending: SpoolEnding::Whole });
        journal.settle(&[claim(1)]).unwrap();
        assert!(read(dir.path()).records.is_empty());
        journal.append(&intent(3)).unwrap();
        assert_eq!(read(dir.path()).records, [intent(3)]);
    }

    #[test]
    fn what_is_noted_is_in_the_file_before_what_is_appended_or_with_the_next_flush() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), "k").unwrap();
        journal.note(&intent(1)).unwrap();
        assert!(read(dir.path()).records.is_empty());
        journal.append(&intent(2)).unwrap();
        assert_eq!(read(dir.path()).records, [intent(1), intent(2)]);
        journal.note(&intent(3)).unwrap();
        journal.flush().unwrap();
        assert_eq!(read(dir.path()).records, [intent(1), intent(2), intent(3)]);
        // Nothing of what was settled before it was written comes back.
        journal.note(&intent(4)).unwrap();
        journal.settle(&[claim(1), claim(2), claim(3), claim(4)]).unwrap();
        journal.flush().unwrap();
        assert!(read(dir.path()).records.is_empty());
    }

    #[test]
    fn a_long_file_is_rewritten_with_what_is_live() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), "k").unwrap();
        journal.append(&intent(0)).unwrap();
        for number in 1.. {
            let before = journal.len;
            journal.append(&intent(number)).unwrap();
            journal.settle(&[claim(number)]).unwrap();
            if journal.len < before {
                break;
            }
            assert!(journal.len <= SPOOL_BYTES_MAX);
        }
        assert_eq!(read(dir.path()).records, [intent(0)]);
        journal.append(&intent(1)).unwrap();
        assert_eq!(read(dir.path()).records, [intent(0), intent(1)]);
    }
}
