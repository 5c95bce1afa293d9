//! A scenario as it is planned: who runs in each round, which figures come of it, and what is wanted of their ratios.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::meter::Usage;
use crate::stand::Fault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ours,
    /// What nothing that does the work can be faster than.
    Floor,
    Peer,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Ours => "ours",
            Role::Floor => "floor",
            Role::Peer => "peer",
        }
    }
}

/// One run of a contender.
#[derive(Debug, Default)]
pub struct Sample {
    /// By the figures' names.
    pub figures: Vec<(&'static str, f64)>,
    pub jobs: usize,
    pub usage: Option<Usage>,
}

impl Sample {
    pub fn of(figure: &'static str, value: f64) -> Sample {
        Sample { figures: vec![(figure, value)], ..Sample::default() }
    }

    pub fn and(mut self, figure: &'static str, value: f64) -> Sample {
        self.figures.push((figure, value));
        self
    }

    /// Of so many jobs.
    pub fn over(self, jobs: usize) -> Sample {
        Sample { jobs, ..self }
    }

    pub fn with_usage(self, jobs: usize, usage: Usage) -> Sample {
        Sample { jobs, usage: Some(usage), ..self }
    }
}

/// Whoever takes longer for one run, what it needs beforehand included, hangs.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

type Run<'a> = Box<dyn FnMut(&Path) -> Result<Sample, Fault> + 'a>;

pub struct Contender<'a> {
    pub name: &'static str,
    pub role: Role,
    /// What of its work outlives a crash of the process, and of the machine.
    pub durability: &'static str,
    /// How it is driven.
    pub setting: String,
    /// In a directory of its own, which is new each time.
    pub run: Run<'a>,
    /// A run that takes longer is ended.
    pub patience: Duration,
}

impl<'a> Contender<'a> {
    pub fn new(
        role: Role,
        name: &'static str,
        durability: &'static str,
        setting: impl Into<String>,
        run: impl FnMut(&Path) -> Result<Sample, Fault> + 'a,
    ) -> Contender<'a> {
        Contender { name, role, durability, setting: setting.into(), run: Box::new(run), patience: PATIENCE }
    }

    pub fn patient(self, patience: Duration) -> Contender<'a> {
        Contender { patience, ..self }
    }
}

/// What is wanted of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Want {
    AtLeast(f64),
    AtMost(f64),
    /// Without it, the run says nothing.
    ValidIfAtLeast(f64),
    Told,
}

impl Want {
    pub fn holds(self, value: f64) -> Option<bool> {
        match self {
            Want::AtLeast(bound) | Want::ValidIfAtLeast(bound) => Some(value >= bound),
            Want::AtMost(bound) => Some(value <= bound),
            Want::Told => None,
        }
    }
}

/// A figure of one contender, by itself or divided by another's of the same round.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub figure: &'static str,
    pub of: &'static str,
    pub against: Option<&'static str>,
    pub want: Want,
}

impl Goal {
    pub fn ratio(figure: &'static str, of: &'static str, against: &'static str, want: Want) -> Goal {
        Goal { figure, of, against: Some(against), want }
    }

    pub fn bound(figure: &'static str, of: &'static str, want: Want) -> Goal {
        Goal { figure, of, against: None, want }
    }
}

/// A figure's name and unit.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
}

pub struct Plan<'a> {
    pub name: &'static str,
    pub about: String,
    pub figures: Vec<Figure>,
    pub contenders: Vec<Contender<'a>>,
    pub goals: Vec<Goal>,
    /// Who does not take part, and why.
    pub skipped: Vec<(&'static str, String)>,
    /// What all rounds share, for as long as they are played.
    kept: Vec<TempDir>,
}

impl<'a> Plan<'a> {
    pub fn new(
        name: &'static str,
        about: impl Into<String>,
        figures: &[(&'static str, &'static str)],
    ) -> Plan<'a> {
        Plan {
            name,
            about: about.into(),
            figures: figures.iter().map(|&(name, unit)| Figure { name, unit }).collect(),
            contenders: Vec::new(),
            goals: Vec::new(),
            skipped: Vec::new(),
            kept: Vec::new(),
        }
    }

    pub fn keeps(&mut self, dir: TempDir) {
        self.kept.push(dir);
    }

    pub fn contender(&mut self, contender: Contender<'a>) {
        self.contenders.push(contender);
    }

    pub fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }
}
