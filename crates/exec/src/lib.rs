//! Runs commands: the keeper, process trees, output, spool. Synchronous; knows no store.
//!
//! A worker [`launch`]es a keeper and talks [`protocol`] with it in [`wire`] frames. The [`keeper`] owns the children.
//! [`rundir`] says who is alive and what a dead keeper left ([`estate`]); [`sweep`] ends what outlived it.

mod cgroup;
pub mod clock;
pub mod estate;
pub mod frozen;
pub mod holder;
pub mod keeper;
pub mod launch;
pub mod machine;
mod output;
pub mod pid_one;
mod procfs;
pub mod protocol;
pub mod rundir;
pub mod spool;
pub mod sweep;
pub mod texts;
mod unix;
pub mod wire;

pub use cgroup::{CgroupName, end_cgroups, has_groups};
pub use clock::{Alarm, now_boot_ms};
pub use estate::{Estate, Remains, try_take};
pub use keeper::{KeeperOptions, run};
pub use launch::{LaunchOptions, Launched, is_shortage, launch};
pub use machine::{boot_id, pid_namespace};
pub use output::{captured, is_as_kept, output_tail, sync_output};
pub use sweep::{SweepReport, sweep};
pub use unix::{forget_start_up, is_ignored};
