//! A stage for tests with real processes: a directory, a database in it, and workers that end with the test.

#![expect(clippy::disallowed_methods, reason = "a test with real processes lives in real time")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// No wait is longer; a wait that is not over by then fails its test.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

pub struct Stage {
    pub dir: tempfile::TempDir,
    pub database: PathBuf,
    workers: Vec<Child>,
}

impl Stage {
    pub fn new() -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("queue.db");
        Stage { dir, database, workers: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary on this stage's database, with nothing of the tester's own settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_by(Path::new(env!("CARGO_BIN_EXE_queuectl")), arguments)
    }

    fn command_by(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QUEUECTL"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        command.env("QUEUECTL_DB", &self.database).args(arguments).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs to the end, which must come: what hangs fails its test, not the whole run.
    pub fn output(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let pid = child.id();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait_with_output()));
        let Ok(output) = told.recv_timeout(PATIENCE) else {
            signal(pid, KILL);
            panic!("not within {PATIENCE:?}: the end of {arguments:?}");
        };
        output.expect("our child")
    }

    /// Runs to the end, must succeed, and gives its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Enqueues a shell line under an id.
    pub fn enqueue(&self, id: &str, line: &str) {
        self.run(&["enqueue", "--id", id, "-c", line]);
    }

    pub fn job(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.run(&["show", id, "--json"])).expect("JSON")
    }

    pub fn state(&self, id: &str) -> String {
        self.job(id)["state"].as_str().expect("a state").to_owned()
    }

    /// Starts a worker and waits until it is registered; returns its pid.
    pub fn start_worker(&mut self, arguments: &[&str]) -> u32 {
        self.start_worker_by(Path::new(env!("CARGO_BIN_EXE_queuectl")), arguments)
    }

    /// The same, by a program that becomes the binary.
    pub fn start_worker_by(&mut self, program: &Path, arguments: &[&str]) -> u32 {
        let log =
            fs::OpenOptions::new().append(true).create(true).open(self.path("worker.log")).expect("a log");
        let mut words = vec!["worker", "start"];
        words.extend(arguments);
        let child = self.command_by(program, &words).stderr(log).spawn().expect("a worker");
        let pid = child.id();
        self.workers.push(child);
        until("the worker is registered", || self.worker_pids().contains(&pid) || has_ended(pid));
        pid
    }

    pub fn is_frozen(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
    }

    pub fn worker_pids(&self) -> Vec<u32> {
        let list: serde_json::Value =
            serde_json::from_str(&self.run(&["worker", "list", "--json"])).expect("JSON");
        let pids = list.as_array().expect("an array").iter();
        pids.map(|worker| worker["pid"].as_u64().expect("a pid") as u32).collect()
    }

    /// Waits for a worker's end and tells its exit code; `None` if a signal ended it.
    pub fn await_worker(&mut self, pid: u32) -> Option<i32> {
        let at = self.workers.iter().position(|child| child.id() == pid).expect("one of ours");
        let mut child = self.workers.remove(at);
        let mut code = None;
        until("the worker ends", || {
            code = child.try_wait().expect("our child");
            code.is_some()
        });
        code.and_then(|status| status.code())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("worker.log")).unwrap_or_default()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    pub fn until_state(&self, id: &str, state: &str) {
        until(&format!("job {id} is {state}"), || self.state(id) == state);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.workers {
            // What it runs ends with the database, which is about to go.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- the workers' log ---\n{}", self.log());
        }
    }
}

pub fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(LOOK);
    }
}

pub fn signal(pid: u32, signal: i32) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot signal {pid}");
}

/// Whether a process ("self" for the tests' own) has a signal in a set of its status, such as `SigCgt`.
pub fn has_signal(process: &str, set: &str, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let mask =
        status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':')).expect("a set of signals");
    u64::from_str_radix(mask.trim(), 16).expect("a mask") & (1 << (signal - 1)) != 0
}

pub const HUP: i32 = 1;
pub const INT: i32 = 2;
pub const KILL: i32 = 9;
pub const TERM: i32 = 15;
pub const STOP: i32 = 19;
pub const CONT: i32 = 18;

/// The keeper of a worker: its child that was started as one.
pub fn keeper_of(worker: u32) -> u32 {
    let mut found = None;
    until("the worker has a keeper", || {
        found = pids().into_iter().find(|pid| parent(*pid) == Some(worker) && words(*pid).contains("keeper"));
        found.is_some()
    });
    found.expect("just found")
}

fn words(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .unwrap_or_default()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The children of all its threads.
pub fn children(of: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let all: String = threads
        .map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default())
        .collect();
    all.split_ascii_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

pub fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Living processes whose environment names this path: what is left of a stage's jobs.
pub fn processes_of(path: &Path) -> Vec<u32> {
    let name = path.to_string_lossy().into_owned();
    let marked = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&format!("QUEUECTL_DB={name}")))
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("QUEUECTL_CLAIM="))
    };
    pids().into_iter().filter(marked).collect()
}

/// Runs what is to be refused: the code, one message for people, and nothing that passes for data.
pub fn refused(stage: &Stage, arguments: &[&str], code: i32, says: &str) {
    let output = stage.output(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("Error:") && stderr.contains(says), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}: nothing but data on standard output");
}
