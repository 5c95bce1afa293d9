//! The figures, one file each.

pub mod power_cut;
