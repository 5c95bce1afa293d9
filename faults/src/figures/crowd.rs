//! R16: eight command lines at a time, each a process of the binary as people run it, beside a worker and readers; whether any
//! of them is ever told that the database is busy, and how long an enqueue takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R16",
    what: "commands, 8 processes of the binary at a time, beside a worker and 4 readers; an enqueue from its start to its end",
    target: "0 busy errors shown, 99 of 100 enqueues by 50 ms",
    short: Some(5_000),
    long: Some(100_000),
    run,
};

const AT_ONCE: u64 = 8;
const READERS: [&[&str]; 4] = [
    &["status", "--json"],
    &["list", "--limit", "50"],
    &["stats"],
    &["list", "--state", "completed", "--json", "--limit", "50"],
];
const ENQUEUE_MAX: Duration = Duration::from_millis(50);
/// Times fail a run only beyond this many times their target.
const SLACK: u32 = 10;

/// What came of the commands that were given one after the other.
#[derive(Debug, Default)]
struct Given {
    errors: Vec<String>,
    /// How long each enqueue took.
    enqueues: Vec<Duration>,
    /// Jobs that no worker runs.
    resting: Vec<String>,
}

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let (mut failures, mut enqueues, mut reads) = (Vec::new(), Vec::new(), 0);
    match crowd(seed, trials) {
        Ok((given, count)) => {
            reads = count;
            for one in given {
                failures.extend(one.errors);
                enqueues.extend(one.enqueues);
            }
        }
        Err(why) => failures.push(why),
    }
    let errors = failures.len();
    enqueues.sort_unstable();
    let (half, most) = (procs::percentile(&enqueues, 50), procs::percentile(&enqueues, 99));
    if most > ENQUEUE_MAX * SLACK {
        failures.push(format!("an enqueue took {most:?}"));
    }
    crew::report("R16", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{errors} errors; {} enqueues, half by {} ms, 99 of 100 by {} ms; {reads} reads beside",
            enqueues.len(),
            half.as_millis(),
            most.as_millis()
        ),
        verdict: Verdict::in_time(failures.is_empty(), most <= ENQUEUE_MAX),
    }
}

/// What came of all commands, and how often the readers read.
fn crowd(seed: u64, trials: u64) -> Result<(Vec<Given>, usize), String> {
    let mut scene = Scene::new()?;
    scene.run(&["init"])?;
    scene.start_worker(&["--count", "2", "-q", "work"])?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> =
            READERS.iter().map(|words| scope.spawn(|| read(&scene, words, &over))).collect();
        let given = crew::each_of(AT_ONCE as usize, AT_ONCE, |number| {
            let (mut dice, mut given) = (Dice::new(seed, "R16", number), Given::default());
            for n in 0..trials / AT_ONCE {
                let id = format!("p{number}-{n}");
                if let Err(why) = operate(&scene, &mut dice, id, &mut given) {
                    given.errors.push(format!("command {n} of {number}: {why}"));
                }
            }
            given
        });
        over.store(true, Ordering::Relaxed);
        let mut reads = 0;
        for reader in readers {
            reads += reader.join().map_err(|_| "a reader broke off".to_owned())??;
        }
        Ok((given, reads))
    })
}

fn read(scene: &Scene, words: &[&str], over: &AtomicBool) -> Result<usize, String> {
    const REST: Duration = Duration::from_millis(250);
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        give(scene, words)?;
        count += 1;
        thread::sleep(REST);
    }
    Ok(count)
}

/// One command, as a process of its own.
fn operate(scene: &Scene, dice: &mut Dice, id: String, given: &mut Given) -> Result<(), String> {
    match dice.below(10) {
        0 if !given.resting.is_empty() => {
            let id = dice.pick(&given.resting);
            if !give(scene, &["show", id, "--json"])?.contains(id) {
                return Err(format!("{id} is not shown"));
            }
        }
        1 if !given.resting.is_empty() => {
            let id = given.resting.swap_remove(dice.below(given.resting.len()));
            give(scene, &["cancel", &id])?;
        }
        2 => drop(give(scene, &["status", "--json"])?),
        3 => drop(give(scene, &["list", "--limit", "20"])?),
        _ => {
            // The worker runs some of them; the others only lie there.
            let rests = dice.percent(80);
            let queue = if rests { "rest" } else { "work" };
            let begin = procs::now();
            give(scene, &["enqueue", "--id", &id, "-q", queue, "-c", "true"])?;
            given.enqueues.push(begin.elapsed());
            if rests {
                given.resting.push(id);
            }
        }
    }
    Ok(())
}

/// Must succeed, and not say that somebody had to wait for too long; gives its standard output.
fn give(scene: &Scene, words: &[&str]) -> Result<String, String> {
    let output = scene.output(words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !["busy", "locked"].iter().any(|word| said.contains(word)) {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}: {}: {}", words.join(" "), output.status, said.trim()))
    }
}
