//! A memory store with its clock, as the suites want it.

use std::time::Duration;

use queuectl_core::store::Store;

use super::MemoryStore;
use crate::clock::ManualClock;
use crate::conformance::Fixture;

/// A fresh memory store; a second process at it is the same store.
pub struct MemoryFixture {
    clock: ManualClock,
    store: MemoryStore,
}

impl Default for MemoryFixture {
    fn default() -> MemoryFixture {
        let clock = ManualClock::default();
        MemoryFixture { store: MemoryStore::new(clock.clone()), clock }
    }
}

impl Fixture for MemoryFixture {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn second(&self) -> &dyn Store {
        &self.store
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
