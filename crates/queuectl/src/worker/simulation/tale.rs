//! Everything that happens in a simulated world, as one number: the same life has the same.

use std::fmt::{self, Write};

/// How often a life has seen the worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Keepers that died with what they ran.
    pub deaths: u64,
    /// Of those the ones whose spool was missing or damaged.
    pub spoiled: u64,
    /// Keepers that lost their worker and were taken over.
    pub adoptions: u64,
    /// Workers that died amid the actions of one step.
    pub broken: u64,
    /// Exchanges of workers that were done and reported as failed.
    pub unknown: u64,
}

/// FNV-1a: the same on every machine, and enough to tell two lives apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tale {
    pub events: u64,
    pub hash: u64,
}

impl Default for Tale {
    fn default() -> Tale {
        Tale { events: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Tale {
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.events += 1;
        // Writing to a hash does not fail; what a `Debug` says of itself could, and would do so again.
        let _ = self.write_fmt(what);
        let _ = self.write_str("\n");
    }
}

impl Write for Tale {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
