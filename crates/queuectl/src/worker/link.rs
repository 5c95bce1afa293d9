//! The link to the keeper: orders go out, events come in, and its end is noticed.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Child;
use std::task::{Context, Poll, ready};

use queuectl_core::id::JobId;
use queuectl_core::limits::KEEPER_HELLO_MAX;
use queuectl_core::store::Claim;
use queuectl_exec::protocol::{Event, OnCrash, PROTOCOL_VERSION, Request, agreed};
use queuectl_exec::rundir::{self, Kind, connect};
use queuectl_exec::wire::{self, FrameDecoder};
use queuectl_exec::{LaunchOptions, boot_id, is_shortage, launch};
use queuectl_points::point;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tracing::debug;

use super::handlers::{Handlers, Host};
use super::ward::Told;
use crate::error::Error;

/// Events of handlers that wait for the loop.
const EVENTS_MAX: usize = 1024;
const READ_BYTES: usize = 64 * 1024;

/// Starts keepers for one worker.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub program: PathBuf,
    pub run_dir: PathBuf,
    pub out_dir: PathBuf,
    pub umask: u32,
    pub on_crash: OnCrash,
    /// The database, without which a keeper ends what it runs.
    pub guard: Option<PathBuf>,
}

/// A keeper that takes orders.
pub struct Link {
    /// The owner of the claims that it runs.
    pub owner: String,
    line: Line,
    /// Only of a keeper that this worker has started.
    child: Option<Child>,
}

enum Line {
    Keeper(Wire),
    /// Orders are bounded by the worker's slots: each claim is started, stopped and settled once.
    Host {
        orders: mpsc::UnboundedSender<Order>,
        events: mpsc::Receiver<Event>,
    },
}

/// What is said to a [`Host`].
pub enum Order {
    Say(Request),
    /// In place of [`Request::Start`].
    Run(Box<Claim>),
}

/// What runs the jobs of a worker.
#[derive(Clone)]
pub enum Runner {
    /// Processes.
    Keeper(Launcher),
    /// Functions of this one.
    Handlers { handlers: Handlers, run_dir: PathBuf },
}

/// What starting it came to.
pub enum Start {
    Ready(Link),
    /// It died before its first word; another one may live.
    Died,
    /// There was none, for lack of processes, descriptors or memory.
    Short(io::Error),
}

impl Runner {
    /// Starts it.
    pub async fn start(&self, id: String) -> Result<Start, Error> {
        match self {
            Runner::Keeper(launcher) => launcher.launch(id).await,
            Runner::Handlers { handlers, run_dir } => {
                let lock = rundir::lock(run_dir, Kind::Keeper, &id).map_err(|source| Error::File {
                    doing: "make a lock in",
                    path: run_dir.clone(),
                    source,
                })?;
                Ok(Start::Ready(Link::to_host(Host::new(handlers.clone(), lock), id)))
            }
        }
    }

    /// What it runs lives and dies with this process.
    pub fn is_here(&self) -> bool {
        matches!(self, Runner::Handlers { .. })
    }
}

/// The id of a keeper: fresh, and ending in the boot that it belongs to, so that whoever finds its claims after a power
/// cut knows that nothing of it can be running.
pub fn keeper_id(fresh: &JobId) -> String {
    format!("k{fresh}-{}", boot_mark())
}

/// The part of a boot's id that keepers carry.
pub fn boot_mark() -> String {
    boot_id().chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

/// Whether a keeper's id bears the mark of another boot than this one.
pub fn is_of_another_boot(keeper: &str) -> bool {
    let ours = boot_mark();
    keeper.rsplit_once('-').is_some_and(|(_, mark)| mark.len() == ours.len() && mark != ours)
}

impl Launcher {
    /// Starts a keeper and waits for its first word.
    async fn launch(&self, id: String) -> Result<Start, Error> {
        let failed =
            |what: &str, source: io::Error| Error::Keeper { what: what.to_owned(), source: Some(source) };
        let options = LaunchOptions {
            program: self.program.clone(),
            run_dir: self.run_dir.clone(),
            out_dir: self.out_dir.clone(),
            id: id.clone(),
            umask: self.umask,
            on_crash: self.on_crash,
            guard: self.guard.clone(),
        };
        let launched = match launch(&options) {
            Ok(launched) => launched,
            Err(error) if is_shortage(&error) => return Ok(Start::Short(error)),
            Err(error) => return Err(failed("could not be started", error)),
        };
        let mut link = Link::over(launched.control, id, Some(launched.child))
            .map_err(|e| failed("cannot be spoken to", e))?;
        let greeting = tokio::time::timeout(KEEPER_HELLO_MAX, link.greet()).await;
        match greeting.unwrap_or(Greeting::Misunderstood) {
            Greeting::Understood => Ok(Start::Ready(link)),
            Greeting::Gone => {
                // Reaps it.
                tokio::spawn(link.leave());
                Ok(Start::Died)
            }
            Greeting::Misunderstood => Err(failed_hello()),
        }
    }
}

/// A keeper whose worker is gone has become ours.
pub struct Adopted {
    pub link: Link,
    pub told: Told,
}

/// Takes the place of a keeper's lost worker; `None` if it has one, or has ended meanwhile, or cannot be asked now. One that
/// does not answer is waited for: should it ever go on, it is adopted at once. Safe to drop.
pub async fn adopt(run_dir: &Path, id: &str, on_crash: OnCrash) -> io::Result<Option<Adopted>> {
    let mut link = match connect(run_dir, id).and_then(|stream| Link::over(stream, id.to_owned(), None)) {
        Ok(link) => link,
        Err(error) if NOT_NOW.contains(&error.kind()) => return Ok(None),
        Err(error) => return Err(error),
    };
    if link.greet().await != Greeting::Understood {
        return Ok(None);
    }
    link.send(Request::Adopt { on_crash });
    let mut ended = Vec::new();
    loop {
        match link.next().await {
            Some(Event::Exited(record)) => ended.push(*record),
            Some(Event::Adopted { running, lost }) => {
                return Ok(Some(Adopted { link, told: Told { running, lost, ended } }));
            }
            #[cfg(queuectl_next)]
            Some(Event::Mood { .. }) => {}
            _ => return Ok(None),
        }
    }
}

/// It has ended, or too many wait for its answer already.
const NOT_NOW: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::WouldBlock];

/// What came of the first words.
#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    Understood,
    /// A version that we do not speak.
    Misunderstood,
    /// The other side has ended.
    Gone,
}

fn failed_hello() -> Error {
    Error::Keeper { what: "does not answer as it should".to_owned(), source: None }
}

impl Link {
    fn over(stream: std::os::unix::net::UnixStream, owner: String, child: Option<Child>) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        let line = Line::Keeper(Wire::new(UnixStream::from_std(stream)?));
        Ok(Link { owner, line, child })
    }

    /// To what runs in this process.
    fn to_host(host: Host, owner: String) -> Link {
        let (orders, taken) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(host.serve(taken, heard));
        Link { owner, line: Line::Host { orders, events }, child: None }
    }

    /// Exchanges the first words.
    async fn greet(&mut self) -> Greeting {
        self.send(Request::Hello { version: PROTOCOL_VERSION });
        match self.next().await {
            Some(Event::Hello { version, .. }) if agreed(version).is_some() => Greeting::Understood,
            // A keeper that is too old, or finds us so, is left to end what it runs; its spool tells the rest.
            Some(_) => Greeting::Misunderstood,
            None => Greeting::Gone,
        }
    }

    /// Queues an order. It is written while [`Link::next`] is waited for, which also says if the keeper is gone.
    pub fn send(&mut self, order: Request) {
        match &mut self.line {
            Line::Keeper(wire) => wire.say(&order),
            Line::Host { orders, .. } => drop(orders.send(Order::Say(order))),
        }
    }

    /// Writes now what can be, for who does not wait for the next event at once.
    pub fn flush(&mut self) {
        if let Line::Keeper(wire) = &mut self.line
            && !wire.unsent.is_empty()
            && let Ok(len) = wire.socket.try_write(&wire.unsent)
        {
            wire.unsent.drain(..len);
        }
    }

    /// Has a handler run this. A keeper takes requests only.
    pub fn run(&self, claim: Claim) {
        if let Line::Host { orders, .. } = &self.line {
            let _ = orders.send(Order::Run(Box::new(claim)));
        }
    }

    /// The next event; `None` once the keeper is gone. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        match &mut self.line {
            Line::Keeper(wire) => wire.next().await,
            Line::Host { events, .. } => events.recv().await,
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        match &mut self.line {
            Line::Keeper(wire) => wire.heard(),
            Line::Host { events, .. } => events.try_recv().ok(),
        }
    }

    /// Parts from a keeper without attempts, or from a dead one, and reaps it.
    pub async fn leave(mut self) {
        self.send(Request::Leave);
        while self.next().await.is_some() {}
        let Link { line, child, .. } = self;
        // Before it is waited for: one that was not understood may not have been told.
        drop(line);
        let Some(mut child) = child else { return };
        let reaped = tokio::task::spawn_blocking(move || child.wait()).await;
        debug!(?reaped, "the keeper has ended");
    }

    /// Parts from a keeper whose attempts run on, for the next worker to adopt. Returns once it knows.
    pub async fn hand_over(mut self) {
        point!("handover.before");
        self.send(Request::HandOver);
        // It drops the connection of whoever has handed over.
        while self.next().await.is_some() {}
        point!("handover.after");
    }
}

/// Both ends of a socket to a keeper, without a task of its own: what is to be said goes out, and what was said is read,
/// when the next event is asked for.
struct Wire {
    socket: UnixStream,
    /// Orders that are not written yet.
    unsent: Vec<u8>,
    decoder: FrameDecoder,
    buffer: Box<[u8]>,
    /// The keeper has broken the protocol, or has closed.
    over: bool,
}

impl Wire {
    fn new(socket: UnixStream) -> Wire {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Wire { socket, unsent: Vec::new(), decoder: FrameDecoder::new(), buffer, over: false }
    }

    fn say(&mut self, request: &Request) {
        match wire::encode(request) {
            Ok(frame) => self.unsent.extend(frame),
            Err(error) => debug!(%error, "an order does not fit a frame"),
        }
    }

    /// The next event that has been read.
    fn heard(&mut self) -> Option<Event> {
        match self.decoder.pop() {
            Ok(Some(event)) => {
                point!("worker.event.heard");
                Some(event)
            }
            Ok(None) => None,
            Err(_) => {
                self.over = true;
                None
            }
        }
    }

    /// Safe to drop and call again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.heard() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            poll_fn(|context| {
                self.poll_write(context);
                self.poll_read(context)
            })
            .await;
        }
    }

    /// Writes what the keeper takes now. One that takes nothing any more may have said something before it went.
    fn poll_write(&mut self, context: &mut Context<'_>) {
        while !self.unsent.is_empty() {
            point!("worker.orders.before");
            match Pin::new(&mut self.socket).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(len)) => drop(self.unsent.drain(..len)),
                Poll::Ready(Err(_)) => {
                    self.unsent.clear();
                    // Should it still be there, it is to know that it hears nothing more.
                    let _ = Pin::new(&mut self.socket).poll_shutdown(context);
                }
                Poll::Pending => return,
            }
            point!("worker.orders.after");
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => self.decoder.push(buffer.filled()),
            _ => self.over = true,
        }
        Poll::Ready(())
    }
}
