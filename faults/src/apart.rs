//! Trials in a process of their own: this program again, where pids or mounts are its own, or as another build.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::crew;
use crate::figures;
use crate::procs;

/// What such a process has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Its pids; it is the first of them.
    Pids,
    /// Its mounts.
    Mounts,
    Nothing,
}

/// What comes of a trial there: what it has to tell, or what was wrong.
pub type Told = Result<String, String>;

/// Whether this machine lets us have that.
pub fn can_have(own: Own) -> bool {
    let mut command = begin(own, Path::new("/bin/true"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn begin(own: Own, program: &Path) -> Command {
    if own == Own::Nothing {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    match own {
        Own::Pids => command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]),
        _ => command.arg("--mount"),
    };
    command.arg(program);
    command
}

/// Plays a trial in a process of its own, which works in `dir`.
pub fn play(own: Own, figure: &str, seed: u64, trial: u64, dir: &Path) -> Told {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    play_with(&program, own, figure, seed, trial, dir)
}

/// The same by another build of this program.
pub fn play_with(program: &Path, own: Own, figure: &str, seed: u64, trial: u64, dir: &Path) -> Told {
    let mut command = begin(own, program);
    command.args(["--apart", &format!("{figure}:{trial}"), "--seed", &seed.to_string()]);
    command.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match said.split_once(' ') {
        Some(("well", rest)) => Ok(rest.to_owned()),
        Some(("wrong", rest)) => Err(rest.to_owned()),
        _ => Err(format!("it ended with {} and said nothing", output.status)),
    }
}

/// What this process is for if it was started so.
pub fn inside(what: &str, seed: u64) -> Result<String, String> {
    let (figure, trial) = what.split_once(':').ok_or("FIGURE:TRIAL")?;
    let trial = trial.parse().map_err(|_| "FIGURE:TRIAL")?;
    let told = match figure {
        "R9" => figures::pid_reuse::inside(seed, trial),
        "R12" => figures::disk_full::inside(seed, trial),
        "R22" => figures::migration::inside(),
        other => return Err(format!("{other} plays no trials apart")),
    };
    let panics = crew::panics().len();
    Ok(match told {
        Ok(_) if panics > 0 => format!("wrong {panics} panics"),
        Ok(text) => format!("well {text}."),
        Err(why) => format!("wrong {why}"),
    })
}

/// A directory of its own for a trial, by no link.
pub fn stage() -> Result<(tempfile::TempDir, std::path::PathBuf), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = dir.path().canonicalize().map_err(|error| error.to_string())?;
    Ok((dir, place))
}

/// Waits until a pid is free, whoever has to ask for its status.
pub fn await_free(pid: u32) -> Result<(), String> {
    let free = || {
        if let Some(ours) = rustix::process::Pid::from_raw(pid.cast_signed()) {
            // Of the first process, orphans are children.
            let _ = rustix::process::waitpid(Some(ours), rustix::process::WaitOptions::NOHANG);
        }
        procs::process(pid).is_none()
    };
    procs::until(&format!("pid {pid} is free"), free).map(drop)
}
