//! The figures, one file each.

pub mod call_errors;
pub mod power_cut;
