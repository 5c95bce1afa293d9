//! `queuectl` alone: how things stand, and the verbs that one needs first.

use crate::exit::Outcome;
use crate::place::Place;
use crate::status;
use crate::terminal::complain;

const FIRST_VERBS: &str = "
First steps (`queuectl help` lists every command):
  queuectl enqueue --command 'echo hello'    add a job
  queuectl worker start --count 2            run jobs, until Ctrl-C
  queuectl list                              see the jobs
  queuectl logs last                         see what the newest one printed
  queuectl dlq retry --all                   run again what failed for good";

/// Data goes to standard output as `status` prints it, the advice beside it to standard error.
pub async fn run(place: &Place) -> Outcome {
    let exit = status::run(place, status::Arguments::default()).await?;
    complain(FIRST_VERBS);
    Ok(exit)
}
