//! R7: jobs run through everything that happens to their worker: kills, handovers, hangups, a new worker beside it, a
//! binary that is replaced. Each runs once, and its exit code and output are as it wrote them down.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::house::{self, ADOPTED, House, note, until};

pub const FIGURE: Figure = Figure {
    name: "R7",
    what: "running jobs, while their worker is killed, hands over, is hung up or joined, its binary replaced; then they end",
    target: "100 % intact: one run, its exit code, its output",
    short: Some(50),
    long: Some(1000),
    run,
};

const JOBS_PER_HOUSE: u64 = 10;
const HOUSES_AT_ONCE: usize = 3;
/// Longer than what is kept inline, in bytes.
const LONG_OUTPUT: u64 = 30_000;

#[derive(Debug, Clone, Copy)]
enum Blow {
    Killed,
    HandedOver,
    HungUp,
    /// A second worker is there when the first is killed.
    Joined,
    /// And another file has the binary's name when the next worker starts.
    Replaced,
}

const BLOWS: [Blow; 5] = [Blow::Killed, Blow::HandedOver, Blow::HungUp, Blow::Joined, Blow::Replaced];

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let program = match house::ordinary() {
        Ok(program) => program,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let houses = crew::each_of(HOUSES_AT_ONCE, trials.div_ceil(JOBS_PER_HOUSE), |number| {
        let jobs = JOBS_PER_HOUSE.min(trials - number * JOBS_PER_HOUSE);
        let mut dice = Dice::new(seed, "R7", number);
        let mut house = House::new(&program)?;
        let intact = live_through(&mut house, &program, jobs, &mut dice);
        intact.map_err(|why| house.told(&format!("house {number}: {why}")))
    });
    let failures: Vec<String> = houses.iter().filter_map(|one| one.clone().err()).collect();
    let intact: u64 = houses.iter().flatten().sum();
    crew::report("R7", seed, &failures);
    Outcome {
        trials,
        result: format!("{intact} of {trials} intact"),
        verdict: Verdict::of(failures.is_empty() && intact == trials),
    }
}

fn live_through(house: &mut House, program: &Path, jobs: u64, dice: &mut Dice) -> Result<u64, String> {
    house.program = house.path("queuectl");
    replace(house, program)?;
    let mut worker = house.start_worker(&["--count", "16"], None)?;
    let lines = (0..jobs).map(|number| {
        let long = if dice.percent(30) { LONG_OUTPUT } else { 1 + dice.below(200) as u64 };
        let wait = "until [ -e go ]; do sleep 0.05; done";
        let line = note(&format!("{wait}; c={}; z=$(printf %0{long}d {number})", number % 4), "$z");
        format!("{}\n", serde_json::json!({"id": format!("j{number}"), "command": line, "max_retries": 1}))
    });
    house.run(&["enqueue", "-", "--quiet"], Some(&lines.collect::<String>()))?;
    until("all run", || Ok(house.ledger()?.noted.len() as u64 == jobs))?;
    let mut blows: Vec<Blow> = BLOWS.to_vec();
    while blows.len() > 1 {
        let blow = blows.remove(dice.below(blows.len()));
        worker = strike(house, program, worker, blow).map_err(|why| format!("{blow:?}: {why}"))?;
    }
    worker = strike(house, program, worker, blows[0]).map_err(|why| format!("{:?}: {why}", blows[0]))?;
    fs::write(house.path("go"), "").map_err(|e| e.to_string())?;
    let ended = |state: &str| ["completed", "dead"].contains(&state);
    until("all end", || Ok(house.ledger()?.jobs.values().all(|job| ended(&job.state))))?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well().map_err(|why| format!("worker {worker}: {why}"))?;
    let ledger = house.ledger()?;
    ledger.check(|_| 1)?;
    let intact = |id: &String| {
        let mut runs = ledger.runs_of(id);
        runs.next().is_some_and(|(_, run)| run.outcome == "exited") && runs.next().is_none()
    };
    match ledger.jobs.keys().find(|id| !intact(id)) {
        None => Ok(ledger.jobs.len() as u64),
        Some(id) => Err(format!("{id} ran more than once: {:?}", ledger.runs_of(id).collect::<Vec<_>>())),
    }
}

/// What happens to the worker; returns the next one, once it has taken over.
fn strike(house: &mut House, program: &Path, worker: u32, blow: Blow) -> Result<u32, String> {
    let before = adoptions(house);
    let mut next = None;
    match blow {
        Blow::Killed => house.kill_worker(worker)?,
        Blow::HandedOver => {
            house.run(&["worker", "stop", "--handover"], None)?;
            house.workers_end_well()?;
        }
        Blow::HungUp => {
            house.hang_up_worker(worker)?;
            house.workers_end_well()?;
        }
        Blow::Joined => {
            let beside = house.start_worker(&["--count", "16"], None)?;
            registered(house, beside)?;
            house.kill_worker(worker)?;
            next = Some(beside);
        }
        Blow::Replaced => {
            replace(house, program)?;
            house.kill_worker(worker)?;
        }
    }
    let next = next.map_or_else(|| house.start_worker(&["--count", "16"], None), Ok)?;
    until("all is taken over", || Ok(adoptions(house) > before))?;
    Ok(next)
}

fn adoptions(house: &House) -> usize {
    house.read("worker.log").matches(ADOPTED).count()
}

fn registered(house: &House, worker: u32) -> Result<(), String> {
    until("the next worker is there", || {
        let list = house.run(&["worker", "list", "--json"], None)?;
        Ok(list.contains(&format!("\"pid\": {worker},")))
    })
}

/// Puts a fresh copy of the binary in its place, as an upgrade does.
fn replace(house: &House, program: &Path) -> Result<(), String> {
    let new = house.path("queuectl.new");
    // By a process of its own: a child that another thread starts meanwhile would hold the file open for writing, and then
    // nobody may run it.
    let copied = Command::new("cp").arg(program).arg(&new).status().map_err(|e| e.to_string())?;
    if !copied.success() {
        return Err(format!("cp of the binary ended with {copied}"));
    }
    fs::rename(&new, &house.program).map_err(|e| e.to_string())
}
