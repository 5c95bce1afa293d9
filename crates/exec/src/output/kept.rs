//! The kept part of one stream: linear at first, then a head and a ring.

use super::Shared;
use super::place::{OutputDir, Place};
use super::rotate::Rotation;
use super::tail::Tail;
use crate::protocol::Body;
use std::rc::Rc;

/// What can be read at an offset of the whole stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// It was dropped, up to there.
    Gap {
        to: u64,
    },
    /// Nothing was printed there yet.
    Nothing,
}

pub(crate) struct Kept {
    /// All that came, kept or not.
    total: u64,
    /// What this stream may keep; it grows from the shared half while that lasts.
    share: u64,
    /// Length of what is kept.
    len: u64,
    place: Place,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// The bytes lie as they came, from the first on.
    Linear,
    /// After `head` bytes, a ring of the latest `len - head`: the byte of offset `o` lies at `head + (o - head) % ring`, or
    /// in a tail in memory at `(o - head) % ring`.
    Ring { head: u64, tail: Option<Tail> },
    /// The ring is being, or has been, put in order.
    Ordered { head: u64, rotation: Rotation },
    /// Keeping failed; the beginning is all there will be.
    Broken,
}

impl Kept {
    pub(super) fn new(own: u64, name: String, dir: &Rc<OutputDir>) -> Kept {
        Kept { total: 0, share: own, len: 0, place: Place::new(name, dir), layout: Layout::Linear }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn head_len(&self) -> u64 {
        match self.layout {
            Layout::Ring { head, .. } | Layout::Ordered { head, .. } if self.total > self.len => head,
            _ => self.len,
        }
    }

    pub(super) fn body(&self) -> Body {
        self.place.body(self.len)
    }

    pub(super) fn push(&mut self, bytes: &[u8], shared: &mut Shared) {
        let mut rest = bytes;
        if let Layout::Linear = self.layout {
            let wanted = (self.len + rest.len() as u64).saturating_sub(self.share);
            self.share += shared.take(wanted);
            let (fitting, over) = rest.split_at(rest.len().min((self.share - self.len) as usize));
            if self.place.write_at(self.len, fitting).is_ok() {
                self.len += fitting.len() as u64;
                self.total += fitting.len() as u64;
                rest = over;
                if !rest.is_empty() {
                    self.layout = self.begin_ring();
                }
            } else {
                self.give_up(self.len);
            }
        }
        if let Layout::Ring { head, .. } = self.layout
            && self.push_ring(head, rest).is_err()
        {
            self.give_up(head);
        }
        self.total += rest.len() as u64;
    }

    /// Where the latest bytes go from now on. Most of a flood is dropped again: it does not go into a file before its end.
    fn begin_ring(&self) -> Layout {
        let head = self.len / 2;
        let ring = (self.len - head) as usize;
        let tail = self.place.is_file().then(|| self.place.dir().tail(ring)).flatten();
        let filled = tail.and_then(|mut tail| {
            tail.write_at(0, &self.place.read_at(head, ring).ok()?);
            Some(tail)
        });
        Layout::Ring { head, tail: filled }
    }

    fn push_ring(&mut self, head: u64, bytes: &[u8]) -> std::io::Result<()> {
        let ring = self.len - head;
        // Of more than a round, only the last counts.
        let skipped = (bytes.len() as u64).saturating_sub(ring);
        let mut offset = self.total + skipped;
        let mut rest = &bytes[skipped as usize..];
        while !rest.is_empty() {
            let at = (offset - head) % ring;
            let (piece, later) = rest.split_at(rest.len().min((ring - at) as usize));
            match &mut self.layout {
                Layout::Ring { tail: Some(tail), .. } => tail.write_at(at as usize, piece),
                _ => self.place.write_at(head + at, piece)?,
            }
            offset += piece.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Keeping has failed: only so many bytes from the beginning stay.
    pub(super) fn give_up(&mut self, len: u64) {
        self.len = len;
        self.layout = Layout::Broken;
        self.place.truncate(len);
    }

    pub(super) fn read(&self, from: u64, limit: usize) -> Piece {
        if from >= self.total {
            return Piece::Nothing;
        }
        let (head, tail, ordered) = match &self.layout {
            Layout::Ring { head, tail } => (*head, tail.as_ref(), false),
            Layout::Ordered { rotation, .. } if !rotation.is_done() => return Piece::Nothing,
            Layout::Ordered { head, .. } => (*head, None, true),
            Layout::Linear | Layout::Broken => (self.len, None, true),
        };
        let ring = self.len - head;
        let tail_from = self.total - ring;
        let (at, len) = if from < head {
            (from, head - from)
        } else if from < tail_from {
            return Piece::Gap { to: tail_from };
        } else if ordered {
            (head + from - tail_from, self.total - from)
        } else {
            let at = (from - head) % ring;
            (head + at, (ring - at).min(self.total - from))
        };
        let len = limit.min(usize::try_from(len).unwrap_or(limit));
        if let Some(tail) = tail.filter(|_| at >= head) {
            return Piece::Bytes(tail.read_at((at - head) as usize, len).to_vec());
        }
        match self.place.read_at(at, len) {
            Ok(bytes) => Piece::Bytes(bytes),
            // Somebody took the file away: for a follower that is as good as dropped.
            Err(_) => Piece::Gap { to: from + len as u64 },
        }
    }

    /// Puts the ring in order, moving about `bytes_max` bytes. True when all is in order.
    ///
    /// Until then nothing can be read.
    pub(super) fn order_step(&mut self, bytes_max: u64) -> bool {
        if let Layout::Ring { head, tail } = &mut self.layout {
            let (head, tail) = (*head, tail.take());
            let ring = self.len - head;
            let oldest = if ring == 0 { 0 } else { (self.total - head) % ring };
            let written = tail.map(|tail| tail.write_in_order(oldest as usize, head, &mut self.place));
            let oldest = if written.is_some() { 0 } else { oldest };
            self.layout = Layout::Ordered { head, rotation: Rotation::new(head, oldest, ring - oldest) };
            if let Some(Err(_)) = written {
                self.give_up(head);
            }
        }
        if let Layout::Ordered { head, rotation } = &mut self.layout {
            let head = *head;
            match rotation.step(&mut self.place, bytes_max) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => self.give_up(head),
            }
        }
        true
    }

    /// A piece of what is kept, once it is in order.
    pub(super) fn body_piece(&self, at: u64, len: usize) -> std::io::Result<Vec<u8>> {
        self.place.read_at(at, len)
    }

    /// Nothing more is written.
    pub(super) fn close(&mut self) {
        self.place.close();
    }
}
