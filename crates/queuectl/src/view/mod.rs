//! The wire types: what `--json`, the API and the event stream say. Their fields, names and order are a contract.
//!
//! A view is made from core types and says nothing that they do not. Instants are ISO-8601 in UTC, durations numbers of
//! seconds, absent values `null`.

mod attempt;
mod counts;
mod doctor;
mod job;
mod log;
mod reason;
mod setting;
mod stats;
mod status;
#[cfg(test)]
mod tests;

pub use attempt::{AttemptView, OutputView};
pub use counts::StateCounts;
pub use doctor::{DoctorView, Finding, SalvageView};
pub use job::{JobDetailView, JobView};
pub use log::LogView;
pub use reason::{ExplainView, Facts, Reason};
pub use setting::SettingView;
pub use stats::{FailureView, PercentilesView, QueueRunsView, RunsView, StatsGatherer, StatsView};
pub use status::{OrphanView, QueueDetailView, QueueView, StatusView, WorkerView, WorkersView};

/// The version of the wire types, in the field `schema`.
pub const SCHEMA: u32 = 1;
