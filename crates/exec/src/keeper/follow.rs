//! Gives followers the output they ask for, at their own pace: only as fast as they read, and never at a job's expense.

use super::peer::{Follow, Peer};
use crate::output::{Output, Piece};
use crate::protocol::{ClaimKey, Event, Stream};
use queuectl_core::limits::{FOLLOW_BACKLOG_BYTES_MAX, FOLLOW_CHUNK_BYTES_MAX};

/// What there is to follow of a claim.
pub(super) enum Followed<'a> {
    /// It prints, or may yet.
    Running(&'a Output),
    /// This is all.
    Ended(&'a Output),
    Unknown,
}

/// Queues pieces of output until the connection has enough to do or has everything there is. True if there is more.
pub(super) fn pump<'a>(peer: &mut Peer, find: impl Fn(ClaimKey) -> Followed<'a>) -> bool {
    let mut at = 0;
    while at < peer.follows.len() {
        let claim = peer.follows[at].claim;
        let (output, ended) = match find(claim) {
            Followed::Running(output) => (Some(output), false),
            Followed::Ended(output) => (Some(output), true),
            Followed::Unknown => (None, true),
        };
        let mut follow = peer.follows[at];
        while peer.backlog() < FOLLOW_BACKLOG_BYTES_MAX
            && let Some(event) = output.and_then(|output| next_piece(&mut follow, output))
        {
            peer.send(&event);
        }
        peer.follows[at] = follow;
        if peer.backlog() >= FOLLOW_BACKLOG_BYTES_MAX {
            // The next one has its turn first when there is room again.
            let next = (at + 1) % peer.follows.len();
            peer.follows.rotate_left(next);
            return true;
        }
        if ended {
            peer.send(&Event::Ended { claim });
            peer.follows.remove(at);
        } else {
            at += 1;
        }
    }
    false
}

fn next_piece(follow: &mut Follow, output: &Output) -> Option<Event> {
    let Follow { claim, stdout_next, stderr_next } = follow;
    for (stream, next) in [(Stream::Stdout, stdout_next), (Stream::Stderr, stderr_next)] {
        let from = *next;
        match output.of(stream).read(from, FOLLOW_CHUNK_BYTES_MAX) {
            Piece::Bytes(bytes) => {
                *next += bytes.len() as u64;
                return Some(Event::Chunk { claim: *claim, stream, from, bytes });
            }
            Piece::Gap { to } => {
                *next = to;
                return Some(Event::Gap { claim: *claim, stream, from, to });
            }
            Piece::Nothing => {}
        }
    }
    None
}
