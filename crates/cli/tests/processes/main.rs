//! End to end: the real binary, real processes, real crashes.

mod beyond;
mod bulk;
mod changing;
mod crash;
mod errors;
mod listing;
mod logs;
mod part_a;
mod rude;
mod seeing;
mod stage;
mod terminal;
mod tmux;
mod together;
mod verbs;
