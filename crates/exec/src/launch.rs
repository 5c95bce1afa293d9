//! Starts a keeper, for a worker.

use crate::protocol::OnCrash;
use crate::unix::new_session_on_exec;
use queuectl_points::point;
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// A program that runs a keeper when called as `<program> keeper --run-dir R --id I --out-dir O --umask U --on-crash C
    /// [--guard FILE]`.
    pub program: PathBuf,
    pub run_dir: PathBuf,
    pub out_dir: PathBuf,
    /// Names the keeper in the run directory; its worker's.
    pub id: String,
    /// Of the jobs; given in octal.
    pub umask: u32,
    pub on_crash: OnCrash,
    /// A file without which nothing that runs there is of use any more: the database.
    pub guard: Option<PathBuf>,
}

/// A keeper that is starting. The first thing to say on `control` is `Hello`.
#[derive(Debug)]
pub struct Launched {
    /// The keeper ends all attempts when this is closed without `Leave`.
    pub control: UnixStream,
    pub child: Child,
}

/// A process could not be started for lack of something that the machine may have again in a moment.
pub fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw_os_error).is_some_and(is_short)
}

/// For lack of something that the machine may have again in a moment.
pub(crate) fn is_short(errno: Errno) -> bool {
    [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno)
}

/// Starts a keeper in a session of its own, so that what is typed at the terminal reaches the worker only.
pub fn launch(options: &LaunchOptions) -> io::Result<Launched> {
    let (control, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&options.program);
    command.arg("keeper").arg("--run-dir").arg(&options.run_dir).arg("--id").arg(&options.id);
    command.arg("--out-dir").arg(&options.out_dir).arg("--umask").arg(format!("{:03o}", options.umask));
    command.arg("--on-crash").arg(options.on_crash.as_str());
    if let Some(guard) = &options.guard {
        command.arg("--guard").arg(guard);
    }
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::inherit());
    new_session_on_exec(&mut command);
    point!("launch.before");
    let child = command.spawn()?;
    point!("launch.after");
    Ok(Launched { control, child })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowded_machine_is_told_from_a_program_that_is_not_there() {
        let error = |errno: Errno| io::Error::from(errno);
        assert!(is_shortage(&error(Errno::AGAIN)) && is_shortage(&error(Errno::NOMEM)));
        assert!(!is_shortage(&error(Errno::NOENT)) && !is_shortage(&io::Error::other("a fault")));
    }
}
