//! The figures, one file each.

pub mod back_again;
pub mod call_errors;
pub mod clock_jumps;
mod crash_day;
mod crash_fate;
pub mod crash_sweep;
pub mod crowd;
pub mod damage;
pub mod deadline;
pub mod disk_full;
pub mod doubles;
pub mod failed_sync;
pub mod flood;
pub mod intact;
pub mod leftovers;
pub mod long_reader;
pub mod migration;
pub mod pid_reuse;
pub mod power_cut;
pub mod retry_storm;
pub mod simulation;
pub mod upgrade;
