//! R8: what is left of fifteen kinds of nasty process trees, four of which run at once in one keeper: processes, zombies,
//! descriptors.

use queuectl_exec::protocol::{OnCrash, Request, StopReason};

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::kept::Kept;
use crate::procs;

pub const FIGURE: Figure = Figure {
    name: "R8",
    what: "four of fifteen kinds of nasty process trees at once in one keeper, ended by themselves, by a limit or by order",
    target: "0 processes, zombies, descriptors left",
    short: Some(60),
    long: Some(1000),
    run,
};

const AT_ONCE: u64 = 4;

/// Who has cleared its environment may be of any attempt that runs, so that it is ended late and counted for none.
const UNMARKED: &str = "one has left its session and cleared its environment";

/// How a tree is nasty, as a line of `sh`, with `$0` the program for bad behaviour; and whether it ends by itself, and leaves
/// others behind.
const TREES: [(&str, &str, bool); 15] = [
    ("children hold its pipes", "exec $0 leave 3", true),
    ("one has left its session", "exec $0 escape", true),
    (UNMARKED, "exec $0 escape-unmarked", true),
    ("twice forked away", "setsid -f sh -c 'setsid -f sleep 60 >/dev/null 2>&1'; sleep 0.05", true),
    ("nobody heeds TERM", "trap '' TERM; sleep 60 & sleep 60 | cat; sleep 60", false),
    ("who heeds no TERM has left", "trap '' TERM; setsid sh -c 'sleep 60; :' & sleep 60; sleep 60", false),
    (
        "it makes zombies",
        "for i in 1 2 3 4 5 6 7 8; do sh -c 'true & true & exec sleep 60' & done; sleep 0.05",
        true,
    ),
    ("it closes its pipes", "exec $0 close-pipes", false),
    ("it breeds", "exec $0 breed", false),
    ("what is left is frozen", "sh -c 'kill -STOP $$; sleep 60' & sleep 0.05", true),
    ("a pipeline", "yes | sleep 60 | cat", false),
    (
        "told to end, it starts others",
        "trap 'setsid sleep 60 & setsid sleep 60 & exit' TERM; while :; do sleep 0.02; done",
        false,
    ),
    (
        "ten sessions deep",
        "echo '[ $1 = 0 ] && exec sleep 60; setsid sh ./$2 $(($1 - 1)) $2 & wait' > deep$$; sh ./deep$$ 10 deep$$",
        false,
    ),
    (
        "the first ends, its children go on forking",
        "(while :; do sleep 0.01; done) & (while :; do setsid sleep 0.01; done) &",
        true,
    ),
    ("it kills its own parent shell", "sh -c 'sleep 60 & kill -KILL $PPID; sleep 60'; sleep 60", true),
];

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let results =
        crew::each(trials, |trial| try_one(seed, trial).map_err(|why| format!("trial {trial}: {why}")));
    let failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let killed: u32 = results.into_iter().flatten().sum();
    crew::report("R8", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} with anything left; {} trees, of which {killed} processes were outlived and ended",
            failures.len(),
            trials * AT_ONCE
        ),
        verdict: Verdict::of(failures.is_empty()),
    }
}

/// Which trees a trial has: all of them in turn, each time in another order.
fn drawn(seed: u64, trial: u64) -> Vec<(&'static str, &'static str, bool)> {
    let number = |place: u64| {
        let (round, at) = (place / TREES.len() as u64, place % TREES.len() as u64);
        let mut dice = Dice::new(seed, "R8 order", round);
        let mut order: Vec<usize> = (0..TREES.len()).collect();
        for upper in (1..order.len()).rev() {
            order.swap(upper, dice.below(upper + 1));
        }
        order[at as usize]
    };
    (0..AT_ONCE).map(|n| TREES[number(trial * AT_ONCE + n)]).collect()
}

/// How many processes were there to be ended after their attempt's own.
fn try_one(seed: u64, trial: u64) -> Result<u32, String> {
    let mut dice = Dice::new(seed, "R8", trial);
    let rude = procs::beside("rude-child")?.to_string_lossy().into_owned();
    let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
    let keeper = kept.pid();
    let descriptors = procs::descriptors_of(keeper).map_err(|error| error.to_string())?;
    let trees = drawn(seed, trial);
    let mut claims = Vec::new();
    for (n, (_, line, ends)) in trees.iter().enumerate() {
        let mut start = kept.order(n as u64 + 1, &["/bin/sh", "-c", line, &rude]);
        start.kill_grace_ms = dice.below(120) as u64;
        let by_order = !ends && dice.percent(50);
        if !ends && !by_order {
            start.timeout_ms = Some(50 + dice.below(150) as u64);
        }
        claims.push((kept.start(start)?, by_order));
    }
    for (claim, _) in claims.iter().filter(|(_, by_order)| *by_order) {
        kept.started(*claim)?;
        let grace_ms = dice.below(120) as u64;
        let stop = Request::Stop { claim: *claim, reason: StopReason::Cancelled, grace_ms };
        kept.line()?.send(&stop)?;
    }
    let names: Vec<&str> = trees.iter().map(|(name, ..)| *name).collect();
    let told = |what: String| format!("{what}, after: {}", names.join("; "));
    let mut killed = 0;
    for ((claim, _), (name, _, ends)) in claims.iter().zip(&trees) {
        let outlived = kept.exited(*claim)?.leftovers_killed;
        // A tree that is not as nasty as it should be shows nothing.
        if *ends && *name != UNMARKED && outlived == 0 {
            return Err(told(format!("nobody was left to be ended of: {name}")));
        }
        killed += outlived;
    }
    let left = procs::living_in(&kept.jobs_dir());
    if !left.is_empty() {
        return Err(told(format!("{} processes left, such as {:?}", left.len(), left[0])));
    }
    // What has just been killed may not be reaped yet.
    let clean = || {
        procs::children_of(keeper).is_empty()
            && procs::descriptors_of(keeper).is_ok_and(|now| now == descriptors)
    };
    if procs::within(std::time::Duration::from_secs(5), "clean", clean).is_err() {
        if let Some(status) = kept.ended() {
            return Err(told(format!("the keeper is dead, {status}")));
        }
        let now = procs::descriptors_of(keeper).unwrap_or_default();
        let children = procs::children_of(keeper);
        return Err(told(format!("{children:?} left, and {now} descriptors where there were {descriptors}")));
    }
    Ok(killed)
}
