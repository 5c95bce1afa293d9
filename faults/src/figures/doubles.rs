//! R3 and R4a: workers and keepers are killed at random, one or both, while jobs run that hold a lock. No run overlaps with
//! another of the same job, and each job ends once.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::house::{self, House, Keeper, keepers, note, until};
use crate::snapshot::faults_in;

pub const FIGURE: Figure = Figure {
    name: "R3",
    what: "workers, keepers and both together killed at random; each job holds a lock, and notes if another holds it (R4a)",
    target: "0 double outcomes, 0 overlaps",
    short: Some(300),
    long: Some(5000),
    run,
};

const KILLS_PER_HOUSE: u64 = 50;
const HOUSES_AT_ONCE: usize = 4;
/// Workers of a house, each with so many slots.
const WORKERS: usize = 2;
const SLOTS: &str = "3";
/// More are enqueued when fewer wait.
const WAITING_MIN: usize = 8;
const ENQUEUED_AT_ONCE: usize = 24;
/// Longest pause before a kill, in milliseconds.
const PAUSE_MAX: usize = 250;

fn run(plan: &Plan) -> Outcome {
    let (seed, kills) = (plan.seed, plan.trials.unwrap_or_default());
    let program = match house::ordinary() {
        Ok(program) => program,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let houses = crew::each_of(HOUSES_AT_ONCE, kills.div_ceil(KILLS_PER_HOUSE), |number| {
        let some = KILLS_PER_HOUSE.min(kills - number * KILLS_PER_HOUSE);
        let mut house = House::new(&program)?;
        let lived = haunt(&mut house, some, seed, number).and_then(|haunted| judge(&mut house, &haunted));
        lived.map(|jobs| (some, jobs)).map_err(|why| house.told(&format!("house {number}: {why}")))
    });
    let failures: Vec<String> = houses.iter().filter_map(|one| one.clone().err()).collect();
    let good = houses.iter().flatten();
    let (done, jobs) = good.fold((0, 0), |(done, jobs), (killed, ended)| (done + killed, jobs + ended));
    crew::report("R3", seed, &failures);
    Outcome {
        trials: done,
        result: format!("{} houses of {} wrong; {jobs} jobs ended once each", failures.len(), houses.len()),
        verdict: Verdict::of(failures.is_empty()),
    }
}

/// What was done in a house.
#[derive(Default)]
struct Haunted {
    enqueued: usize,
    /// By their ids.
    keepers_killed: BTreeSet<String>,
}

/// Kills until there were enough.
fn haunt(house: &mut House, kills: u64, seed: u64, number: u64) -> Result<Haunted, String> {
    // How many jobs there are depends on time; whom the kills meet must not.
    let (mut dice, mut dice_of_jobs) = (Dice::new(seed, "R3", number), Dice::new(seed, "R3 jobs", number));
    house.run(&["config", "set", "crash-limit", "1000000"], None)?;
    house.run(&["config", "set", "backoff-max", "10ms"], None)?;
    let mut haunted = Haunted::default();
    for _ in 0..kills {
        haunted.enqueued = feed(house, haunted.enqueued, &mut dice_of_jobs)?;
        if let Some((_, status)) = house.ended().first() {
            return Err(format!("a worker ended by itself with {status}"));
        }
        while house.worker_pids().len() < WORKERS {
            house.start_worker(&["--count", SLOTS], None)?;
        }
        thread::sleep(Duration::from_millis(dice.below(PAUSE_MAX) as u64));
        let mut keeper = None;
        until("there is a keeper", || {
            keeper = keepers(&house.run_dir()).into_iter().next();
            Ok(keeper.is_some())
        })?;
        let workers = house.worker_pids();
        let worker = *dice.pick(&workers);
        let own = |pid: u32| keepers(&house.run_dir()).into_iter().find(|one| one.parent == pid);
        let (doomed, keepers_doomed) = match dice.below(4) {
            0 => (vec![worker], vec![]),
            1 => (vec![], keeper.into_iter().collect()),
            2 => (vec![worker], own(worker).into_iter().collect()),
            _ => (workers, keepers(&house.run_dir())),
        };
        let worker_first = dice.percent(50);
        if !worker_first {
            keepers_doomed.iter().for_each(Keeper::kill);
        }
        for pid in doomed {
            house.kill_worker(pid)?;
        }
        if worker_first {
            keepers_doomed.iter().for_each(Keeper::kill);
        }
        haunted.keepers_killed.extend(keepers_doomed.into_iter().map(|one| one.id));
    }
    Ok(haunted)
}

/// Some jobs wait at all times.
fn feed(house: &House, enqueued: usize, dice: &mut Dice) -> Result<usize, String> {
    let waiting = if enqueued == 0 {
        0
    } else {
        house.ledger()?.jobs.values().filter(|job| job.state == "pending").count()
    };
    if waiting >= WAITING_MIN {
        return Ok(enqueued);
    }
    let lines = (enqueued..enqueued + ENQUEUED_AT_ONCE).map(|number| {
        let hold = "exec 9>>lock-$QUEUECTL_JOB_ID; flock -n 9 || echo $QUEUECTL_JOB_ID >>overlaps";
        // A part of some is in no group of the job's, and holds the lock as well.
        let apart = if dice.percent(30) { "setsid sleep 20 &" } else { ":;" };
        let rest = dice.below(15);
        let fails = if dice.percent(20) { "[ $QUEUECTL_ATTEMPT -gt 1 ] || c=3" } else { ":" };
        let line = note(&format!("{hold}; {apart} sleep 0.{rest:02}; {fails}"), &dice.letters(12));
        format!("{}\n", serde_json::json!({"id": format!("j{number}"), "command": line}))
    });
    house.run(&["enqueue", "-", "--quiet"], Some(&lines.collect::<String>()))?;
    Ok(enqueued + ENQUEUED_AT_ONCE)
}

/// Everything comes to its end, and is looked through; returns how many jobs ended.
fn judge(house: &mut House, haunted: &Haunted) -> Result<u64, String> {
    until("the workers end", || {
        // Again and again, for one that was only starting was not told.
        house.run(&["worker", "stop"], None)?;
        match house.ended().into_iter().find(|(_, status)| !status.success()) {
            Some((_, status)) => Err(format!("a worker ended with {status}")),
            None => Ok(house.worker_pids().is_empty()),
        }
    })?;
    house.start_worker(&["--count", "8", "--drain"], None)?;
    house.workers_end_well()?;
    let overlaps = house.read("overlaps");
    if !overlaps.is_empty() {
        return Err(format!("runs overlapped: {}", overlaps.replace('\n', " ")));
    }
    died_of_us(&house.read("worker.log"), &haunted.keepers_killed)?;
    let ledger = house.ledger()?;
    ledger.check(|_| 1)?;
    if ledger.jobs.len() != haunted.enqueued {
        return Err(format!(
            "of {} jobs that were enqueued {} are there",
            haunted.enqueued,
            ledger.jobs.len()
        ));
    }
    if let Some((id, job)) = ledger.jobs.iter().find(|(_, job)| job.state != "completed") {
        return Err(format!("{id} did not complete: {job:?}"));
    }
    let found = faults_in(&house.database).map_err(|e| e.to_string())?;
    if found.is_empty() { Ok(ledger.jobs.len() as u64) } else { Err(found.join("; ")) }
}

/// Workers tell of the deaths of their keepers. Nobody died by himself, and nobody has panicked.
fn died_of_us(log: &str, killed: &BTreeSet<String>) -> Result<(), String> {
    if log.contains("panicked") {
        return Err("somebody panicked".to_owned());
    }
    let died = log.lines().filter(|line| line.contains("keeper died"));
    let id = |line: &str| line.split_once("keeper.id=").map(|(_, id)| id.trim().to_owned());
    // Who died while it started is told of with no name.
    match died.filter_map(id).find(|id| !killed.contains(id)) {
        Some(id) => Err(format!("the keeper {id} died, and nobody killed it")),
        None => Ok(()),
    }
}
