//! A scene for the real binary: a directory, a database in it, and workers that end with the scene.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::house;
use crate::procs;

pub struct Scene {
    /// None where somebody else sees to the directory.
    dir: Option<TempDir>,
    place: PathBuf,
    pub database: PathBuf,
    program: PathBuf,
    workers: Vec<Child>,
}

impl Scene {
    pub fn new() -> Result<Scene, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let place = dir.path().canonicalize().map_err(|error| error.to_string())?;
        let mut scene = Scene::in_place(&place, &place.join("queue.db"))?;
        scene.dir = Some(dir);
        Ok(scene)
    }

    /// In a directory that is there, on a database that may lie elsewhere.
    pub fn in_place(place: &Path, database: &Path) -> Result<Scene, String> {
        Ok(Scene {
            dir: None,
            place: place.to_owned(),
            database: database.to_owned(),
            program: house::ordinary()?,
            workers: Vec::new(),
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// The binary on this database, with nothing of the tester's own settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for name in ["QUEUECTL_QUEUE", "QUEUECTL_ID", "QUEUECTL_CLAIM", "RUST_LOG", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("QUEUECTL_DB", &self.database).args(arguments).current_dir(&self.place);
        command.stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn output(&self, arguments: &[&str]) -> Result<Output, String> {
        self.command(arguments).output().map_err(|error| format!("the binary does not run: {error}"))
    }

    /// Runs to the end, must succeed, and gives its standard output.
    pub fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} failed: {}", arguments.join(" "), said.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        serde_json::from_str(&self.run(arguments)?).map_err(|error| error.to_string())
    }

    /// Starts a worker and waits until it is registered; returns its pid.
    pub fn start_worker(&mut self, arguments: &[&str]) -> Result<u32, String> {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.path("worker.log"));
        let mut words = vec!["worker", "start"];
        words.extend(arguments);
        let mut command = self.command(&words);
        command.stdout(Stdio::null()).stderr(log.map_err(|error| error.to_string())?);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let pid = child.id();
        self.workers.push(child);
        let registered = || {
            let list = self.json(&["worker", "list", "--json"]).unwrap_or_default();
            list.as_array().is_some_and(|all| all.iter().any(|worker| worker["pid"] == pid))
        };
        procs::until("the worker is registered", registered)?;
        Ok(pid)
    }

    /// Kills a worker with no chance to say a word.
    pub fn kill_worker(&mut self, pid: u32) -> Result<(), String> {
        let at = self.workers.iter().position(|child| child.id() == pid).ok_or("not one of ours")?;
        let mut child = self.workers.remove(at);
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("worker.log")).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            // In good order, so that nothing it runs is left.
            let _ = self.output(&["worker", "stop", "--force", "--timeout", "5s"]);
        }
        for child in &mut self.workers {
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(self.dir.take());
    }
}
