//! The figures, one file each.

pub mod back_again;
pub mod call_errors;
pub mod damage;
pub mod doubles;
pub mod failed_sync;
pub mod intact;
pub mod power_cut;
pub mod simulation;
