//! End to end: the real binary, real processes, real crashes.

mod crash;
mod errors;
mod part_a;
mod rude;
mod stage;
mod together;
mod verbs;
