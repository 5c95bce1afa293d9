//! R23: the worker's step machine, as it is, in a simulated world: the in-memory store, time that jumps, keepers and
//! workers that die, also amid a step, and are adopted, spools that are lost, a store that fails or only says so. Half of
//! the seeds live with faults all the time, and nothing wrong may be seen; the other half live until the faults stop, and
//! then everything must come to its end.

use queuectl::simulation::{Life, Mode, Seen, live};

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};

pub const FIGURE: Figure = Figure {
    name: "R23",
    what: "the real step machine simulated: failing store, dying and adopted keepers, stops; faults for ever, or until all must end",
    target: "0 open, 0 broken; the same seed, the same events",
    short: Some(2_000),
    long: Some(50_000),
    run,
};

/// One life of so many is lived twice.
const TWICE: u64 = 20;

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let results = crew::each(trials, |trial| {
        let mode = if trial % 2 == 0 { Mode::Safety } else { Mode::Liveness };
        try_one(seed, trial, mode).map_err(|why| format!("trial {trial}, {mode:?}: {why}"))
    });
    let failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    crew::report("R23", seed, &failures);
    let lives = || results.iter().flatten();
    let sum = |of: fn(&Life) -> u64| lives().map(of).sum::<u64>();
    let times = |of: fn(&Seen) -> u64| lives().map(|life| of(&life.seen)).sum::<u64>();
    let (deaths, adoptions, broken) = (times(|s| s.deaths), times(|s| s.adoptions), times(|s| s.broken));
    let (spoiled, unknown) = (times(|s| s.spoiled), times(|s| s.unknown));
    // In the trials' order: the figure's own hash.
    let hash = lives().fold(0_u64, |hash, life| hash.rotate_left(7) ^ life.hash);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong, {} jobs open; {} jobs, {deaths} keepers dead, {spoiled} of them without a whole spool, {adoptions} adopted, \
             {broken} workers dead amid a step, {unknown} exchanges done and told as failed, {} events; hash {hash:016x}",
            failures.len(),
            sum(|life| life.open),
            sum(|life| life.jobs),
            sum(|life| life.events),
        ),
        verdict: Verdict::of(
            failures.is_empty() && [adoptions, spoiled, broken, unknown].iter().all(|times| *times > 0),
        ),
    }
}

fn try_one(seed: u64, trial: u64, mode: Mode) -> Result<Life, String> {
    let number = Dice::new(seed, "R23", trial).number();
    let life = lived(number, mode)?;
    if life.open > 0 {
        return Err(format!("life {number}: {} jobs never ended", life.open));
    }
    if trial % TWICE < 2 && lived(number, mode)? != life {
        return Err(format!("life {number} was another the second time"));
    }
    Ok(life)
}

/// A life that breaks a rule ends in a panic, which the crew's hook tells.
fn lived(number: u64, mode: Mode) -> Result<Life, String> {
    std::panic::catch_unwind(|| live(number, mode)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        format!("life {number}: {}", said.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Profile;

    #[test]
    fn a_few_lives_are_lived_rightly() {
        let outcome = run(&Plan { profile: Profile::Short, seed: 3, trials: Some(24) });
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.result);
    }
}
