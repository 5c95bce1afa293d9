//! What a dead keeper left: its spool, read by whoever takes its lock.

use crate::cgroup::CgroupName;
use crate::protocol::{ClaimKey, ExitRecord};
use crate::rundir::{HeldLock, Kind, socket_name, spool_name, try_lock_dead, unmark_orphan};
use crate::spool::{SpoolDamage, SpoolEnding, SpoolRecord, StartedRecord, decode};
use queuectl_points::point;
use std::io;
use std::path::{Path, PathBuf};

/// The estate of a dead keeper, held by its lock until dropped: nobody else settles from it meanwhile.
#[derive(Debug)]
pub struct Estate {
    pub id: String,
    /// In the order of their intents, without those that are settled.
    pub remains: Vec<Remains>,
    /// What follows the damage is unknown: claims of this keeper that are not among the remains are *possibly started*.
    pub damage: Option<SpoolDamage>,
    run_dir: PathBuf,
    lock: HeldLock,
}

/// What is known of one attempt. With neither `started` nor `exit` it may have started all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Remains {
    pub claim: ClaimKey,
    /// The control group that it ran in.
    pub cgroup: Option<CgroupName>,
    pub started: Option<StartedRecord>,
    pub exit: Option<ExitRecord>,
}

/// Takes over from a keeper that has died. `None` while it lives, and when nothing of it is there.
pub fn try_take(run_dir: &Path, id: &str) -> io::Result<Option<Estate>> {
    let Some(lock) = try_lock_dead(run_dir, Kind::Keeper, id)? else { return Ok(None) };
    let bytes = match std::fs::read(run_dir.join(spool_name(id))) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let contents = decode(&bytes);
    let damage = match contents.ending {
        SpoolEnding::Damaged(damage) => Some(damage),
        SpoolEnding::Whole | SpoolEnding::Torn => None,
    };
    let remains = collect(contents.records);
    Ok(Some(Estate { id: id.to_owned(), remains, damage, run_dir: run_dir.to_owned(), lock }))
}

fn collect(records: Vec<SpoolRecord>) -> Vec<Remains> {
    let mut all: Vec<Remains> = Vec::new();
    for record in records {
        let claim = record.claim();
        let known = all.iter().position(|remains| remains.claim == claim);
        if let SpoolRecord::Settled { .. } = record {
            known.map(|at| all.remove(at));
            continue;
        }
        let at = known.unwrap_or_else(|| {
            all.push(Remains { claim, cgroup: None, started: None, exit: None });
            all.len() - 1
        });
        match record {
            SpoolRecord::Started(started) => all[at].started = Some(started),
            SpoolRecord::Exit(exit) => all[at].exit = Some(exit),
            SpoolRecord::Intent { cgroup, .. } => all[at].cgroup = cgroup,
            SpoolRecord::Settled { .. } => {}
        }
    }
    all
}

impl Estate {
    /// Deletes the files, now that all remains are settled. A damaged spool is put aside instead, for a person to see.
    pub fn remove(self) -> io::Result<()> {
        let spool = self.run_dir.join(spool_name(&self.id));
        if self.damage.is_some() {
            std::fs::rename(&spool, self.run_dir.join(format!("{}.damaged", spool_name(&self.id))))?;
        }
        for name in [spool_name(&self.id), format!("{}.new", spool_name(&self.id)), socket_name(&self.id)] {
            remove_if_there(&self.run_dir.join(name))?;
            point!("estate.file.removed");
        }
        point!("estate.emptied");
        unmark_orphan(&self.run_dir, &self.id)?;
        // Last, for it is what others look for.
        self.lock.remove()
    }
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rundir;
    use crate::spool::encode;

    fn write_spool(dir: &Path, records: &[SpoolRecord]) {
        let bytes: Vec<u8> = records.iter().flat_map(|record| encode(record).unwrap()).collect();
        std::fs::write(dir.join(spool_name("k")), bytes).unwrap();
    }

    fn claim(number: u64) -> ClaimKey {
        ClaimKey { incarnation: 1, number }
    }

    #[test]
    fn settled_attempts_do_not_remain() {
        let dir = tempfile::tempdir().unwrap();
        let lock = rundir::lock(dir.path(), Kind::Keeper, "k").unwrap();
        let [one, two] = [claim(1), claim(2)];
        write_spool(
            dir.path(),
            &[
                SpoolRecord::Intent { claim: one, cgroup: None },
                SpoolRecord::Intent { claim: two, cgroup: None },
                SpoolRecord::Settled { claim: one },
            ],
        );
        assert!(try_take(dir.path(), "k").unwrap().is_none(), "its keeper lives");
        drop(lock);
        // A child that another test has just forked holds the lock as well, until it becomes its program.
        let estate = loop {
            match try_take(dir.path(), "k").unwrap() {
                Some(estate) => break estate,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(estate.remains, [Remains { claim: two, cgroup: None, started: None, exit: None }]);
        assert!(try_take(dir.path(), "k").unwrap().is_none(), "one heir at a time");
        estate.remove().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_spool_is_reported_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        drop(rundir::lock(dir.path(), Kind::Keeper, "k").unwrap());
        write_spool(
            dir.path(),
            &[
                SpoolRecord::Intent { claim: claim(1), cgroup: None },
                SpoolRecord::Intent { claim: claim(2), cgroup: None },
            ],
        );
        let path = dir.path().join(spool_name("k"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[6] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let estate = try_take(dir.path(), "k").unwrap().unwrap();
        assert_eq!(estate.damage, Some(SpoolDamage::Bytes { offset: 0 }));
        estate.remove().unwrap();
        assert_eq!(std::fs::read(dir.path().join("keeper-k.spool.damaged")).unwrap(), bytes);
    }
}
