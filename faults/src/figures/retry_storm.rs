//! R20: ten thousand jobs fail together, with jitter on; how evenly they come back. Store and settling are the real ones,
//! time is the trial's own.

use std::time::Duration;

use queuectl_core::retry::{Backoff, RetryPolicy};
use queuectl_core::settle::{Tally, decide};
use queuectl_core::store::{Claim, Exchange, Jobs, Settle, Settled};
use queuectl_sqlite::{Access, Clock, OpenOptions, SqliteStore};
use queuectl_testing::ManualClock;
use queuectl_testing::given::{self, Turn, With};

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};

pub const FIGURE: Figure = Figure {
    name: "R20",
    what: "10,000 jobs fail together with backoff-jitter on; starts in the busiest second, against the mean",
    target: "at most twice the mean",
    short: Some(1),
    long: Some(10),
    run,
};

const JOBS: usize = 10_000;
/// Claimed and settled in one exchange.
const AT_ONCE: usize = 1_000;
/// Of the wait, in seconds: what the jobs are to be spread over.
const SPREAD: usize = 60;
const PEAK_TO_MEAN_MAX: f64 = 2.0;

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let results = crew::each(trials, |trial| {
        try_one(&mut Dice::new(seed, "R20", trial)).map_err(|why| format!("trial {trial}: {why}"))
    });
    let mut failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let ratios: Vec<f64> = results.into_iter().flatten().collect();
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    if worst > PEAK_TO_MEAN_MAX {
        failures.push(format!("the busiest second is {worst:.2} times the mean"));
    }
    crew::report("R20", seed, &failures);
    Outcome {
        trials,
        result: format!("busiest second {worst:.2} times the mean of {SPREAD} s"),
        verdict: Verdict::of(failures.is_empty()),
    }
}

/// Starts in the busiest second, against the mean over the time that the waits are drawn from.
fn try_one(dice: &mut Dice) -> Result<f64, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let time = ManualClock::default();
        let clock = Clock::new({
            let time = time.clone();
            move || time.now()
        });
        let path = dir.path().join("queue.db");
        let options = OpenOptions::new(path, Access::CreateOrMigrate);
        let store = SqliteStore::open_with_clock(options, clock).await.map_err(|e| e.to_string())?;
        let store = store.ok_or("it was not made")?;
        let retry = RetryPolicy {
            backoff: Backoff::Fixed,
            base: SPREAD as f64,
            jitter: true,
            ..RetryPolicy::default()
        };
        let job = |n: usize| given::job(&format!("j{n}")).with(|spec| spec.retry = retry);
        store.insert((0..JOBS).map(job).collect()).await.map_err(|e| e.to_string())?;
        let failed = play(&store, dice, JOBS, false).await?;
        if failed != JOBS {
            return Err(format!("{failed} of {JOBS} jobs failed at first"));
        }
        let mut starts = Vec::new();
        for _ in 0..=SPREAD {
            time.advance(Duration::from_secs(1));
            starts.push(play(&store, dice, JOBS, true).await?);
        }
        let back: usize = starts.iter().sum();
        if back != JOBS {
            return Err(format!("{back} of {JOBS} jobs came back: {starts:?}"));
        }
        let peak = starts.iter().max().copied().unwrap_or_default();
        Ok(peak as f64 * SPREAD as f64 / JOBS as f64)
    })
}

/// Claims all that is due and settles it, well or not. Tells how many there were.
async fn play(store: &SqliteStore, dice: &mut Dice, most: usize, well: bool) -> Result<usize, String> {
    let mut count = 0;
    // Not to be asked once too often: a wait may be no wait at all, and its job be claimed and forgotten.
    while count < most {
        let request = Turn::of("worker").want(AT_ONCE).request();
        let claims = store.exchange(request).await.map_err(|e| e.to_string())?.claims;
        if claims.is_empty() {
            break;
        }
        count += claims.len();
        let mut turn = Turn::of("worker");
        for claim in &claims {
            turn = turn.settle(settled(claim, well, dice));
        }
        let reply = store.exchange(turn.request()).await.map_err(|e| e.to_string())?;
        if reply.settled.iter().any(|one| *one != Settled::Done) {
            return Err("an outcome was not recorded".to_owned());
        }
    }
    Ok(count)
}

fn settled(claim: &Claim, well: bool, dice: &mut Dice) -> Settle {
    let outcome = given::exited(i32::from(!well));
    let tally = Tally { attempts: claim.job.attempts, interruptions: claim.job.interruptions };
    let patch = decide(&claim.job.spec, tally, &outcome, "", dice.word());
    Settle { patch, ..given::outcome(claim, outcome) }
}
