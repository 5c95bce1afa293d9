//! The Store port on SQLite: write-ahead log, full sync, one writer thread with group commit, a few readers.
//!
//! The files are named as the port's: `jobs.rs` here is the SQL of `store/jobs.rs` there. `writer.rs` and `readers.rs`
//! run closures on their connections; `ring.rs` wakes waiting processes through the run directory beside the database.

mod attempts;
mod batches;
mod clock;
mod copy;
mod digest;
mod edit;
#[cfg(test)]
mod effort;
mod exchange;
mod failure;
mod file;
mod hands;
mod home;
mod insert;
mod jobs;
pub mod keep;
mod lanes;
mod line;
mod listing;
mod open;
mod queues;
mod random;
mod readers;
mod ring;
mod rows;
pub mod salvage;
mod schema;
mod settings;
mod settle;
mod stats;
mod suspect;
mod take;
mod turn;
mod upkeep;
mod waiting;
mod wakeups;
mod workers;
mod writer;

pub use clock::Clock;
pub use open::{Access, Network, OpenOptions, SqliteStore};
