//! Reads what the jobs print, a bounded amount at a time.

use super::Keeper;
use super::poll::{Interest, Token};
use crate::protocol::Stream;
use queuectl_core::limits::{KEPT_PIPES_MAX, PIPE_FLOOD_BYTES, PIPE_READ_BYTES, PIPE_READS_PER_TURN};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// What one read of a pipe gave.
enum Read {
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// Nobody can write to it any more.
    End,
}

fn read(pipe: &OwnedFd, buffer: &mut [u8]) -> Read {
    loop {
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => return Read::End,
            Ok(len) => return Read::Bytes(len),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Read::Empty,
            Err(_) => return Read::End,
        }
    }
}

/// More comes than is kept: fewer and larger reads. A kernel that refuses only makes it slower.
fn widen(pipe: Option<&OwnedFd>) {
    if let Some(pipe) = pipe {
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_FLOOD_BYTES);
    }
}

impl Keeper {
    pub(super) fn read_pipe(&mut self, serial: u64, stream: Stream) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return self.skip_pipe(serial, stream) };
        for _ in 0..PIPE_READS_PER_TURN {
            let Some(pipe) = attempt.pipe(stream) else { return };
            match read(pipe, &mut self.buffer) {
                Read::Bytes(len) => {
                    let before = attempt.output.of(stream).is_flooded();
                    attempt.output.push(stream, &self.buffer[..len]);
                    if !before && attempt.output.of(stream).is_flooded() {
                        widen(attempt.pipe(stream).as_ref());
                    }
                    if len < PIPE_READ_BYTES {
                        return;
                    }
                }
                Read::Empty => return,
                Read::End => {
                    if let Some(ended) = attempt.pipe(stream).take() {
                        self.poll.close(ended);
                    }
                }
            }
        }
    }

    /// Takes what is in the pipes of an attempt whose process has ended, at most what they hold: a leftover that is to be
    /// kept may write on.
    pub(super) fn drain_pipes(&mut self, serial: u64) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let unwatched = attempt.watch_at.take().is_some();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let Some(attempt) = self.attempts.get_mut(&serial) else { return };
            let Some(pipe) = attempt.pipe(stream).take() else { continue };
            let mut left = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or(PIPE_READ_BYTES);
            let at_end = loop {
                match read(&pipe, &mut self.buffer) {
                    Read::Bytes(len) => {
                        attempt.output.push(stream, &self.buffer[..len]);
                        left = left.saturating_sub(len);
                        if left == 0 {
                            break false;
                        }
                    }
                    Read::Empty => break false,
                    Read::End => break true,
                }
            };
            match (at_end, unwatched) {
                (true, true) => {}
                (true, false) => self.poll.close(pipe),
                (false, _) => self.keep_unread(serial, stream, pipe, unwatched),
            }
        }
    }

    /// Kept processes that write to a pipe without a reader would die of it.
    fn keep_unread(&mut self, serial: u64, stream: Stream, pipe: OwnedFd, unwatched: bool) {
        if unwatched {
            // Without a watch nobody reads for whoever still writes to it; then it blocks, as on a slow reader.
            let _ = self.poll.add(&pipe, Token::Pipe(serial, stream), Interest::Read);
        }
        self.unread.insert((serial, stream as u8), pipe);
        while self.unread.len() > KEPT_PIPES_MAX
            && let Some((_, oldest)) = self.unread.pop_first()
        {
            self.poll.close(oldest);
        }
    }

    fn skip_pipe(&mut self, serial: u64, stream: Stream) {
        let Some(pipe) = self.unread.get(&(serial, stream as u8)) else { return };
        if let Read::End = read(pipe, &mut self.buffer)
            && let Some(ended) = self.unread.remove(&(serial, stream as u8))
        {
            self.poll.close(ended);
        }
    }

    /// The worker does not read: let the jobs wait until it does.
    pub(super) fn pause_pipes(&mut self) {
        debug_assert!(self.peers.contains_key(&self.control), "only the worker's backlog pauses");
        self.paused = true;
        for pipe in self.attempts.values().flat_map(|attempt| [&attempt.stdout, &attempt.stderr]).flatten() {
            let _ = self.poll.remove(pipe);
        }
    }

    pub(super) fn resume_pipes(&mut self) {
        self.paused = false;
        let watched = self.attempts.iter().filter(|(_, attempt)| attempt.watch_at.is_none());
        for serial in watched.map(|(&serial, _)| serial).collect::<Vec<_>>() {
            self.watch_pipes(serial);
        }
    }
}
