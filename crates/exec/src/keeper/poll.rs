//! What the keeper waits for.

use crate::protocol::Stream;
use queuectl_core::limits::KEEPER_EVENTS_PER_TURN;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Names what is ready. Serial numbers are never used twice, so an event that comes late meets nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    Listener,
    Peer(u64),
    Pipe(u64, Stream),
}

impl Token {
    fn to_data(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Token::Signals => 0,
            Token::Listener => 1,
            Token::Peer(serial) => serial << 3 | 2,
            Token::Pipe(serial, Stream::Stdout) => serial << 3 | 3,
            Token::Pipe(serial, Stream::Stderr) => serial << 3 | 4,
        })
    }

    fn from_data(data: u64) -> Token {
        let serial = data >> 3;
        match data & 7 {
            0 => Token::Signals,
            1 => Token::Listener,
            2 => Token::Peer(serial),
            3 => Token::Pipe(serial, Stream::Stdout),
            _ => Token::Pipe(serial, Stream::Stderr),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub token: Token,
    /// Bytes, the end, or an error: reading will tell.
    pub readable: bool,
}

/// What to wait for at a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Read,
    ReadWrite,
    Write,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Interest::Read => epoll::EventFlags::IN,
            Interest::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            Interest::Write => epoll::EventFlags::OUT,
        }
    }
}

pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        Ok(Poll(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Level-triggered. What may hang up is closed by `close`.
    pub(super) fn add(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.0, source, token.to_data(), interest.flags())?)
    }

    pub(super) fn change(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.0, source, token.to_data(), interest.flags())?)
    }

    /// Even no interest would leave hang-ups, so that pausing means removing.
    pub(super) fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, source)?)
    }

    /// Closing alone would not end the watch while a process on its way to its program has a copy of our descriptors: what
    /// has hung up would be ready without end, and nobody's.
    pub(super) fn close(&self, source: OwnedFd) {
        let _ = self.remove(source);
    }

    pub(super) fn wait(&self, timeout_ms: Option<u64>) -> io::Result<Vec<Ready>> {
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: (ms / 1000).cast_signed(),
            tv_nsec: (ms % 1000 * 1_000_000).cast_signed(),
        });
        let mut events = Vec::with_capacity(KEEPER_EVENTS_PER_TURN);
        match epoll::wait(&self.0, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        Ok(events.iter().map(ready).collect())
    }
}

fn ready(event: &epoll::Event) -> Ready {
    // Copied out, because the record is packed.
    let (flags, data) = (event.flags, event.data);
    let readable = flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
    Ready { token: Token::from_data(data.u64()), readable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_never_ready_even_if_somebody_has_a_copy() {
        let poll = Poll::new().expect("a poll");
        let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
        poll.add(&ours, Token::Pipe(1, Stream::Stdout), Interest::Read).expect("added");
        let _copy_of_a_child = ours.try_clone().expect("a copy");
        drop(theirs);
        assert_eq!(poll.wait(Some(0)).expect("a look").len(), 1, "it has hung up");
        poll.close(ours);
        assert_eq!(poll.wait(Some(0)).expect("a look").len(), 0);
    }
}
