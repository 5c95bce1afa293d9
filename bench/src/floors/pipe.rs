//! The reader of a flood, on a pipe as wide as the product makes its own.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};

use crate::stand::Fault;

const PIPE_BYTES: i32 = 1 << 20;

/// Widens the pipe on standard input, and becomes the command; returns only if that fails.
pub fn widened(command: &[String]) -> Result<std::convert::Infallible, Fault> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    fcntl(std::io::stdin(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES))?;
    Err(Command::new(program).args(arguments).exec().into())
}
