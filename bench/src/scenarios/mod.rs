//! The scenarios, one a file.

mod enqueue_cli;
mod floors;
mod shell;

use crate::plan::Plan;
use crate::stand::{Fault, Stand};

type Planner = for<'a> fn(&'a Stand) -> Result<Plan<'a>, Fault>;

/// In the order in which `all` plays them.
pub const ALL: &[(&str, Planner)] = &[
    ("floors", floors::plan),
    ("shell", shell::shell),
    ("shell-argv", shell::argv),
    ("enqueue-cli", enqueue_cli::plan),
];
