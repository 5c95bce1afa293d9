//! R1: a scripted day, over and over; each time the command, the worker, its keeper or both are killed at another of their
//! points, and started again. Every acknowledged job is there once and comes to its end once.

use std::collections::BTreeSet;

use super::crash_day::{ACKNOWLEDGED, Day};
use super::crash_fate::Reached;
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Profile, Verdict};
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
/// Of the blows, in percent: with fewer that kill, the days were too quiet.
const LANDED_MIN: usize = 60;

/// What all days came to.
#[derive(Default)]
struct Tally {
    days: u64,
    acknowledged: u64,
    blows: usize,
    deaths: usize,
    /// At which somebody died.
    points: BTreeSet<String>,
    failures: Vec<String>,
}

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let found = house::with_points().and_then(|program| Ok((Reached::rehearse(&program, seed)?, program)));
    let (reached, program) = match found {
        Ok(found) => found,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let planned = trials.div_ceil(ACKNOWLEDGED);
    let mut tally = Tally::default();
    // What a killed command did is not acknowledged: some days more make up for it.
    while tally.acknowledged < trials && tally.failures.is_empty() {
        let first = tally.days;
        let more = (trials - tally.acknowledged).div_ceil(ACKNOWLEDGED);
        let days = crew::each_of(DAYS_AT_ONCE, more, |number| {
            let number = first + number;
            let mut dice = Dice::new(seed, "R1", number);
            let fate = reached.fate(number, planned, &mut dice);
            let told = format!("day {number}, {fate}");
            let mut day = Day::new(&program, fate)?;
            let lived = day.live(&mut dice);
            lived.map_err(|why| day.house.told(&format!("{told}: {why}"))).map(|()| Tally::of(&day))
        });
        let failed = |why| Tally { days: 1, failures: vec![why], ..Tally::default() };
        for day in days {
            tally.add(day.unwrap_or_else(failed));
        }
    }
    tally.outcome(plan, &reached)
}

impl Tally {
    fn of(day: &Day) -> Tally {
        let deaths = day.deaths();
        Tally {
            days: 1,
            acknowledged: day.acknowledged,
            blows: day.blows(),
            deaths: deaths.len(),
            points: deaths.into_iter().map(|(_, point)| point).collect(),
            failures: Vec::new(),
        }
    }

    fn add(&mut self, other: Tally) {
        self.days += other.days;
        self.acknowledged += other.acknowledged;
        self.blows += other.blows;
        self.deaths += other.deaths;
        self.points.extend(other.points);
        self.failures.extend(other.failures);
    }

    fn outcome(mut self, plan: &Plan, reached: &Reached) -> Outcome {
        let wrong = self.failures.len();
        if self.deaths * 100 < self.blows * LANDED_MIN {
            self.failures.push(format!("only {} of {} blows killed", self.deaths, self.blows));
        }
        let known = reached.points();
        let missed: Vec<&str> = known.iter().copied().filter(|point| !self.points.contains(*point)).collect();
        if plan.profile == Profile::Long && !missed.is_empty() {
            self.failures.push(format!("nobody died at {}", missed.join(", ")));
        }
        crew::report("R1", plan.seed, &self.failures);
        Outcome {
            trials: self.acknowledged,
            result: format!(
                "{wrong} days of {} wrong; {} killed by {} blows, at {} of {} kinds of points",
                self.days,
                self.deaths,
                self.blows,
                known.len() - missed.len(),
                known.len()
            ),
            verdict: Verdict::of(self.failures.is_empty()),
        }
    }
}
