//! The one source of chance: numbers that a seed, a figure and a trial decide, so that a trial can be played again.

use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

/// A stream of numbers of its own for each trial.
pub struct Dice(ChaCha12Rng);

impl Dice {
    pub fn new(seed: u64, figure: &str, trial: u64) -> Dice {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&trial.to_le_bytes());
        for (at, byte) in figure.bytes().take(16).enumerate() {
            key[16 + at] = byte;
        }
        Dice(ChaCha12Rng::from_seed(key))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to, not including, `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these, of which there is one at least.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Letters, for what must not compress or repeat.
    pub fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}
