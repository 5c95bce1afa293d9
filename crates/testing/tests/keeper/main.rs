//! The keeper with real processes: how attempts end, what becomes of their trees, what is kept of their output, and what
//! a death of worker or keeper leaves.

mod cgroups;
mod deaths;
mod endings;
mod following;
mod harness;
mod leftovers;
mod orphans;
mod output;
mod starting;
