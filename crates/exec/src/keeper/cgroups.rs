//! The control groups that the attempts of a keeper run in, where one is delegated to it; elsewhere there are none.
//!
//! Making one for each attempt would cost a third of all starts, so they are used again, once the kernel says that nothing
//! is in them. What is to live on after its attempt gets one for itself.

use super::ATTEMPTS_MAX;
use crate::cgroup::{Cgroup, CgroupName, Home, State, children, remove};
use crate::protocol::{ClaimKey, Leftovers};
use std::collections::{HashMap, VecDeque};
use std::io;

/// Twice as many as can be in use: some may still be dying.
const SLOTS_MAX: u64 = 2 * ATTEMPTS_MAX as u64;

/// Of attempts whose leftovers live on.
const KEPT_PREFIX: &str = "kept-";

#[derive(Default)]
pub(super) struct Cgroups {
    home: Option<Home>,
    free: VecDeque<Cgroup>,
    /// With what becomes of leftovers there.
    taken: HashMap<ClaimKey, (Cgroup, Leftovers)>,
    /// Slots that are there.
    slots: u64,
    /// For names; never used twice.
    next: u64,
    /// A group that could not be made has been told of.
    complained: bool,
}

impl Cgroups {
    pub(super) fn find(keeper: &str) -> io::Result<Cgroups> {
        Ok(Cgroups { home: Home::make(keeper)?, ..Cgroups::default() })
    }

    /// Gives an attempt a group for itself, which is empty. `None` where nothing is delegated, and where none can be
    /// made: that is an error the first time, for the log.
    pub(super) fn take(&mut self, claim: ClaimKey, leftovers: Leftovers) -> io::Result<Option<CgroupName>> {
        if self.home.is_none() {
            return Ok(None);
        }
        let made = match leftovers {
            Leftovers::Kill => self.slot(),
            Leftovers::Keep => {
                self.remove_kept();
                self.make(KEPT_PREFIX)
            }
        };
        let cgroup = match made {
            Ok(cgroup) => cgroup,
            Err(_) if self.complained => return Ok(None),
            Err(error) => {
                self.complained = true;
                return Err(error);
            }
        };
        let name = cgroup.name().clone();
        self.taken.insert(claim, (cgroup, leftovers));
        Ok(Some(name))
    }

    /// The group of an attempt that has one and has not ended.
    pub(super) fn of(&self, claim: ClaimKey) -> Option<&Cgroup> {
        self.taken.get(&claim).map(|(cgroup, _)| cgroup)
    }

    /// The attempt has ended.
    pub(super) fn give_back(&mut self, claim: ClaimKey) {
        let Some((cgroup, leftovers)) = self.taken.remove(&claim) else { return };
        match leftovers {
            Leftovers::Kill => self.free.push_back(cgroup),
            // What has been kept in it is nobody's to end; without any, it goes at once.
            Leftovers::Keep => drop(cgroup.remove()),
        }
    }

    /// Leaves only what something still runs in.
    pub(super) fn leave(self) {
        drop((self.free, self.taken));
        if let Some(home) = self.home {
            remove(&home.path);
        }
    }

    /// The one that was used last is the first to be used again.
    fn slot(&mut self) -> io::Result<Cgroup> {
        let mut dying = VecDeque::new();
        let mut found = None;
        while let (None, Some(cgroup)) = (&found, self.free.pop_back()) {
            match cgroup.state() {
                State::Empty => found = Some(cgroup),
                // Its attempt has ended, so nothing in it is anybody's.
                State::Populated => {
                    cgroup.kill();
                    dying.push_back(cgroup);
                }
                State::Unusable => {
                    self.slots -= 1;
                    cgroup.remove();
                }
            }
        }
        // They come last, to have had their time.
        dying.append(&mut self.free);
        self.free = dying;
        match found {
            Some(cgroup) => Ok(cgroup),
            None if self.slots >= SLOTS_MAX => {
                Err(io::Error::other("what is in the control groups does not die"))
            }
            None => {
                let cgroup = self.make("slot-")?;
                self.slots += 1;
                Ok(cgroup)
            }
        }
    }

    fn make(&mut self, prefix: &str) -> io::Result<Cgroup> {
        let Some(home) = &self.home else { return Err(io::ErrorKind::NotFound.into()) };
        self.next += 1;
        Cgroup::make(&home.path.join(format!("{prefix}{}", self.next)))
    }

    /// Deletes groups of kept leftovers that have ended.
    fn remove_kept(&self) {
        let Some(home) = &self.home else { return };
        let is_kept = |name: &str| name.starts_with(KEPT_PREFIX);
        let kept = children(&home.path).into_iter().filter(|path| {
            let in_use =
                self.taken.values().any(|(cgroup, _)| path.to_str() == Some(cgroup.name().path.as_str()));
            !in_use && path.file_name().and_then(|name| name.to_str()).is_some_and(is_kept)
        });
        for path in kept {
            remove(&path);
        }
    }
}
