//! The latest bytes of a flood, in memory while there is room.
//!
//! What falls out of the ring was never worth a write to a file. Nobody reads a file before its attempt has ended: should
//! the keeper die, what it kept of that output is lost, in a file or not.

use super::place::Place;
use queuectl_core::limits::OUTPUT_TAILS_BYTES_MAX;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// What is left for the tails of all attempts of a keeper, in bytes.
#[derive(Debug)]
pub(super) struct Room(Cell<usize>);

impl Room {
    pub(super) fn of(bytes: usize) -> Room {
        Room(Cell::new(bytes))
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::of(OUTPUT_TAILS_BYTES_MAX)
    }
}

/// A ring of bytes, which gives its room back when it is dropped.
#[derive(Debug)]
pub(super) struct Tail {
    ring: Vec<u8>,
    room: Rc<Room>,
}

impl Tail {
    /// `None` if there is not so much room.
    pub(super) fn take(len: usize, room: &Rc<Room>) -> Option<Tail> {
        room.0.set(room.0.get().checked_sub(len)?);
        Some(Tail { ring: vec![0; len], room: room.clone() })
    }

    pub(super) fn write_at(&mut self, at: usize, bytes: &[u8]) {
        self.ring[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn read_at(&self, at: usize, len: usize) -> &[u8] {
        &self.ring[at..at + len]
    }

    /// Writes the ring to `at`, from its oldest byte to its latest.
    pub(super) fn write_in_order(self, oldest: usize, at: u64, place: &mut Place) -> io::Result<()> {
        let (latest, first) = self.ring.split_at(oldest);
        place.write_at(at, first)?;
        place.write_at(at + first.len() as u64, latest)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.room.0.set(self.room.0.get() + self.ring.len());
    }
}
