//! One connection: the worker's, or a follower's.

use super::poll::{Interest, Poll, Token};
use crate::clock::now_boot_ms;
use crate::protocol::{ClaimKey, Event};
use crate::wire::{FrameDecoder, encode};
use queuectl_points::point;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// An attempt that a connection follows, and how far it has got in its streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follow {
    pub claim: ClaimKey,
    pub stdout_next: u64,
    pub stderr_next: u64,
}

pub(super) struct Peer {
    socket: OwnedFd,
    token: Token,
    pub decoder: FrameDecoder,
    pub speaks: Option<u16>,
    pub follows: Vec<Follow>,
    /// There was more to follow than was queued.
    pub hungry: bool,
    outbox: VecDeque<u8>,
    /// All that is queued may wait until then.
    later: Option<u64>,
    interest: Interest,
    /// Too much waits to be written; what it asks for can wait as well.
    pub choked: bool,
}

/// What reading a connection gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes,
    Nothing,
    Closed,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd, token: Token, poll: &Poll) -> io::Result<Peer> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        poll.add(&socket, token, Interest::Read)?;
        Ok(Peer {
            socket,
            token,
            decoder: FrameDecoder::new(),
            speaks: None,
            follows: Vec::new(),
            hungry: false,
            outbox: VecDeque::new(),
            later: None,
            interest: Interest::Read,
            choked: false,
        })
    }

    pub(super) fn close(self, poll: &Poll) {
        poll.close(self.socket);
    }

    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Received {
        match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => Received::Closed,
            Ok((len, _)) => {
                self.decoder.push(&buffer[..len]);
                Received::Bytes
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }

    /// Queues an event; `flush` writes.
    pub(super) fn send(&mut self, event: &Event) {
        self.later = None;
        self.queue(event);
    }

    /// Queues an event that nobody waits for: it goes with the next one, or at this instant.
    pub(super) fn send_later(&mut self, event: &Event, at: u64) {
        if self.outbox.is_empty() {
            self.later = Some(at);
        }
        self.queue(event);
    }

    /// When something is to be written that nothing else will cause to be.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.later
    }

    fn queue(&mut self, event: &Event) {
        // Events are built from bounded parts (inline output, chunks, messages), all far below a frame's bound.
        let frame = encode(event).expect("an event fits a frame");
        self.outbox.extend(frame);
    }

    pub(super) fn backlog(&self) -> usize {
        self.outbox.len()
    }

    /// Writes what the other side takes now. An error means that it is gone.
    pub(super) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        if self.later.is_some_and(|at| at > now_boot_ms()) {
            return Ok(());
        }
        self.later = None;
        while !self.outbox.is_empty() {
            let (bytes, _) = self.outbox.as_slices();
            point!("keeper.send.before");
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(len) => drop(self.outbox.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        point!("keeper.send.after");
        let wanted = match (self.outbox.is_empty(), self.choked) {
            (true, _) => Interest::Read,
            (false, false) => Interest::ReadWrite,
            (false, true) => Interest::Write,
        };
        if wanted != self.interest {
            poll.change(&self.socket, self.token, wanted)?;
            self.interest = wanted;
        }
        Ok(())
    }
}
