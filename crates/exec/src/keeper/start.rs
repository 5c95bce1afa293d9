//! Starts an attempt.

use super::attempt::Attempt;
use super::launching::Launching;
use super::poll::{Interest, Token};
use super::program::{could_not_start, no_pipes, plan};
use super::{ATTEMPTS_MAX, Keeper};
use crate::clock::{now_boot_ms, now_boot_ticks};
use crate::output::{Output, captured_nothing};
use crate::procfs::process;
use crate::protocol::{ClaimKey, End, Event, ExitRecord, Start, Stream, Usage};
use crate::spool::{SpoolRecord, StartedRecord};
use crate::unix::{Group, Launch};
use queuectl_core::limits::PIPES_UNWATCHED_MAX;
use queuectl_points::point;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;

/// A process that is to become its program, and our ends of its pipes.
struct Spawned {
    launch: Launch,
    /// Clock ticks from boot to its start; 0 if it was gone too soon to tell.
    start_ticks: u64,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Keeper {
    pub(super) fn start(&mut self, start: Box<Start>) {
        let claim = start.claim;
        let known = self.by_claim.contains_key(&claim) || self.ended.contains_key(&claim);
        if known || self.waiting.contains_key(&claim) {
            // A claim runs once, whatever the worker says.
            return self.log("asked to start again", &io::Error::other(claim.to_string()));
        }
        if let Some(message) = self.reason_to_refuse() {
            return self.refuse(claim, End::CouldNotStart { message, ours: true });
        }
        let cgroup = self.cgroups.take(claim, start.leftovers).unwrap_or_else(|error| {
            // It can be told and ended without one.
            self.log("cannot give an attempt a control group", &error);
            None
        });
        if let Err(error) = self.journal.append(&SpoolRecord::Intent { claim, cgroup }) {
            let message = format!("cannot write the spool: {error}");
            return self.refuse(claim, End::CouldNotStart { message, ours: true });
        }
        self.try_to_start(start, 1);
    }

    /// For the `tries`-th time. The intent is in the spool.
    pub(super) fn try_to_start(&mut self, start: Box<Start>, tries: u32) {
        point!("spawn.before");
        let spawned = self.spawn(&start);
        point!("spawn.after");
        match spawned {
            Ok(spawned) => self.spawned(start, tries, spawned),
            Err(end) => self.refuse(start.claim, end),
        }
    }

    fn reason_to_refuse(&self) -> Option<String> {
        if self.told_to_stop {
            return Some("the keeper is shutting down".to_owned());
        }
        (self.attempts.len() + self.waiting.len() >= ATTEMPTS_MAX)
            .then(|| format!("{ATTEMPTS_MAX} attempts run already"))
    }

    fn spawn(&mut self, start: &Start) -> Result<Spawned, End> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(no_pipes);
        let ((stdout, stdout_theirs), (stderr, stderr_theirs)) = (pipe()?, pipe()?);
        let cgroup = self.cgroups.of(start.claim);
        let plan = plan(start, &self.common, cgroup, stdout_theirs, stderr_theirs)?;
        // Only our ends: a job need not cope with writes that would block.
        for ours in [&stdout, &stderr] {
            rustix::fs::fcntl_setfl(ours, OFlags::NONBLOCK).map_err(no_pipes)?;
        }
        let before = now_boot_ticks();
        let launch = self.spawner.spawn(plan).map_err(|failed| could_not_start(start, failed))?;
        let start_ticks = start_ticks(launch.pid, before, now_boot_ticks());
        Ok(Spawned { launch, start_ticks, stdout, stderr })
    }

    fn spawned(&mut self, start: Box<Start>, tries: u32, spawned: Spawned) {
        let now = now_boot_ms();
        let Spawned { launch, start_ticks, stdout, stderr } = spawned;
        let (claim, pid) = (start.claim, launch.pid);
        let record = SpoolRecord::Started(StartedRecord {
            claim,
            pid,
            start_ticks,
            boot_id: self.boot_id.clone(),
            pid_namespace: self.pid_namespace,
            group: pid,
            session: self.session,
            at_ms: now,
        });
        if let Err(error) = self.journal.note(&record) {
            // The intent is there, and the mark finds its processes.
            self.log("cannot write the spool", &error);
        }
        let serial = self.take_serial();
        let attempt = Attempt {
            claim,
            pid,
            group: Group::led_by(pid),
            start_ticks,
            started_ms: now,
            timeout_at: start.timeout_ms.map(|timeout| now.saturating_add(timeout)),
            kill_grace_ms: start.kill_grace_ms,
            leftovers: start.leftovers,
            stdout: Some(stdout),
            stderr: Some(stderr),
            watch_at: Some(now + PIPES_UNWATCHED_MAX.as_millis() as u64),
            output: Output::new(claim, start.output_max, &self.out_dir),
            launching: Some(Launching { launch, start, tries }),
            ending: None,
            exit: None,
            look: false,
            sweep: super::attempt::Sweep::default(),
        };
        self.by_claim.insert(claim, serial);
        self.by_pid.insert(pid, serial);
        self.attempts.insert(serial, attempt);
    }

    pub(super) fn watch_pipes(&mut self, serial: u64) {
        if let Some(attempt) = self.attempts.get_mut(&serial) {
            attempt.watch_at = None;
        }
        let Some(attempt) = self.attempts.get(&serial).filter(|_| !self.paused) else { return };
        for (stream, pipe) in [(Stream::Stdout, &attempt.stdout), (Stream::Stderr, &attempt.stderr)] {
            let Some(pipe) = pipe else { continue };
            if let Err(error) = self.poll.add(pipe, Token::Pipe(serial, stream), Interest::Read) {
                self.log("cannot watch a pipe", &error);
            }
        }
    }

    /// Nothing ran: that is an outcome like others.
    pub(super) fn refuse(&mut self, claim: ClaimKey, end: End) {
        let record = ExitRecord {
            claim,
            end,
            started_ms: None,
            ended_ms: now_boot_ms(),
            usage: Usage::default(),
            stdout: captured_nothing(),
            stderr: captured_nothing(),
            leftovers_killed: 0,
        };
        self.report(record);
    }

    /// An outcome is in the spool before anybody hears of it: `flush` writes the spool before it sends.
    pub(super) fn report(&mut self, record: ExitRecord) {
        let record = SpoolRecord::Exit(record);
        if let Err(error) = self.journal.note(&record) {
            // The worker can still settle it. If it dies before, the attempt counts as interrupted.
            self.log("cannot write the spool", &error);
        }
        if let SpoolRecord::Exit(record) = record {
            self.cgroups.give_back(record.claim);
            self.tell(&Event::Exited(Box::new(record)));
        }
    }
}

/// When a process started that was made between these two ticks. Within one, `/proc` need not be asked.
fn start_ticks(pid: i32, before: u64, after: u64) -> u64 {
    if before == after {
        return before;
    }
    // It is there until it is reaped, dead or alive.
    process(pid).map_or(0, |process| process.id.start)
}
