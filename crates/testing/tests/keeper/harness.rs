//! A keeper process, spoken to over its socket as a worker does.

use queuectl_exec::protocol::{
    Body, Captured, ClaimKey, Event, ExitRecord, Leftovers, OnCrash, PROTOCOL_VERSION, Request, Start,
};
use queuectl_exec::wire::{FrameDecoder, encode};
use queuectl_exec::{LaunchOptions, Launched, launch, now_boot_ms, rundir};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on the slowest machine; only a bug lets it pass.
const PATIENCE: Duration = Duration::from_secs(60);
pub const ID: &str = "k1";
pub const RUDE_CHILD: &str = env!("CARGO_BIN_EXE_rude-child");

/// One connection to a keeper.
pub struct Line {
    stream: UnixStream,
    decoder: FrameDecoder,
    events: VecDeque<Event>,
}

impl Line {
    pub fn new(stream: UnixStream) -> Line {
        let mut line = Line::silent(stream);
        line.send(&Request::Hello { version: PROTOCOL_VERSION });
        assert!(matches!(line.next(), Some(Event::Hello { version: PROTOCOL_VERSION, .. })));
        line
    }

    fn silent(stream: UnixStream) -> Line {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line { stream, decoder: FrameDecoder::new(), events: VecDeque::new() }
    }

    pub fn send(&mut self, request: &Request) {
        self.stream.write_all(&encode(request).unwrap()).unwrap();
    }

    /// The next event in order; `None` once the keeper has hung up.
    pub fn next(&mut self) -> Option<Event> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            while let Some(event) = self.decoder.pop().unwrap() {
                self.events.push_back(event);
            }
            if self.events.is_empty() {
                match self.stream.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(len) => self.decoder.push(&buffer[..len]),
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                    Err(error) => panic!("the keeper says nothing: {error}"),
                }
            }
        }
    }

    /// Waits for an event and leaves those before it for later.
    pub fn wait_for<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut passed = VecDeque::new();
        loop {
            let event = self.next().expect("the keeper has hung up");
            if let Some(found) = pick(&event) {
                passed.append(&mut self.events);
                self.events = passed;
                return found;
            }
            passed.push_back(event);
        }
    }
}

/// A keeper in a directory of its own. When dropped, it and its trees are ended.
pub struct Kept {
    dir: TempDir,
    line: Option<Line>,
    child: Child,
    incarnation: u64,
}

impl Kept {
    /// It ends its trees when its worker is gone.
    pub fn new() -> Kept {
        Kept::with(OnCrash::Kill)
    }

    pub fn with(on_crash: OnCrash) -> Kept {
        Kept::by(Path::new(env!("CARGO_BIN_EXE_bare-keeper")), on_crash)
    }

    /// A keeper that this program becomes.
    pub fn by(program: &Path, on_crash: OnCrash) -> Kept {
        let dir = tempfile::tempdir().unwrap();
        rundir::create_run_dir(&dir.path().join("run")).unwrap();
        let options = LaunchOptions {
            program: program.to_owned(),
            run_dir: dir.path().join("run"),
            out_dir: dir.path().join("out"),
            id: ID.to_owned(),
            umask: 0o027,
            on_crash,
            guard: Some(dir.path().join("guard")),
        };
        std::fs::write(dir.path().join("guard"), "").unwrap();
        let Launched { control, child } = launch(&options).unwrap();
        // No other test's processes may bear the same marks.
        let incarnation = RandomState::new().hash_one(0);
        Kept { dir, line: Some(Line::new(control)), child, incarnation }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn out_dir(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The file without which it does not go on.
    pub fn guard(&self) -> PathBuf {
        self.dir.path().join("guard")
    }

    /// Somebody who asks to be its worker.
    pub fn adopter(&self) -> Line {
        self.adopter_who(OnCrash::Adopt)
    }

    /// Somebody who asks to be its worker, with this in mind for his crash.
    pub fn adopter_who(&self, on_crash: OnCrash) -> Line {
        let mut line = self.follower();
        line.send(&Request::Adopt { on_crash });
        line
    }

    /// Somebody who says that this is his version, and what he is told.
    pub fn greeted_with(&self, version: u16) -> (Option<Event>, Line) {
        let mut line = Line::silent(rundir::connect(&self.run_dir(), ID).unwrap());
        line.send(&Request::Hello { version });
        (line.next(), line)
    }

    /// From now on this is its worker.
    pub fn take_line(&mut self, line: Line) {
        self.line = Some(line);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn claim(&self, number: u64) -> ClaimKey {
        ClaimKey { incarnation: self.incarnation, number }
    }

    pub fn line(&mut self) -> &mut Line {
        self.line.as_mut().expect("the worker is here")
    }

    pub fn order(&self, number: u64, argv: &[&str]) -> Start {
        Start {
            claim: self.claim(number),
            argv: argv.iter().collect(),
            env: ["PATH=/usr/local/bin:/usr/bin:/bin"].into_iter().collect(),
            dir: self.dir.path().as_os_str().as_encoded_bytes().to_vec(),
            stdin: None,
            timeout_ms: None,
            kill_grace_ms: 60_000,
            output_max: 16 * 1024 * 1024,
            leftovers: Leftovers::Kill,
        }
    }

    pub fn shell(&self, number: u64, line: &str) -> Start {
        self.order(number, &["/bin/sh", "-c", line])
    }

    pub fn rude(&self, number: u64, how: &[&str]) -> Start {
        self.order(number, &[&[RUDE_CHILD], how].concat())
    }

    pub fn start(&mut self, start: Start) -> ClaimKey {
        let claim = start.claim;
        self.line().send(&Request::Start(Box::new(start)));
        claim
    }

    /// Waits until it runs, and gives its pid.
    pub fn started(&mut self, claim: ClaimKey) -> u32 {
        self.line().wait_for(|event| match event {
            Event::Started { claim: of, pid, .. } if *of == claim => Some(*pid),
            _ => None,
        })
    }

    pub fn exited(&mut self, claim: ClaimKey) -> ExitRecord {
        self.line().wait_for(|event| match event {
            Event::Exited(record) if record.claim == claim => Some(ExitRecord::clone(record)),
            _ => None,
        })
    }

    pub fn run(&mut self, start: Start) -> ExitRecord {
        let claim = self.start(start);
        self.exited(claim)
    }

    /// Waits until the attempt has printed this.
    pub fn has_printed(&mut self, claim: ClaimKey, text: &str) {
        let mut follower = self.follower();
        follower.send(&Request::Follow { claim, stdout_from: 0, stderr_from: 0 });
        let mut printed = Vec::new();
        while !String::from_utf8_lossy(&printed).contains(text) {
            match follower.next() {
                Some(Event::Chunk { bytes, .. }) => printed.extend(bytes),
                other => panic!("{other:?} instead of `{text}`"),
            }
        }
    }

    pub fn follower(&self) -> Line {
        Line::new(rundir::connect(&self.run_dir(), ID).unwrap())
    }

    /// The worker dies without a word.
    pub fn lose_worker(&mut self) {
        self.line = None;
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the keeper has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the keeper ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.expect("it has ended")
    }

    pub fn body(&self, captured: &Captured) -> Vec<u8> {
        match &captured.body {
            Body::Inline(bytes) => bytes.clone(),
            Body::File { name, len } => {
                let bytes = std::fs::read(self.out_dir().join(name)).unwrap();
                assert_eq!(bytes.len() as u64, *len);
                bytes
            }
        }
    }

    pub fn text(&self, captured: &Captured) -> String {
        String::from_utf8(self.body(captured)).unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.line = None;
        // Without it no keeper goes on.
        let _ = std::fs::remove_file(self.guard());
        if std::thread::panicking() {
            // It may hang; its direct children die with it.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// For what nothing can signal.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = now_boot_ms() + PATIENCE.as_millis() as u64;
    while !done() {
        assert!(now_boot_ms() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

/// Living processes that bear the mark of a claim.
pub fn marked(claim: ClaimKey) -> Vec<u32> {
    let mark = format!("QUEUECTL_CLAIM={claim}");
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|&pid| is_alive(pid))
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

/// A figure of `/proc/<pid>/status`, in KiB where it has a unit.
pub fn status_of(pid: u32) -> HashMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().trim_end_matches(" kB").to_owned())).collect()
}
