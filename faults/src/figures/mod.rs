//! The figures, one file each.

pub mod call_errors;
pub mod damage;
pub mod failed_sync;
pub mod power_cut;
pub mod simulation;
