//! The domain of queuectl, pure: jobs, the state machine, outcomes, retry, limits, settings, and the Store port.
//!
//! Nothing here does IO, reads a clock or draws a random number: `now` and random values are arguments. A store applies
//! what [`settle::decide`] decides; a worker turns the crank. See ARCHITECTURE.md for the whole house.

pub mod claim;
pub mod command;
pub mod duration;
pub mod edit;
pub mod environment;
pub mod id;
pub mod job;
pub mod limits;
pub mod outcome;
pub mod query;
pub mod queue;
pub mod retry;
pub mod settings;
pub mod settle;
pub mod spelling;
pub mod state;
pub mod store;
pub mod time;
