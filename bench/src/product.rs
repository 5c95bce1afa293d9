//! Drives the product as its users do: the binary, in a store of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

use crate::clock::now;
use crate::stand::{Fault, Stand};

const START_MAX: Duration = Duration::from_secs(30);

/// A store, and the binary to use it with.
pub struct Queue {
    queuectl: PathBuf,
    pub database: PathBuf,
}

/// What a store says of the jobs it has run.
#[derive(Debug)]
pub struct Ran {
    pub attempts: i64,
    pub outputs: i64,
    /// From the first start to the last settle.
    pub seconds: f64,
}

impl Queue {
    /// A new store in a directory.
    pub fn new(stand: &Stand, dir: &Path) -> Result<Queue, Fault> {
        let queue = Queue { queuectl: stand.queuectl.clone(), database: dir.join("queue.db") };
        succeed(queue.command(&["init"]).stdout(Stdio::null()))?;
        Ok(queue)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.queuectl);
        command.args(arguments).env("QUEUECTL_DB", &self.database).stdin(Stdio::null());
        command
    }

    /// Runs to success, and says nothing.
    pub fn does(&self, arguments: &[&str]) -> Result<(), Fault> {
        succeed(self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Enqueues lines of JSON, all at once.
    pub fn enqueue(&self, lines: impl Iterator<Item = String>) -> Result<(), Fault> {
        let input = self.database.with_extension("jsonl");
        write_lines(&input, lines)?;
        let mut command = self.command(&["enqueue", "-"]);
        succeed(command.stdin(File::open(&input)?).stdout(Stdio::null()).stderr(Stdio::null()))?;
        fs::remove_file(&input)?;
        Ok(())
    }

    /// A worker that runs until it is stopped, and is ready.
    pub fn worker(&self, arguments: &[&str]) -> Result<Worker, Fault> {
        let log = self.database.with_extension("log");
        let mut command = self.command(&["worker", "start"]);
        command.args(arguments).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut worker = Worker { child: command.spawn()? };
        let begin = now();
        while !fs::read_to_string(&log)?.contains(" started: ") {
            if worker.child.try_wait()?.is_some() || begin.elapsed() > START_MAX {
                return Err(format!("the worker did not start: {}", fs::read_to_string(&log)?).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(worker)
    }

    pub fn ran(&self) -> Result<Ran, Fault> {
        let connection = Connection::open(&self.database)?;
        let (attempts, first): (i64, i64) = connection.query_row(
            "SELECT count(*), min(started_at) FROM attempt WHERE outcome = 'exited' AND exit_number = 0",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let last: i64 = connection.query_row("SELECT max(updated_at) FROM job", [], |row| row.get(0))?;
        let outputs =
            connection
                .query_row("SELECT count(*) FROM output WHERE stream = 'stdout'", [], |row| row.get(0))?;
        Ok(Ran { attempts, outputs, seconds: (last - first).max(1) as f64 / 1e3 })
    }
}

/// A running worker; ended with whatever runs, if it was not stopped.
pub struct Worker {
    child: Child,
}

impl Worker {
    /// Stops it, and waits until it is gone.
    pub fn stop(mut self) -> Result<(), Fault> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the worker ended with {status}").into()) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

pub fn write_lines(path: &Path, lines: impl Iterator<Item = String>) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(())
}

pub fn succeed(command: &mut Command) -> Result<(), Fault> {
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} ended with {status}", command.get_program().display()).into())
}
