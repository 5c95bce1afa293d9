//! System calls that rustix does not have, and the code that runs between clone and exec.
//!
//! The only unsafe code of the crate. Everything public here is safe to call.
#![expect(unsafe_code, reason = "clone, exec, wait4, signalfd and madvise have no safe binding that fits")]

mod child;
mod detach;
mod group;
mod into_cgroup;
mod memory;
mod raw;
mod signals;
mod spawn;
mod wait;

pub(crate) use detach::{new_session_on_exec, on_main_thread, take_stdin, unblock_signals_on_exec};
pub(crate) use group::{Group, ToGroup};
pub use memory::forget_start_up;
pub use signals::is_ignored;
pub(crate) use signals::{SignalReader, ignore, reset_dispositions};
pub(crate) use spawn::{FileLimit, Launch, SpawnError, SpawnPlan, SpawnText, Spawner, Step};
pub(crate) use wait::{Orphans, Reaped, Status, reap_any};
