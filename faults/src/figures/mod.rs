//! The figures, one file each.

pub mod call_errors;
pub mod damage;
pub mod power_cut;
