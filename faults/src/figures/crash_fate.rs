//! Who is killed where in a day: drawn from the points that days without deaths, or with one, were seen to reach.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;

use super::crash_day::Day;
use crate::dice::Dice;

/// The worker's side; in turn.
const ROLES: [&str; 4] = ["worker", "keeper", "worker+keeper", "keeper+worker"];
/// How often the worker's side is struck before it hands over, if each time a worker has to be started again.
const BLOWS_MAX: usize = 3;

/// Who dies, and at which of its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// As the fail points know it: `cli`, `worker`, `keeper`, `worker+keeper`, `keeper+worker`.
    role: &'static str,
    point: String,
    /// Which time that a process reaches it; from 1.
    nth: u64,
}

impl Blow {
    /// Kills nobody, and tells of all points.
    pub fn none() -> Blow {
        Blow { role: "any", point: String::new(), nth: 0 }
    }

    pub fn is_none(&self) -> bool {
        self.nth == 0
    }

    pub fn kills_keeper(&self) -> bool {
        self.role.contains("keeper")
    }

    /// For the fail points: whoever dies writes it into this file.
    pub fn asked(&self, file: &Path) -> String {
        format!("{}:{}:{}:{}", self.role, self.point, self.nth, file.display())
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} {}", self.role, self.point, self.nth)
    }
}

/// What is to happen in a day.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// To the command of this number, from 0.
    pub command: Option<(usize, Blow)>,
    /// To the first worker or its keeper, to the worker that is started in its place, and so on.
    pub workers: VecDeque<Blow>,
    /// To the worker that takes over what was handed over, or its keeper.
    pub heir: Option<Blow>,
}

impl Fate {
    /// All that happens is told, from the worker on that follows this death, if there is one.
    pub fn telling(after: Option<Blow>) -> Fate {
        let workers = after.into_iter().chain([Blow::none()]).collect();
        Fate { command: None, workers, heir: Some(Blow::none()) }
    }

    /// Whether commands tell of their points.
    pub fn tells(&self) -> bool {
        self.heir.as_ref().is_some_and(Blow::is_none)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((number, blow)) = &self.command {
            write!(f, "command {number}: {blow}; ")?;
        }
        let workers: Vec<String> = self.workers.iter().map(Blow::to_string).collect();
        write!(f, "workers: {}", workers.join(", "))?;
        self.heir.as_ref().map_or(Ok(()), |blow| write!(f, "; the heir: {blow}"))
    }
}

/// How often each point was reached by the processes of one role, one after the other.
type Kinds = BTreeMap<String, u64>;

/// What one worker and its keeper reached.
struct Side {
    worker: Kinds,
    keeper: Kinds,
}

/// The points of days in which nobody, or one only, is killed.
pub struct Reached {
    /// Of each command, with its number; which time it is reached.
    commands: Vec<(usize, String, u64)>,
    first: Side,
    /// The second worker and its keeper, after the first worker or both had died.
    later: [Side; 2],
    heir: Side,
}

impl Reached {
    /// A day without deaths tells how often each point is reached, others what follows a death.
    pub fn rehearse(program: &Path, seed: u64) -> Result<Reached, String> {
        let day = watch(program, seed, None)?;
        let commands: Vec<(usize, String, u64)> =
            (0..day.commands).flat_map(|number| of_command(&day, number)).collect();
        let [first, heir] = sides(&day)?;
        if commands.is_empty() {
            return Err("no command told of its points".to_owned());
        }
        // In the middle of its work.
        let often = first.worker.iter().max_by_key(|(_, times)| **times);
        let (point, times) = often.ok_or("no point of a worker")?;
        let after = |role| {
            let blow = Blow { role, point: point.clone(), nth: times.div_ceil(3) };
            sides(&watch(program, seed, Some(blow))?).map(|[later, _]| later)
        };
        let later = [after("worker")?, after("worker+keeper")?];
        Ok(Reached { commands, first, later, heir })
    }

    /// The names of all of them.
    pub fn points(&self) -> BTreeSet<&str> {
        let sides = [&self.first, &self.heir].into_iter().chain(&self.later);
        let kinds = sides.flat_map(|side| side.worker.keys().chain(side.keeper.keys()));
        kinds.chain(self.commands.iter().map(|(_, point, _)| point)).map(String::as_str).collect()
    }

    /// Days take turns: over all points of the commands one after the other, and over all kinds of points of each role of
    /// the worker's side.
    pub fn fate(&self, number: u64, days: u64, dice: &mut Dice) -> Fate {
        let (which, point, nth) =
            &self.commands[spread(number % days, days, self.commands.len() as u64, dice) as usize];
        let roles = ROLES.len() as u64;
        let role = ROLES[(number % roles) as usize];
        let turn = (number / roles) as usize;
        let mut workers: VecDeque<Blow> =
            blow(role, &self.first, |kinds| turn % kinds, dice).into_iter().collect();
        while let Some(last) = workers.back().filter(|_| workers.len() < BLOWS_MAX) {
            let side = &self.later[usize::from(last.kills_keeper())];
            workers.extend(self.later_blow(side, dice));
        }
        let command = Blow { role: "cli", point: point.clone(), nth: *nth };
        Fate { command: Some((*which, command)), workers, heir: self.later_blow(&self.heir, dice) }
    }

    /// Whoever comes later has things to do that the first has not: half of the blows are at those.
    fn later_blow(&self, side: &Side, dice: &mut Dice) -> Option<Blow> {
        let own = |kinds: &Kinds, first: &Kinds| {
            kinds
                .iter()
                .filter(|(point, _)| !first.contains_key(*point))
                .map(|(p, n)| (p.clone(), *n))
                .collect()
        };
        let new = Side {
            worker: own(&side.worker, &self.first.worker),
            keeper: own(&side.keeper, &self.first.keeper),
        };
        let (role, kind) = (*dice.pick(&ROLES), dice.below(usize::MAX));
        let which = |kinds| kind % kinds;
        let at_new = if dice.percent(50) { blow(role, &new, which, dice) } else { None };
        at_new.or_else(|| blow(role, side, which, dice))
    }
}

/// At one of the kinds of points of this role; among the first half of the times that it was reached, for no day is like
/// another.
fn blow(role: &'static str, side: &Side, which: impl Fn(usize) -> usize, dice: &mut Dice) -> Option<Blow> {
    let kinds = if role.starts_with("worker") { &side.worker } else { &side.keeper };
    let (point, times) = kinds.iter().nth(which(kinds.len().max(1)))?;
    Some(Blow { role, point: point.clone(), nth: 1 + dice.below(times.div_ceil(2) as usize) as u64 })
}

/// A day that tells of all points, after this death, if there is one.
fn watch(program: &Path, seed: u64, death: Option<Blow>) -> Result<Day, String> {
    let mut day = Day::new(program, Fate::telling(death))?;
    let lived = day.live(&mut Dice::new(seed, "R1", u64::MAX));
    lived.map_err(|why| day.house.told(&format!("the first day: {why}")))?;
    Ok(day)
}

fn of_command(day: &Day, number: usize) -> Vec<(usize, String, u64)> {
    let kinds = kinds(&day.house.read(&format!("command-{number}")), "cli");
    kinds
        .into_iter()
        .flat_map(|(point, times)| (1..=times).map(move |nth| (number, point.clone(), nth)))
        .collect()
}

/// What the last two workers and their keepers told.
fn sides(day: &Day) -> Result<[Side; 2], String> {
    let told = day.told_by_workers();
    let side = |told: &String| {
        let side = Side { worker: kinds(told, "worker"), keeper: kinds(told, "keeper") };
        let silent = side.worker.is_empty() || side.keeper.is_empty();
        if silent { Err("a worker or its keeper told of no points".to_owned()) } else { Ok(side) }
    };
    match told.as_slice() {
        [.., first, heir] => Ok([side(first)?, side(heir)?]),
        _ => Err(format!("{} workers told of their points", told.len())),
    }
}

fn kinds(told: &str, role: &str) -> Kinds {
    let mut kinds = Kinds::new();
    for name in told.lines().filter_map(|line| line.strip_prefix(role)?.strip_prefix(' ')) {
        *kinds.entry(name.to_owned()).or_default() += 1;
    }
    kinds
}

/// Somewhere in the piece `number` of `pieces` pieces of 0 to `end`.
fn spread(number: u64, pieces: u64, end: u64, dice: &mut Dice) -> u64 {
    let (from, to) = (number * end / pieces, (number + 1) * end / pieces);
    from + dice.below((to - from).max(1) as usize) as u64
}
