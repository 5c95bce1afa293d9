//! R16: eight processes that open the store anew for each operation, as the command line does, beside a worker and readers;
//! whether any of them is ever told that the database is busy, and how long an enqueue takes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use queuectl::{Access, Client, Enqueuer, JobRequest};
use queuectl_core::id::JobId;
use queuectl_core::query::Filter;
use serde::{Deserialize, Serialize};

use crate::apart::{self, Own};
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R16",
    what: "operations of 8 processes, each opening the store anew, beside a worker and 3 readers of the real binary",
    target: "0 busy errors shown, 99 of 100 enqueues by 50 ms",
    short: Some(5_000),
    long: Some(100_000),
    run,
};

const PROCESSES: u64 = 8;
const READERS: [&[&str]; 3] = [&["status", "--json"], &["list", "--limit", "50"], &["stats"]];
const ENQUEUE_MAX: Duration = Duration::from_millis(50);
/// Times fail a run only beyond this many times their target.
const SLACK: u32 = 10;
/// Beside the scene's database: how many operations each process makes.
const SHARE: &str = "share";

/// What a process tells of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Said {
    errors: Vec<String>,
    /// Of each enqueue, in microseconds.
    enqueues: Vec<u64>,
}

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let (mut failures, mut enqueues, mut reads) = (Vec::new(), Vec::new(), 0);
    match crowd(seed, trials) {
        Ok((said, count)) => {
            reads = count;
            for one in said {
                failures.extend(one.errors);
                enqueues.extend(one.enqueues.into_iter().map(Duration::from_micros));
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

/// What each process said, and how often the readers read.
fn crowd(seed: u64, trials: u64) -> Result<(Vec<Said>, usize), String> {
    let mut scene = Scene::new()?;
    std::fs::write(scene.path(SHARE), (trials / PROCESSES).to_string()).map_err(|error| error.to_string())?;
    scene.start_worker(&["--count", "2", "-q", "work"])?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> =
            READERS.iter().map(|words| scope.spawn(|| read(&scene, words, &over))).collect();
        let here = scene.path(".");
        let said = crew::each_of(PROCESSES as usize, PROCESSES, |number| {
            let text = apart::play(Own::Nothing, "R16", seed, number, &here)?;
            serde_json::from_str::<Said>(text.trim_end_matches('.')).map_err(|error| error.to_string())
        });
        over.store(true, Ordering::Relaxed);
        let mut reads = 0;
        for reader in readers {
            reads += reader.join().map_err(|_| "a reader broke off".to_owned())??;
        }
        Ok((said.into_iter().collect::<Result<_, _>>()?, reads))
    })
}

fn read(scene: &Scene, words: &[&str], over: &AtomicBool) -> Result<usize, String> {
    const REST: Duration = Duration::from_millis(250);
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        scene.run(words)?;
        count += 1;
        thread::sleep(REST);
    }
    Ok(count)
}

/// One of the processes.
pub fn inside(seed: u64, number: u64) -> apart::Told {
    let mut dice = Dice::new(seed, "R16", number);
    let told = |error: std::io::Error| error.to_string();
    let share: usize = std::fs::read_to_string(SHARE).map_err(told)?.parse().map_err(|_| "no share")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
    let (mut said, mut mine) = (Said::default(), Vec::new());
    for n in 0..share {
        if let Err(why) =
            runtime.block_on(operate(&mut dice, &format!("p{number}-{n}"), &mut mine, &mut said))
        {
            said.errors.push(format!("process {number}, operation {n}: {why}"));
        }
    }
    serde_json::to_string(&said).map_err(|error| error.to_string())
}

async fn operate(dice: &mut Dice, id: &str, mine: &mut Vec<JobId>, said: &mut Said) -> Result<(), String> {
    let begin = procs::now();
    let client = Client::open(Path::new("queue.db"), Access::WriteHere).await.map_err(|e| e.to_string())?;
    let client = client.ok_or("the database has gone")?;
    match dice.below(10) {
        0 if !mine.is_empty() => {
            let id = dice.pick(mine).clone();
            client.job(&id).await.map_err(|e| e.to_string())?.ok_or_else(|| format!("{id} has gone"))?;
        }
        1 if !mine.is_empty() => {
            let one = mine.swap_remove(dice.below(mine.len()));
            client.cancel(&[one]).await.map_err(|e| e.to_string())?;
        }
        2 => drop(client.counts().await.map_err(|e| e.to_string())?),
        3 => drop(client.list(&Filter::default(), Some(20)).await.map_err(|e| e.to_string())?),
        _ => {
            // The worker runs some of them; the others only lie there.
            let queue = if dice.percent(20) { "work" } else { "rest" };
            let request = JobRequest {
                id: Some(id.to_owned()),
                command: Some("true".to_owned()),
                queue: Some(queue.to_owned()),
                ..JobRequest::default()
            };
            let ids = client.enqueue(vec![request], &Enqueuer::default()).await.map_err(|e| e.to_string())?;
            said.enqueues.push(begin.elapsed().as_micros() as u64);
            mine.extend(ids);
        }
    }
    Ok(())
}
