//! Real processes: a directory with a database of its own, the binary, its workers and keepers, and what their jobs wrote
//! down.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes live in real time, and in this one's environment"
)]

mod binary;
mod keepers;
mod ledger;
mod spools;
pub mod transitions;

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

pub use binary::{next, ordinary, with_points};
pub use keepers::{Keeper, keepers};
pub use ledger::{Attempt, Job, Ledger, note, note_long};
pub use spools::{Claim, exits};

/// What a worker says when it has taken over.
pub const ADOPTED: &str = "adopted what a worker left running";
/// No wait is longer: what is not so by then is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
/// Of the workers' log, told with a failure, in lines.
const LOG_TOLD_MAX: usize = 25;

pub struct House {
    pub dir: tempfile::TempDir,
    pub database: PathBuf,
    /// What is run as `queuectl`.
    pub program: PathBuf,
    /// Workers that nobody has waited for.
    workers: Vec<Child>,
}

/// What a command came to.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl House {
    pub fn new(program: &Path) -> Result<House, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let database = dir.path().canonicalize().map_err(|e| e.to_string())?.join("queue.db");
        Ok(House { dir, database, program: program.to_owned(), workers: Vec::new() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run_dir(&self) -> PathBuf {
        PathBuf::from(format!("{}.run", self.database.display()))
    }

    /// The binary on this house's database, with nothing of the tester's own settings.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QUEUECTL"))
        {
            command.env_remove(name);
        }
        command.env("QUEUECTL_DB", &self.database).env("NO_COLOR", "1");
        command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs to the end, whatever that is.
    pub fn finish(&self, mut command: Command, input: Option<&str>) -> Result<Ran, String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", self.program.display()))?;
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
            // Who was killed does not read.
            let _ = pipe.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// Runs to the end and must succeed.
    pub fn run(&self, words: &[&str], input: Option<&str>) -> Result<String, String> {
        let ran = self.finish(self.command(words), input)?;
        if ran.status.success() {
            Ok(ran.stdout)
        } else {
            Err(format!("{words:?}: {}: {}", ran.status, ran.stderr.trim()))
        }
    }

    /// The same, for what is printed as JSON.
    pub fn json(&self, words: &[&str]) -> Result<serde_json::Value, String> {
        let printed = self.run(words, None)?;
        serde_json::from_str(&printed).map_err(|e| format!("{words:?}: {e}: {printed}"))
    }

    /// Starts a worker; returns its pid at once.
    pub fn start_worker(&mut self, words: &[&str], point: Option<&str>) -> Result<u32, String> {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.path("worker.log"));
        let mut all = vec!["worker", "start"];
        all.extend(words);
        let mut command = self.command(&all);
        if let Some(point) = point {
            command.env("QUEUECTL_POINT_KILL", point);
        }
        command.stdout(Stdio::null()).stderr(log.map_err(|e| e.to_string())?);
        let child = command.spawn().map_err(|e| e.to_string())?;
        let pid = child.id();
        self.workers.push(child);
        Ok(pid)
    }

    /// A worker that was started elsewhere is this house's to end.
    pub fn take_in(&mut self, worker: Child) {
        self.workers.push(worker);
    }

    /// Kills a worker of ours and reaps it; it must not have ended before.
    pub fn kill_worker(&mut self, pid: u32) -> Result<(), String> {
        let at = self.workers.iter().position(|child| child.id() == pid).ok_or("no worker of ours")?;
        let mut child = self.workers.remove(at);
        let status = child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            Ok(())
        } else {
            Err(format!("a worker that was to be killed had ended with {status}"))
        }
    }

    /// Its terminal goes away.
    pub fn hang_up_worker(&self, pid: u32) -> Result<(), String> {
        let child = self.workers.iter().find(|child| child.id() == pid).ok_or("no worker of ours")?;
        let pid = Pid::from_child(child);
        rustix::process::kill_process(pid, Signal::HUP).map_err(|e| e.to_string())
    }

    /// The workers that have ended since this was asked last, with how.
    pub fn ended(&mut self) -> Vec<(u32, ExitStatus)> {
        let mut ended = Vec::new();
        self.workers.retain_mut(|child| match child.try_wait() {
            Ok(Some(status)) => {
                ended.push((child.id(), status));
                false
            }
            _ => true,
        });
        ended
    }

    pub fn worker_pids(&self) -> Vec<u32> {
        self.workers.iter().map(Child::id).collect()
    }

    /// Waits until all workers have ended; each must have by itself and well.
    pub fn workers_end_well(&mut self) -> Result<(), String> {
        let mut bad = None;
        until("the workers end", || {
            let ended = self.ended();
            bad =
                bad.or_else(|| ended.iter().find(|(_, status)| !status.success()).map(|(_, status)| *status));
            Ok(self.workers.is_empty())
        })?;
        bad.map_or(Ok(()), |status| Err(format!("a worker ended with {status}")))
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn ledger(&self) -> Result<Ledger, String> {
        Ledger::read(&self.database, &self.read("notes"))
    }

    /// A failure, with the end of the workers' log.
    pub fn told(&self, why: &str) -> String {
        let log = self.read("worker.log");
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_TOLD_MAX)..].join("\n    ");
        format!("{why}\n    {end}")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for child in &mut self.workers {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What it ran would end with the database as well, some seconds later.
        for keeper in keepers(&self.run_dir()) {
            keeper.kill();
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let begin = Instant::now();
    while !so()? {
        if begin.elapsed() > PATIENCE {
            return Err(format!("not within {} s: {what}", PATIENCE.as_secs()));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
