//! Test-only: what the tests of all crates stand on.
//!
//! [`memory`] is the port's executable specification; [`conformance`] is the suite that every store passes; [`model`]
//! compares two stores over random histories; [`clock`] is time that a test moves; [`keeper`] is a keeper without
//! processes; [`delegated`] a control group for a test. Never part of the product.

pub mod clock;
pub mod conformance;
pub mod delegated;
pub mod given;
pub mod keeper;
pub mod memory;
pub mod model;

pub use clock::ManualClock;
pub use keeper::FakeKeeper;
pub use memory::{MemoryFixture, MemoryStore};
