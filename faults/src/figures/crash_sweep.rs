//! R1: a scripted day, over and over; each time the command, the worker, its keeper or both are killed at another of their
//! points, and started again. Every acknowledged job is there once and comes to its end once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::crash_day::{ACKNOWLEDGED, Blow, Day, Fate};
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::house;

pub const FIGURE: Figure = Figure {
    name: "R1",
    what: "a scripted day; command, worker, keeper, or worker with keeper killed at the n-th fail point, and started again",
    target: "0 acknowledged jobs lost, 0 doubled",
    short: Some(5000),
    long: Some(100_000),
    run,
};

const DAYS_AT_ONCE: usize = 4;
/// The worker's side; in turn.
const ROLES: [&str; 4] = ["worker", "keeper", "worker+keeper", "keeper+worker"];
/// How often the worker's side is struck in a day, if each time a worker has to be started again.
const BLOWS_MAX: usize = 3;

/// The points of days in which nobody, or one only, is killed.
struct Reached {
    /// Of each command, with its number.
    commands: Vec<(usize, u64)>,
    worker: u64,
    keeper: u64,
    /// What was told of the second worker and its keeper, after the first worker or both had died: a line for each point.
    later: [String; 2],
}

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let found = house::with_points().and_then(|program| Ok((rehearse(&program, seed)?, program)));
    let (reached, program) = match found {
        Ok(found) => found,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let count = trials.div_ceil(ACKNOWLEDGED);
    let days = crew::each_of(DAYS_AT_ONCE, count, |number| {
        let mut dice = Dice::new(seed, "R1", number);
        let fate = fate(number, count, &reached, &mut dice);
        let mut day = Day::new(&program, fate.clone())?;
        let lived = day.live(&mut dice);
        let told = |why: String| day.house.told(&format!("day {number}, {fate:?}: {why}"));
        lived.map(|()| (day.acknowledged, day.deaths())).map_err(told)
    });
    let failures: Vec<String> = days.iter().filter_map(|day| day.clone().err()).collect();
    let acknowledged: u64 = days.iter().flatten().map(|(acknowledged, _)| acknowledged).sum();
    let deaths: Vec<&String> = days.iter().flatten().flat_map(|(_, deaths)| deaths).collect();
    let places: BTreeSet<&String> = deaths.iter().copied().collect();
    crew::report("R1", seed, &failures);
    Outcome {
        trials: acknowledged,
        result: format!(
            "{} days of {count} wrong; {} killed, at {} kinds of points",
            failures.len(),
            deaths.len(),
            places.len()
        ),
        verdict: Verdict::of(failures.is_empty()),
    }
}

/// A day without deaths tells how many points each has, others which ones follow a death.
fn rehearse(program: &Path, seed: u64) -> Result<Reached, String> {
    let day = watch(program, seed, None)?;
    let told = day.told();
    let count = |role| kinds(&told, role).values().map(Vec::len).sum::<usize>() as u64;
    let (worker, keeper) = (count("worker"), count("keeper"));
    let of_command = |number| {
        let points = day.house.read(&format!("command-{number}")).lines().count() as u64;
        (1..=points).map(move |at| (number, at))
    };
    let commands: Vec<(usize, u64)> = (0..day.commands).flat_map(of_command).collect();
    if worker == 0 || keeper == 0 || commands.is_empty() {
        return Err(format!(
            "points: {} of commands, {worker} of a worker, {keeper} of a keeper",
            commands.len()
        ));
    }
    let after = |role| watch(program, seed, Some(Blow { role, at: worker / 2 })).map(|day| day.told());
    Ok(Reached { commands, worker, keeper, later: [after("worker")?, after("worker+keeper")?] })
}

/// A day that tells of all points, after this death, if there is one.
fn watch(program: &Path, seed: u64, death: Option<Blow>) -> Result<Day, String> {
    let workers = death.into_iter().chain([Blow { role: "any", at: 0 }]).collect();
    let mut day = Day::new(program, Fate { command: None, workers })?;
    let lived = day.live(&mut Dice::new(seed, "R1", u64::MAX));
    lived.map_err(|why| day.house.told(&format!("the first day: {why}")))?;
    Ok(day)
}

/// The points of a role by their names: which ones they are, from 1.
fn kinds(told: &str, role: &str) -> BTreeMap<String, Vec<u64>> {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let names = told.lines().filter_map(|line| line.strip_prefix(role)?.strip_prefix(' '));
    for (name, at) in names.zip(1..) {
        kinds.entry(name.to_owned()).or_default().push(at);
    }
    kinds
}

/// The days are spread evenly over all points: of the commands one after the other, of each role of the worker's side from
/// its first to its last.
fn fate(number: u64, days: u64, reached: &Reached, dice: &mut Dice) -> Fate {
    let (which, at) = reached.commands[spread(number, days, reached.commands.len() as u64, dice) as usize];
    let roles = ROLES.len() as u64;
    let points = |role: &str| if role.starts_with("worker") { reached.worker } else { reached.keeper };
    let role = ROLES[(number % roles) as usize];
    let at_first = 1 + spread(number / roles, days.div_ceil(roles), points(role), dice);
    let mut workers = vec![Blow { role, at: at_first }];
    while workers.len() < BLOWS_MAX {
        let role = *dice.pick(&ROLES);
        // Whoever comes after a death has rare things to do as well: each kind of point has the same chance.
        let first = role.split('+').next().unwrap_or(role);
        let told: &String = dice.pick(&reached.later[..]);
        let kinds: Vec<Vec<u64>> = kinds(told, first).into_values().collect();
        let Some(kind) = (!kinds.is_empty()).then(|| dice.pick(&kinds)) else { break };
        let at = *dice.pick(kind);
        workers.push(Blow { role, at });
    }
    Fate { command: Some((which, Blow { role: "cli", at })), workers: workers.into() }
}

/// Somewhere in the piece `number` of `pieces` pieces of 0 to `end`.
fn spread(number: u64, pieces: u64, end: u64, dice: &mut Dice) -> u64 {
    let (from, to) = (number * end / pieces, (number + 1) * end / pieces);
    from + dice.below((to - from).max(1) as usize) as u64
}
