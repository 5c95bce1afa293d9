//! Rotates a region of a file in place and in bounded steps, by swapping blocks.

use super::place::Place;
use std::io;

/// Swapped at once, in bytes.
const BLOCK_BYTES: u64 = 256 * 1024;

/// Two neighbouring parts at `at`, `left` and `right` long, that are to change places.
///
/// The shorter part is swapped with as much of the far end of the longer one. That puts it in its final place, and
/// leaves the same task with less to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    at: u64,
    left: u64,
    right: u64,
    /// How much of the current swap is done.
    swapped: u64,
}

impl Rotation {
    pub(super) fn new(at: u64, left: u64, right: u64) -> Rotation {
        Rotation { at, left, right, swapped: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 || self.right == 0
    }

    /// True when all is in place.
    pub(super) fn step(&mut self, place: &mut Place, bytes_max: u64) -> io::Result<bool> {
        let mut moved = 0;
        while !self.is_done() {
            if moved >= bytes_max {
                return Ok(false);
            }
            let span = self.left.min(self.right);
            let other = self.at + self.left.max(self.right);
            let len = BLOCK_BYTES.min(span - self.swapped);
            swap(place, self.at + self.swapped, other + self.swapped, len as usize)?;
            moved += len;
            self.swapped += len;
            if self.swapped == span {
                self.next(span);
            }
        }
        Ok(true)
    }

    fn next(&mut self, span: u64) {
        self.swapped = 0;
        if self.left <= self.right {
            self.right -= span;
        } else {
            self.left -= span;
            self.at += span;
        }
    }
}

fn swap(place: &mut Place, one: u64, other: u64, len: usize) -> io::Result<()> {
    let first = place.read_at(one, len)?;
    let second = place.read_at(other, len)?;
    place.write_at(one, &second)?;
    place.write_at(other, &first)
}
