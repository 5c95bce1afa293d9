//! The keeper: the small process beside each worker that owns its children.
//!
//! One thread does everything: it waits for the worker's requests, followers, pipes, signals, deadlines, and starts
//! processes. It is not the first one of the process, to which the kernel gives orphans, so that those are told from the
//! children that were started (see `unix`). Each fact is in the spool before the step that relies on it; what one turn has come to
//! is written with one call before anything of it is told, and an intent before its process is made:
//!
//! ```text
//! Start -> intent -> spawn -> started -> Started ... output ... -> exit -> Exited -> Settled -> forgotten
//! ```
//!
//! An attempt ends when its process does, never when its pipes do. If the worker dies without a word, all trees are
//! killed at once and the spool stays for whoever takes the lock.

mod attempt;
mod cgroups;
mod ending;
mod follow;
mod journal;
mod launching;
mod orphan;
mod peer;
mod pipes;
mod poll;
mod program;
mod requests;
mod start;
mod text_busy;
mod tree;

use crate::clock::now_boot_ms;
use crate::estate::remove_if_there;
use crate::machine::{boot_id, pid_namespace};
use crate::output::{Output, OutputDir};
use crate::protocol::{ClaimKey, OnCrash};
use crate::rundir::{self, HeldLock, Kind};
use crate::unix::{
    FileLimit, Orphans, SignalReader, Spawner, forget_start_up, on_main_thread, reset_dispositions,
    take_stdin,
};
use attempt::Attempt;
use cgroups::Cgroups;
use journal::Journal;
use peer::Peer;
use poll::{Interest, Poll, Token};
use program::Common;
use queuectl_core::limits::{KEEPER_TURN_MAX, PIPE_FLOOD_BYTES, PREFETCH_MAX, SLOTS_MAX};
use queuectl_points::point;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use text_busy::Waiting;
use tree::Unmarked;

/// The serial number of the connection to the worker that started this keeper.
const FIRST_WORKER: u64 = 0;

/// Attempts that run at once, at most.
const ATTEMPTS_MAX: usize = SLOTS_MAX + PREFETCH_MAX;

/// What a keeper is told at its start.
#[derive(Debug, Clone)]
pub struct KeeperOptions {
    pub run_dir: PathBuf,
    pub out_dir: PathBuf,
    /// Names it in the run directory.
    pub id: String,
    /// Of the jobs.
    pub umask: u32,
    pub on_crash: OnCrash,
    /// A file without which nothing that runs here is of use any more: the database.
    pub guard: Option<PathBuf>,
}

/// Runs a keeper until its work is done. Descriptor 0 is the socket to its worker.
///
/// Changes the whole process (signals, umask, session), so it must be the process's only purpose, and must be called on
/// its first thread: the kernel gives orphans to that one.
pub fn run(options: KeeperOptions) -> io::Result<()> {
    if !on_main_thread() {
        return Err(io::Error::other("a keeper runs on the first thread of its process"));
    }
    reset_dispositions();
    let signals = SignalReader::new()?;
    let control = take_stdin()?;
    // Fails if `launch` has done it already, which is just as well.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let work =
        std::thread::Builder::new().name("keeper".to_owned()).spawn(|| keep(options, control, signals))?;
    // Nothing is left to be done here but to be there.
    work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn keep(options: KeeperOptions, control: OwnedFd, signals: SignalReader) -> io::Result<()> {
    let lock = rundir::lock(&options.run_dir, Kind::Keeper, &options.id)?;
    let mut keeper = Keeper::new(options, control, signals)?;
    keeper.find_cgroups();
    point!("keeper.ready");
    forget_start_up();
    while !keeper.is_done() {
        keeper.turn()?;
        keeper.look_after_itself(&lock);
    }
    keeper.leave(lock)
}

/// The worker, as far as its keeper knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    Here,
    /// It has said good-bye.
    Leaving,
    /// It is gone without a word, or has handed over.
    Lost,
}

struct Keeper {
    options: KeeperOptions,
    common: Common,
    out_dir: Rc<OutputDir>,
    boot_id: String,
    pid_namespace: u64,
    session: i32,
    poll: Poll,
    signals: SignalReader,
    listener: UnixListener,
    /// When to accept connections again, after descriptors had run out.
    listen_again_at: Option<u64>,
    spawner: Spawner,
    orphans: Orphans,
    journal: Journal,
    worker: Worker,
    /// The worker's connection.
    control: u64,
    /// Which file the guard was in the beginning.
    guarded: Option<(u64, u64)>,
    /// At the last look the guard or the lock was not where it should be.
    missing: bool,
    /// When to look again whether this keeper is still known to anybody.
    guard_at: u64,
    /// By TERM, HUP or INT: the machine goes down, or somebody wants this keeper to end. It ends when its worker says.
    told_to_stop: bool,
    peers: HashMap<u64, Peer>,
    attempts: BTreeMap<u64, Attempt>,
    by_claim: HashMap<ClaimKey, u64>,
    by_pid: HashMap<i32, u64>,
    cgroups: Cgroups,
    /// Not started yet, because their programs are being written.
    waiting: BTreeMap<ClaimKey, Waiting>,
    /// Of peers and attempts; never used twice.
    next_serial: u64,
    /// Output of attempts that have ended, to be followed.
    ended: HashMap<ClaimKey, Output>,
    /// Those of them that are settled, the oldest first.
    settled: VecDeque<ClaimKey>,
    /// Pipes that kept leftovers may still write to; what comes is thrown away.
    unread: BTreeMap<(u64, u8), OwnedFd>,
    /// What a process without a mark may be.
    unmarked: Unmarked,
    /// Pipes are not read because the worker does not read.
    paused: bool,
    /// There is more to do at once.
    busy: bool,
    buffer: Vec<u8>,
}

impl Keeper {
    fn new(options: KeeperOptions, control: OwnedFd, signals: SignalReader) -> io::Result<Keeper> {
        let poll = Poll::new()?;
        let guarded = options.guard.as_deref().and_then(orphan::identity);
        let listener = rundir::listen(&options.run_dir, &options.id)?;
        poll.add(&signals, Token::Signals, Interest::Read)?;
        poll.add(&listener, Token::Listener, Interest::Read)?;
        let control = Peer::new(control, Token::Peer(FIRST_WORKER), &poll)?;
        let common = Common {
            null: Arc::new(File::open("/dev/null")?.into()),
            umask: options.umask,
            files: raise_file_limit(),
        };
        Ok(Keeper {
            journal: Journal::create(&options.run_dir, &options.id)?,
            out_dir: Rc::new(OutputDir::new(options.out_dir.clone())),
            options,
            common,
            boot_id: boot_id(),
            pid_namespace: pid_namespace()?,
            session: rustix::process::getsid(None)?.as_raw_nonzero().get(),
            poll,
            signals,
            listener,
            listen_again_at: None,
            spawner: Spawner::default(),
            orphans: Orphans::of_first_thread(),
            worker: Worker::Here,
            control: FIRST_WORKER,
            guarded,
            missing: false,
            guard_at: 0,
            told_to_stop: false,
            peers: HashMap::from([(FIRST_WORKER, control)]),
            attempts: BTreeMap::new(),
            by_claim: HashMap::new(),
            by_pid: HashMap::new(),
            cgroups: Cgroups::default(),
            waiting: BTreeMap::new(),
            next_serial: FIRST_WORKER + 1,
            ended: HashMap::new(),
            settled: VecDeque::new(),
            unread: BTreeMap::new(),
            unmarked: Unmarked::Ours,
            paused: false,
            busy: false,
            // Resident as far as it was ever filled.
            buffer: vec![0; PIPE_FLOOD_BYTES],
        })
    }

    fn find_cgroups(&mut self) {
        match Cgroups::find(&self.options.id) {
            Ok(found) => self.cgroups = found,
            // All works without them.
            Err(error) => self.log("cannot use its control group", &error),
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        let ready = self.poll.wait(self.timeout_ms())?;
        self.busy = false;
        let mut children = false;
        for event in ready {
            match event.token {
                Token::Signals => {
                    let told = self.signals.take();
                    children |= told.child;
                    self.told_to_stop |= told.stop;
                }
                Token::Listener => self.accept(),
                Token::Peer(serial) if event.readable => self.hear(serial),
                // Writable: it is flushed below.
                Token::Peer(_) => {}
                Token::Pipe(serial, stream) => self.read_pipe(serial, stream),
            }
        }
        if children {
            self.reap();
        }
        self.advance(children);
        self.start_waiting();
        self.feed_followers();
        self.flush();
        Ok(())
    }

    fn timeout_ms(&self) -> Option<u64> {
        if self.busy {
            return Some(0);
        }
        let deadlines = self.attempts.values().filter_map(Attempt::deadline);
        let guard_at = self.has_work().then_some(self.guard_at);
        let waiting = self.waiting.values().map(|waiting| waiting.at);
        let later = self.peers.values().filter_map(Peer::deadline);
        let next = deadlines.chain(self.listen_again_at).chain(guard_at).chain(waiting).chain(later).min()?;
        // The kernel's timer stops while the machine sleeps, the clock does not.
        Some(next.saturating_sub(now_boot_ms()).min(KEEPER_TURN_MAX.as_millis() as u64))
    }

    fn is_done(&self) -> bool {
        let told_all = self.peers.get(&self.control).is_none_or(|control| control.backlog() == 0);
        // Told to stop, it can be of no more use: its worker starts another, or stops as well.
        (self.worker != Worker::Here || self.told_to_stop) && !self.has_work() && told_all
    }

    /// Leaves nothing behind, except what somebody has yet to settle.
    fn leave(mut self, lock: HeldLock) -> io::Result<()> {
        self.write_spool();
        remove_if_there(&self.options.run_dir.join(rundir::socket_name(&self.options.id)))?;
        rundir::unmark_orphan(&self.options.run_dir, &self.options.id)?;
        point!("keeper.leave.socket");
        self.cgroups.leave();
        if self.journal.is_empty() {
            self.journal.remove()?;
            point!("keeper.leave.spool");
            lock.remove()?;
        }
        Ok(())
    }

    fn take_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial - 1
    }

    /// For a person: the keeper's standard error is the worker's.
    fn log(&self, what: &str, error: &io::Error) {
        let _ = writeln!(io::stderr(), "keeper {}: {what}: {error}", self.options.id);
    }
}

/// Takes as many descriptors as there may be. Returns what the jobs are to have instead.
fn raise_file_limit() -> Option<FileLimit> {
    let before = rustix::process::getrlimit(Resource::Nofile);
    let (soft, hard) = (before.current?, before.maximum?);
    let all = Rlimit { current: Some(hard), maximum: Some(hard) };
    rustix::process::setrlimit(Resource::Nofile, all).ok()?;
    Some(FileLimit { soft, hard })
}
