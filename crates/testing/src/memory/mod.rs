//! The Store port in memory: strict, simple, slow. What the port's documents say, as a program.
//!
//! One mutex, never held across an await; every verb runs in it and ends with a check of all that must always hold, so
//! that a broken invariant panics where it is broken. The files are named as the port's.

mod attempts;
mod batches;
mod exchange;
mod fixture;
mod jobs;
mod queues;
mod settings;
mod settle;
mod state;
mod stats;
mod take;
mod upkeep;
mod wakeups;
mod workers;

use std::path::PathBuf;
use std::sync::Mutex;

use queuectl_core::claim::Incarnation;
use queuectl_core::store::{Place, Store, Topic};
use queuectl_core::time::Timestamp;

use crate::clock::ManualClock;
pub use fixture::MemoryFixture;
use state::State;
use wakeups::Bells;

/// The store of one test. Share it in an `Arc`: two handles of one store are two processes at one database.
pub struct MemoryStore {
    clock: ManualClock,
    place: Place,
    state: Mutex<State>,
    bells: Bells,
}

/// Topics to ring once the verb is done.
#[derive(Debug, Default)]
struct Rings {
    work: bool,
    outcome: bool,
}

impl MemoryStore {
    pub fn new(clock: ManualClock) -> MemoryStore {
        let nowhere = PathBuf::from("/nonexistent/queuectl-memory");
        let place = Place {
            name: "memory".to_owned(),
            file: None,
            run_dir: nowhere.with_extension("run"),
            out_dir: nowhere.with_extension("out"),
        };
        MemoryStore::at(clock, place)
    }

    /// With directories that a test has made.
    pub fn at(clock: ManualClock, place: Place) -> MemoryStore {
        let state = Mutex::new(State::new(Incarnation(0x5eed_0000_c0ff_ee00)));
        MemoryStore { clock, place, state, bells: Bells::default() }
    }

    /// Runs a verb: alone, at one instant, checked at its end; then rings.
    fn verb<T>(&self, verb: impl FnOnce(&mut State, Timestamp, &mut Rings) -> T) -> T {
        let mut rings = Rings::default();
        let answer = {
            let mut state = self.state.lock().expect("no verb has panicked before");
            let now = self.clock.now();
            let answer = verb(&mut state, now, &mut rings);
            state.check(now);
            answer
        };
        for (wanted, topic) in [(rings.work, Topic::Work), (rings.outcome, Topic::Outcome)] {
            if wanted {
                self.bells.ring(topic);
            }
        }
        answer
    }
}

impl Store for MemoryStore {
    fn place(&self) -> Place {
        self.place.clone()
    }
}
