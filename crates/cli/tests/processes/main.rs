//! End to end: the real binary, real processes, real crashes.

mod adoption;
mod beyond;
mod bulk;
mod cgroups;
mod changing;
mod completing;
mod crash;
mod dialects;
mod durable;
mod errors;
mod fire;
mod junk;
mod keeping;
mod listing;
mod logs;
mod others;
mod part_a;
mod pid_one;
mod rude;
mod seeing;
mod stage;
mod terminal;
mod tmux;
mod together;
mod top;
mod verbs;
