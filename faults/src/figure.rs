//! A figure: what is promised, how it is tried, and what came of it.

use serde::{Deserialize, Serialize};

use crate::figures;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Short,
    Long,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Profile::Short => "short",
            Profile::Long => "long",
        }
    }
}

/// One run of a figure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub profile: Profile,
    pub seed: u64,
    /// As many as the profile asks for; `None` means every case there is.
    pub trials: Option<u64>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Made.
    pub trials: u64,
    /// In a few words, with its unit.
    pub result: String,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    /// Nothing was wrong, but its time was past the target.
    Late,
    /// This machine does not let us try, or not all of it; the result says why.
    Skip,
    Fail,
}

impl Verdict {
    pub fn of(right: bool) -> Verdict {
        if right { Verdict::Pass } else { Verdict::Fail }
    }

    /// The same, for a figure that has a time to keep as well.
    pub fn in_time(right: bool, in_time: bool) -> Verdict {
        if right && !in_time { Verdict::Late } else { Verdict::of(right) }
    }

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Late => "late",
            Verdict::Skip => "skip",
            Verdict::Fail => "FAIL",
        }
    }
}

/// Runs a figure. What broke is told on standard error by the figure itself, trial by trial.
pub type Run = fn(&Plan) -> Outcome;

#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// As in the reliability notes: R2 and so on.
    pub name: &'static str,
    pub what: &'static str,
    pub target: &'static str,
    /// Trials; `None`: every case there is.
    pub short: Option<u64>,
    pub long: Option<u64>,
    pub run: Run,
}

impl Figure {
    pub fn plan(&self, profile: Profile, seed: u64) -> Plan {
        let trials = match profile {
            Profile::Short => self.short,
            Profile::Long => self.long,
        };
        Plan { profile, seed, trials }
    }
}

/// All figures, in the order of the table.
pub const FIGURES: &[Figure] = &[
    figures::power_cut::FIGURE,
    figures::crash_sweep::FIGURE,
    figures::doubles::FIGURE,
    figures::back_again::FIGURE,
    figures::intact::FIGURE,
    figures::leftovers::FIGURE,
    figures::pid_reuse::FIGURE,
    figures::deadline::FIGURE,
    figures::flood::FIGURE,
    figures::disk_full::FIGURE,
    figures::call_errors::FIGURE,
    figures::failed_sync::FIGURE,
    figures::damage::FIGURE,
    figures::long_reader::FIGURE,
    figures::crowd::FIGURE,
    figures::clock_jumps::FIGURE,
    figures::retry_storm::FIGURE,
    figures::upgrade::FIGURE,
    figures::simulation::FIGURE,
];
