//! The link to the keeper: orders go out, events come in, and its end is noticed.

use std::io;
use std::path::PathBuf;
use std::process::Child;

use queuectl_core::id::JobId;
use queuectl_core::limits::KEEPER_HELLO_MAX;
use queuectl_exec::protocol::{Event, PROTOCOL_VERSION, Request};
use queuectl_exec::wire::{self, FrameDecoder};
use queuectl_exec::{LaunchOptions, boot_id, launch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tracing::debug;

use crate::error::Error;

/// Events that wait for the loop.
const EVENTS_MAX: usize = 1024;
const READ_BYTES: usize = 64 * 1024;

/// Starts keepers for one worker.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub program: PathBuf,
    pub run_dir: PathBuf,
    pub out_dir: PathBuf,
    pub umask: u32,
}

/// A keeper that takes orders.
pub struct Link {
    /// The owner of the claims that it runs.
    pub owner: String,
    /// Bounded by the worker's slots: each claim is started, stopped and settled once.
    orders: mpsc::UnboundedSender<Request>,
    events: mpsc::Receiver<Event>,
    child: Child,
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

impl Launcher {
    /// Starts a keeper and waits for its first word.
    pub async fn launch(&self, id: String) -> Result<Link, Error> {
        let failed =
            |what: &str, source: io::Error| Error::Keeper { what: what.to_owned(), source: Some(source) };
        let options = LaunchOptions {
            program: self.program.clone(),
            run_dir: self.run_dir.clone(),
            out_dir: self.out_dir.clone(),
            id: id.clone(),
            umask: self.umask,
        };
        let launched = launch(&options).map_err(|e| failed("could not be started", e))?;
        let stream = launched
            .control
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(launched.control))
            .map_err(|e| failed("cannot be spoken to", e))?;
        let (read, write) = stream.into_split();
        let (orders, taken) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(send_orders(write, taken));
        tokio::spawn(hear_events(read, heard));
        let mut link = Link { owner: id, orders, events, child: launched.child };
        link.send(Request::Hello { version: PROTOCOL_VERSION });
        match tokio::time::timeout(KEEPER_HELLO_MAX, link.next()).await {
            Ok(Some(Event::Hello { .. })) => Ok(link),
            Ok(_) => Err(Error::Keeper { what: "ended as soon as it was started".to_owned(), source: None }),
            Err(_) => Err(Error::Keeper { what: "does not answer".to_owned(), source: None }),
        }
    }
}

impl Link {
    /// Sends an order; if the keeper is gone, [`Link::next`] says so.
    pub fn send(&self, order: Request) {
        let _ = self.orders.send(order);
    }

    /// The next event; `None` once the keeper is gone. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Parts from a keeper without attempts, or from a dead one, and reaps it.
    pub async fn leave(mut self) {
        self.send(Request::Leave);
        while self.next().await.is_some() {}
        let mut child = self.child;
        let reaped = tokio::task::spawn_blocking(move || child.wait()).await;
        debug!(?reaped, "the keeper has ended");
    }
}

async fn send_orders(mut write: OwnedWriteHalf, mut orders: mpsc::UnboundedReceiver<Request>) {
    while let Some(order) = orders.recv().await {
        let mut bytes = Vec::new();
        let mut next = Some(order);
        while let Some(order) = next {
            match wire::encode(&order) {
                Ok(frame) => bytes.extend(frame),
                Err(error) => debug!(%error, "an order does not fit a frame"),
            }
            next = orders.try_recv().ok();
        }
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn hear_events(mut read: OwnedReadHalf, heard: mpsc::Sender<Event>) {
    let mut decoder = FrameDecoder::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match read.read(&mut buffer).await {
            Ok(length) if length > 0 => decoder.push(&buffer[..length]),
            _ => return,
        }
        loop {
            match decoder.pop::<Event>() {
                Ok(Some(event)) => {
                    if heard.send(event).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
