//! R7: jobs run and print through everything that happens to their worker: kills, handovers, hangups, a new worker beside it,
//! an upgrade to the next version. Each runs once, and its exit code and output are as it wrote them down.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::figures::upgrade::{Age, Both, has_schema};
use crate::house::{ADOPTED, House, Ledger, until};

pub const FIGURE: Figure = Figure {
    name: "R7",
    what: "jobs that run and print, while their worker is killed, hands over, is hung up, joined, upgraded; some end meanwhile",
    target: "100 % intact: one run, its exit code, its output",
    short: Some(50),
    long: Some(1000),
    run,
};

const JOBS_PER_HOUSE: u64 = 10;
const HOUSES_AT_ONCE: usize = 3;
/// Longer than what is kept inline; twice that is more than a pipe holds, in bytes.
const LONG_OUTPUT: u64 = 40_000;
/// Fewer lines than any job prints that prints through all blows.
const LINES_MIN: usize = 20;

#[derive(Debug, Clone, Copy)]
enum Blow {
    Killed,
    HandedOver,
    HungUp,
    /// A second worker is there when the first is killed.
    Joined,
    /// And the next version lies where the binary was when the next worker starts, which migrates the store.
    Upgraded,
}

const BLOWS: [Blow; 5] = [Blow::Killed, Blow::HandedOver, Blow::HungUp, Blow::Joined, Blow::Upgraded];

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let both = match Both::find() {
        Ok(both) => both,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let houses = crew::each_of(HOUSES_AT_ONCE, trials.div_ceil(JOBS_PER_HOUSE), |number| {
        let jobs = JOBS_PER_HOUSE.min(trials - number * JOBS_PER_HOUSE);
        let mut dice = Dice::new(seed, "R7", number);
        let mut house = House::new(&both.this)?;
        let intact = live_through(&mut house, &both, jobs, &mut dice);
        intact.map_err(|why| house.told(&format!("house {number}: {why}")))
    });
    let failures: Vec<String> = houses.iter().filter_map(|one| one.clone().err()).collect();
    let intact: u64 = houses.iter().flatten().map(|one| one.jobs).sum();
    let alone: u64 = houses.iter().flatten().map(|one| one.ended_alone).sum();
    let bytes: u64 = houses.iter().flatten().map(|one| one.bytes).sum();
    crew::report("R7", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{intact} of {trials} intact; {alone} ended with no worker; {} KiB of output compared",
            bytes / 1024
        ),
        verdict: Verdict::of(failures.is_empty() && intact == trials),
    }
}

/// What was found as it should be.
#[derive(Debug, Clone)]
struct Intact {
    jobs: u64,
    ended_alone: u64,
    /// Of output.
    bytes: u64,
}

fn live_through(house: &mut House, both: &Both, jobs: u64, dice: &mut Dice) -> Result<Intact, String> {
    house.program = house.path("queuectl");
    install(house, both.of(Age::Older))?;
    let mut worker = house.start_worker(&["--count", "16"], None)?;
    let lines = (0..jobs).map(|number| {
        let job = serde_json::json!({"id": format!("j{number}"), "command": line(number), "max_retries": 1});
        format!("{job}\n")
    });
    house.run(&["enqueue", "-", "--quiet"], Some(&lines.collect::<String>()))?;
    until("all run", || Ok(house.ledger()?.noted.len() as u64 == jobs))?;
    has_schema(house, 1)?;
    let (mut blows, mut ended_alone) = (BLOWS.to_vec(), 0);
    while !blows.is_empty() {
        let blow = blows.remove(dice.below(blows.len()));
        // Every other job ends at a blow.
        let ends = Some(2 * (BLOWS.len() - blows.len() - 1) as u64).filter(|number| *number < jobs);
        worker = strike(house, both, worker, blow, ends).map_err(|why| format!("{blow:?}: {why}"))?;
        ended_alone += u64::from(ends.is_some() && !matches!(blow, Blow::Joined));
    }
    has_schema(house, 2)?;
    fs::write(house.path("go"), "").map_err(|e| e.to_string())?;
    let ended = |state: &str| ["completed", "dead"].contains(&state);
    until("all end", || Ok(house.ledger()?.jobs.values().all(|job| ended(&job.state))))?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well().map_err(|why| format!("worker {worker}: {why}"))?;
    judge(house, jobs, ended_alone)
}

/// What a job does: it notes its begin and its end, and writes what it prints to a file of its own as well. One job of three
/// prints a line every 20 ms, one prints much at once, one little. It ends at its own word or at the last one.
fn line(number: u64) -> String {
    let awaited = format!("[ ! -e go ] && [ ! -e go-{number} ]");
    let prints = match number % 3 {
        0 => format!("n=0; while {awaited}; do n=$((n+1)); say \"line $n\"; sleep 0.02; done"),
        1 => format!(
            "z=$(printf %0{LONG_OUTPUT}d {number}); say \"$z\"; while {awaited}; do sleep 0.02; done; say \"$z$z\""
        ),
        _ => format!("say once; while {awaited}; do sleep 0.02; done"),
    };
    format!(
        "i=\"$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT\"; say() {{ printf '%s\\n' \"$1\" | tee -a said-$QUEUECTL_JOB_ID; }}; \
         echo \"begin $i $$\" >>notes; say \"$i $$\"; {prints}; echo \"end $i {code} said\" >>notes; exit {code}",
        code = number % 4
    )
}

/// What happens to the worker; returns the next one, once it has taken over. Between the two a job ends.
fn strike(house: &mut House, both: &Both, worker: u32, blow: Blow, ends: Option<u64>) -> Result<u32, String> {
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
        Blow::Upgraded => {
            install(house, both.of(Age::Newer))?;
            house.kill_worker(worker)?;
        }
    }
    if let Some(number) = ends {
        fs::write(house.path(&format!("go-{number}")), "").map_err(|e| e.to_string())?;
        let end = format!("end j{number} ");
        until("a job ends", || Ok(house.read("notes").contains(&end)))?;
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

fn judge(house: &House, jobs: u64, ended_alone: u64) -> Result<Intact, String> {
    let mut ledger = house.ledger()?;
    if ledger.jobs.len() as u64 != jobs {
        return Err(format!("of {jobs} jobs {} are there", ledger.jobs.len()));
    }
    // What a run printed is too much for a note.
    for ((id, _), noted) in &mut ledger.noted {
        let said = house.read(&format!("said-{id}"));
        for (_, printed) in &mut noted.ends {
            said.trim_end_matches('\n').clone_into(printed);
        }
    }
    ledger.check(|_| 1)?;
    let mut bytes = 0;
    for number in 0..jobs {
        bytes += look_at(house, &ledger, number).map_err(|why| format!("j{number}: {why}"))?;
    }
    Ok(Intact { jobs, ended_alone, bytes })
}

/// One run, and what people are shown of it is what it printed, byte by byte; returns how many those are.
fn look_at(house: &House, ledger: &Ledger, number: u64) -> Result<u64, String> {
    let id = format!("j{number}");
    let runs: Vec<_> = ledger.runs_of(&id).collect();
    if runs.len() != 1 || runs[0].1.outcome != "exited" {
        return Err(format!("it did not run once to its end: {runs:?}"));
    }
    let said = fs::read(house.path(&format!("said-{id}"))).map_err(|e| e.to_string())?;
    let shown = house.command(&["logs", &id, "--stdout"]).output().map_err(|e| e.to_string())?.stdout;
    if shown != said {
        return Err(format!("it printed {} bytes, and other {} are shown", said.len(), shown.len()));
    }
    let lines = said.split(|byte| *byte == b'\n').count();
    if number % 6 == 3 && lines < LINES_MIN {
        return Err(format!("it printed only {lines} lines"));
    }
    Ok(said.len() as u64)
}

/// Puts a copy of this binary in the place of the one before, as an upgrade does.
fn install(house: &House, program: &Path) -> Result<(), String> {
    let new = house.path("queuectl.new");
    // By a process of its own: a child that another thread starts meanwhile would hold the file open for writing, and then
    // nobody may run it.
    let copied = Command::new("cp").arg(program).arg(&new).status().map_err(|e| e.to_string())?;
    if !copied.success() {
        return Err(format!("cp of the binary ended with {copied}"));
    }
    fs::rename(&new, &house.program).map_err(|e| e.to_string())
}
