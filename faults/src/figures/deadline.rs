//! R10: how late a job ends whose tree ignores TERM and holds its pipes, after its time limit and its grace.

use std::time::Duration;

use queuectl_exec::protocol::{End, OnCrash};

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::kept::Kept;
use crate::procs;

pub const FIGURE: Figure = Figure {
    name: "R10",
    what: "time limit of a tree that ignores TERM and holds the pipe, under dash and bash; how late its end is told",
    target: "99 of 100 by 250 ms after limit and grace",
    short: Some(10),
    long: Some(200),
    run,
};

const LATE_MAX: Duration = Duration::from_millis(250);
/// Times fail a run only beyond this many times their target.
const SLACK: u32 = 10;

/// What shells do differently: whether they stay between, or become their last command.
const FORMS: [&str; 6] = [
    "trap '' TERM; sleep 60; sleep 60",
    "trap '' TERM; sleep 60 | sleep 60",
    "trap '' TERM; sleep 60 & sleep 60 & wait; wait; wait",
    "trap '' TERM; (sleep 60; sleep 60)",
    "trap '' TERM; setsid sleep 60 & (sleep 60 & sleep 60)",
    "trap '' TERM; while :; do sleep 0.05; done | cat",
];

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    // One at a time: what is measured is no race for the processor.
    let results =
        crew::each_of(1, trials, |trial| try_one(seed, trial).map_err(|why| format!("trial {trial}: {why}")));
    let mut failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let mut late: Vec<Duration> = results.into_iter().flatten().collect();
    late.sort_unstable();
    let (half, most) = (procs::percentile(&late, 50), procs::percentile(&late, 99));
    if most > LATE_MAX * SLACK {
        failures.push(format!("{} ms late", most.as_millis()));
    }
    crew::report("R10", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "half by {} ms, 99 of 100 by {} ms after limit and grace; {} wrong",
            half.as_millis(),
            most.as_millis(),
            failures.len()
        ),
        verdict: Verdict::in_time(failures.is_empty(), most <= LATE_MAX),
    }
}

fn try_one(seed: u64, trial: u64) -> Result<Duration, String> {
    let mut dice = Dice::new(seed, "R10", trial);
    let shell = ["dash", "bash"][trial as usize % 2];
    let form = *dice.pick(&FORMS);
    let limit = Duration::from_millis(150 + dice.below(150) as u64);
    let grace = Duration::from_millis(50 + dice.below(150) as u64);
    let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
    let mut start = kept.order(1, &[shell, "-c", form]);
    start.timeout_ms = Some(limit.as_millis() as u64);
    start.kill_grace_ms = grace.as_millis() as u64;
    // From the order on: a start that takes long counts as late.
    let begin = procs::now();
    let claim = kept.start(start)?;
    let record = kept.exited(claim)?;
    let took = begin.elapsed();
    let what = format!("{shell} -c \"{form}\"");
    if record.end != End::TimedOut {
        return Err(format!("{what} ended as {:?}", record.end));
    }
    // Nobody in it heeds TERM.
    let Some(late) = took.checked_sub(limit + grace) else {
        return Err(format!("{what} was ended after {took:?} of {limit:?} and {grace:?}"));
    };
    let left = procs::living_in(&kept.jobs_dir());
    if !left.is_empty() {
        return Err(format!("{what} left {left:?}"));
    }
    Ok(late)
}
