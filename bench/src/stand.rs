//! The stand that everything is measured on: which binaries, where the peers are, how much of it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Why something could not be measured.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// Shows that every scenario works; its figures mean nothing
    Tiny,
    /// A tenth or less, for a look within minutes
    Small,
    /// What the targets are stated for
    Full,
}

impl Scale {
    pub fn pick<T>(self, tiny: T, small: T, full: T) -> T {
        match self {
            Scale::Tiny => tiny,
            Scale::Small => small,
            Scale::Full => full,
        }
    }

    pub fn name(self) -> &'static str {
        self.pick("tiny", "small", "full")
    }
}

#[derive(Debug)]
pub struct Stand {
    /// The binary that is measured.
    pub queuectl: PathBuf,
    /// This program: floors run in processes of their own, so that all is metered alike.
    pub bench: PathBuf,
    /// Where `bench/peers.sh` put the peers.
    pub peers: PathBuf,
    pub scale: Scale,
}

impl Stand {
    /// A program that is built with this one.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.bench.with_file_name(name)
    }

    /// The source tree.
    pub fn source() -> PathBuf {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        bench.parent().unwrap_or(bench).to_owned()
    }
}
