//! How many jobs show as each state.

use queuectl_core::state::Shown;
use queuectl_core::store::Count;
use serde::{Serialize, Serializer};

/// A count for every shown state, also where it is zero; an object in the order of a job's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts([u64; Shown::ALL.len()]);

impl StateCounts {
    /// The sum over these.
    pub fn of<'a>(counts: impl IntoIterator<Item = &'a Count>) -> StateCounts {
        let mut sums = StateCounts::default();
        for count in counts {
            sums.0[place(count.shown)] += count.jobs;
        }
        sums
    }

    pub fn get(&self, shown: Shown) -> u64 {
        self.0[place(shown)]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every state with its count, in the order of a job's life.
    pub fn iter(&self) -> impl Iterator<Item = (Shown, u64)> {
        Shown::ALL.into_iter().zip(self.0)
    }
}

fn place(shown: Shown) -> usize {
    Shown::ALL.iter().position(|one| *one == shown).expect("ALL has every state")
}

impl Serialize for StateCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(shown, jobs)| (shown.as_str(), jobs)))
    }
}
