//! The scenarios, one a file.

#![expect(
    clippy::unnecessary_wraps,
    reason = "all plans have one shape; some cannot be made on some machines"
)]

mod ageing;
mod backlog;
mod bulk;
pub mod drain;
mod enqueue_cli;
mod enqueue_many;
mod flood;
mod floors;
mod idle;
mod library;
mod pickup;
mod shell;
mod size;

use crate::plan::Plan;
use crate::stand::{Fault, Stand};

type Planner = for<'a> fn(&'a Stand) -> Result<Plan<'a>, Fault>;

/// In the order in which `all` plays them.
pub const ALL: &[(&str, Planner)] = &[
    ("floors", floors::plan),
    ("shell", shell::shell),
    ("shell-argv", shell::argv),
    ("enqueue-cli", enqueue_cli::plan),
    ("enqueue-many", enqueue_many::plan),
    ("bulk", bulk::plan),
    ("drain", drain::plan),
    ("pickup", pickup::idle),
    ("loaded-pickup", pickup::loaded),
    ("idle", idle::plan),
    ("ageing", ageing::plan),
    ("backlog", backlog::plan),
    ("flood", flood::plan),
    ("size", size::plan),
];
