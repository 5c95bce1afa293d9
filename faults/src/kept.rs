//! A keeper of the real binary, spoken to as a worker does, without a worker or a store.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;

use queuectl_exec::protocol::{
    ClaimKey, Event, ExitRecord, Leftovers, OnCrash, PROTOCOL_VERSION, Request, Start,
};
use queuectl_exec::wire::{FrameDecoder, encode};
use queuectl_exec::{LaunchOptions, Launched, launch, rundir};
use tempfile::TempDir;

use crate::house;
use crate::procs::{self, PATIENCE};

pub const ID: &str = "k1";

/// One connection to a keeper.
pub struct Line {
    stream: UnixStream,
    decoder: FrameDecoder,
    events: VecDeque<Event>,
}

impl Line {
    pub fn new(stream: UnixStream) -> Result<Line, String> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let mut line = Line { stream, decoder: FrameDecoder::new(), events: VecDeque::new() };
        line.send(&Request::Hello { version: PROTOCOL_VERSION })?;
        match line.next()? {
            Event::Hello { .. } => Ok(line),
            other => Err(format!("the keeper begins with {other:?}")),
        }
    }

    pub fn send(&mut self, request: &Request) -> Result<(), String> {
        let frame = encode(request).map_err(|error| error.to_string())?;
        self.stream.write_all(&frame).map_err(|error| format!("the keeper does not listen: {error}"))
    }

    fn next(&mut self) -> Result<Event, String> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            while let Some(event) = self.decoder.pop().map_err(|error| error.to_string())? {
                self.events.push_back(event);
            }
            if self.events.is_empty() {
                match self.stream.read(&mut buffer) {
                    Ok(0) => return Err("the keeper has hung up".to_owned()),
                    Ok(length) => self.decoder.push(&buffer[..length]),
                    Err(error) => return Err(format!("the keeper says nothing: {error}")),
                }
            }
        }
    }

    /// Waits for an event and leaves those before it for later.
    pub fn wait_for<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> Result<T, String> {
        let mut passed = VecDeque::new();
        loop {
            let event = self.next()?;
            if let Some(found) = pick(&event) {
                passed.append(&mut self.events);
                self.events = passed;
                return Ok(found);
            }
            passed.push_back(event);
        }
    }
}

/// A keeper in a directory of its own. When dropped, it and its trees are ended.
pub struct Kept {
    dir: TempDir,
    /// By no link.
    place: PathBuf,
    line: Option<Line>,
    child: Child,
    incarnation: u64,
}

impl Kept {
    /// `mark` tells the processes of this keeper's attempts from those of others.
    pub fn new(on_crash: OnCrash, mark: u64) -> Result<Kept, String> {
        let told = |error: std::io::Error| format!("a keeper cannot be started: {error}");
        let dir = tempfile::tempdir().map_err(told)?;
        let place = dir.path().canonicalize().map_err(told)?;
        rundir::create_run_dir(&place.join("run")).map_err(told)?;
        std::fs::create_dir(place.join("jobs")).map_err(told)?;
        std::fs::write(place.join("guard"), "").map_err(told)?;
        let options = LaunchOptions {
            program: house::ordinary()?,
            run_dir: place.join("run"),
            out_dir: place.join("out"),
            id: ID.to_owned(),
            umask: 0o027,
            on_crash,
            guard: Some(place.join("guard")),
        };
        let Launched { control, child } = launch(&options).map_err(told)?;
        let incarnation = mark ^ u64::from(std::process::id()).rotate_left(40);
        Ok(Kept { dir, place, line: Some(Line::new(control)?), child, incarnation })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn run_dir(&self) -> PathBuf {
        self.place.join("run")
    }

    /// Where its attempts work.
    pub fn jobs_dir(&self) -> PathBuf {
        self.place.join("jobs")
    }

    pub fn line(&mut self) -> Result<&mut Line, String> {
        self.line.as_mut().ok_or_else(|| "the worker has gone".to_owned())
    }

    pub fn order(&self, number: u64, argv: &[&str]) -> Start {
        Start {
            claim: ClaimKey { incarnation: self.incarnation, number },
            argv: argv.iter().collect(),
            env: ["PATH=/usr/local/bin:/usr/bin:/bin"].into_iter().collect(),
            dir: self.jobs_dir().as_os_str().as_encoded_bytes().to_vec(),
            stdin: None,
            timeout_ms: None,
            kill_grace_ms: 100,
            output_max: 1024 * 1024,
            leftovers: Leftovers::Kill,
        }
    }

    pub fn start(&mut self, start: Start) -> Result<ClaimKey, String> {
        let claim = start.claim;
        self.line()?.send(&Request::Start(Box::new(start)))?;
        Ok(claim)
    }

    /// Waits until it runs, and gives its pid.
    pub fn started(&mut self, claim: ClaimKey) -> Result<u32, String> {
        self.line()?.wait_for(|event| match event {
            Event::Started { claim: of, pid, .. } if *of == claim => Some(*pid),
            _ => None,
        })
    }

    pub fn exited(&mut self, claim: ClaimKey) -> Result<ExitRecord, String> {
        self.line()?.wait_for(|event| match event {
            Event::Exited(record) if record.claim == claim => Some(ExitRecord::clone(record)),
            _ => None,
        })
    }

    /// What is in a file that an attempt writes, once a whole line is.
    pub fn written(&self, name: &str) -> Result<String, String> {
        let path: &Path = &self.jobs_dir().join(name);
        let mut text = String::new();
        procs::until(&format!("{name} is written"), || {
            text = std::fs::read_to_string(path).unwrap_or_default();
            text.ends_with('\n')
        })?;
        Ok(text.trim().to_owned())
    }

    /// Somebody takes the place of the worker.
    pub fn be_adopted(&mut self) -> Result<(), String> {
        let stream = rundir::connect(&self.run_dir(), ID).map_err(|error| error.to_string())?;
        let mut line = Line::new(stream)?;
        line.send(&Request::Adopt { on_crash: OnCrash::Adopt })?;
        line.wait_for(|event| matches!(event, Event::Adopted { .. }).then_some(()))?;
        self.line = Some(line);
        Ok(())
    }

    /// The worker dies without a word.
    pub fn lose_worker(&mut self) {
        self.line = None;
    }

    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended by itself.
    pub fn await_end(&mut self) -> Result<(), String> {
        let child = &mut self.child;
        procs::until("the keeper ends", || !matches!(child.try_wait(), Ok(None))).map(drop)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.line = None;
        // Without it no keeper goes on.
        let _ = std::fs::remove_file(self.place.join("guard"));
        let child = &mut self.child;
        if procs::until("the keeper ends", || !matches!(child.try_wait(), Ok(None))).is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for left in procs::living_in(self.dir.path()) {
            procs::signal(left.pid, rustix::process::Signal::KILL);
        }
    }
}
