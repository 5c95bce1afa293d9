//! R22: two versions on one store. The next one is this tree with `--cfg queuectl_next`: one more schema, which admits the
//! one before, and one more version of the protocol. Its migration is broken off at every sync (`migration.rs`); then both
//! do all there is to do on both schemas, and take each other's keepers over.

use std::fs;
use std::path::{Path, PathBuf};

use crate::crew;
use crate::figure::{Figure, Outcome, Plan, Profile, Verdict};
use crate::figures::migration;
use crate::house::{self, ADOPTED, House, note, until};
use crate::snapshot::witness;

pub const FIGURE: Figure = Figure {
    name: "R22",
    what: "a migration broken off at every sync, by kill and power cut; the version before and the next one on both schemas",
    target: "0 unrecovered",
    short: None,
    long: None,
    run,
};

/// Of two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Older,
    Newer,
}

/// Programs of two versions.
pub struct Both {
    pub this: PathBuf,
    pub next: PathBuf,
}

impl Both {
    pub fn find() -> Result<Both, String> {
        Ok(Both { this: house::ordinary()?, next: house::next("queuectl")? })
    }

    pub fn of(&self, age: Age) -> &Path {
        match age {
            Age::Older => &self.this,
            Age::Newer => &self.next,
        }
    }
}

/// Both versions on one store.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// A worker of the one, all commands of the other.
    Work { schema: i64, worker: Age, client: Age },
    /// A worker of the one is killed, and one of the other takes its keeper over, which lived `beside` it or comes then.
    Adoption { schema: i64, from: Age, to: Age, beside: bool },
    /// The next version has shut the one before out, while that one runs a job.
    Excluded,
}

const CASES: [Case; 14] = {
    use Age::{Newer, Older};
    [
        Case::Work { schema: 1, worker: Older, client: Older },
        Case::Work { schema: 1, worker: Older, client: Newer },
        Case::Work { schema: 1, worker: Newer, client: Older },
        Case::Work { schema: 1, worker: Newer, client: Newer },
        Case::Work { schema: 2, worker: Older, client: Older },
        Case::Work { schema: 2, worker: Older, client: Newer },
        Case::Work { schema: 2, worker: Newer, client: Older },
        Case::Work { schema: 2, worker: Newer, client: Newer },
        Case::Adoption { schema: 1, from: Older, to: Newer, beside: false },
        Case::Adoption { schema: 1, from: Older, to: Newer, beside: true },
        Case::Adoption { schema: 1, from: Newer, to: Older, beside: true },
        Case::Adoption { schema: 2, from: Older, to: Newer, beside: false },
        Case::Adoption { schema: 2, from: Newer, to: Older, beside: false },
        Case::Excluded,
    ]
};

/// Stores whose migration is broken off everywhere.
const fn stores(profile: Profile) -> u64 {
    match profile {
        Profile::Short => 1,
        Profile::Long => 10,
    }
}

const CASES_AT_ONCE: usize = 3;

fn run(plan: &Plan) -> Outcome {
    let seed = plan.seed;
    let both = match Both::find() {
        Ok(both) => both,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let (mut images, mut syncs, mut migrated, mut failures) = (0, 0, 0, Vec::new());
    for broken in crew::each(stores(plan.profile), |number| migration::break_off(&both, seed, number)) {
        images += broken.trials;
        syncs += broken.syncs;
        migrated += broken.migrated;
        failures.extend(broken.failures);
    }
    let cases = crew::each_of(CASES_AT_ONCE, CASES.len() as u64, |number| {
        let case = CASES[number as usize];
        let mut house = House::new(&both.this)?;
        let played = play(&mut house, &both, case);
        played.map_err(|why| house.told(&format!("{case:?}: {why}")))
    });
    failures.extend(cases.into_iter().filter_map(Result::err));
    crew::report("R22", seed, &failures);
    let trials = images + CASES.len() as u64;
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong; {images} images around {syncs} syncs, {migrated} migrated already; {} cases of two versions",
            failures.len(),
            CASES.len()
        ),
        // Both sides of the commit were met.
        verdict: Verdict::of(failures.is_empty() && migrated > 0 && migrated < images),
    }
}

fn play(house: &mut House, both: &Both, case: Case) -> Result<(), String> {
    match case {
        Case::Work { schema, worker, client } => work(house, both, schema, worker, client),
        Case::Adoption { schema, from, to, beside } => adoption(house, both, schema, (from, to), beside),
        Case::Excluded => excluded(house, both),
    }
}

/// A store with this schema.
fn furnish(house: &mut House, both: &Both, schema: i64) -> Result<(), String> {
    both.of(Age::Older).clone_into(&mut house.program);
    house.run(&["init"], None)?;
    house.run(&["config", "set", "backoff-base", "1"], None)?;
    if schema > 1 {
        both.of(Age::Newer).clone_into(&mut house.program);
        house.run(&["migrate"], None)?;
    }
    has_schema(house, schema)
}

pub fn has_schema(house: &House, schema: i64) -> Result<(), String> {
    let version: i64 = witness(&house.database)
        .and_then(|connection| connection.query_row("SELECT version FROM meta", [], |row| row.get(0)))
        .map_err(|e| e.to_string())?;
    if version == schema { Ok(()) } else { Err(format!("the schema is {version}, not {schema}")) }
}

/// Starts a worker of a version, and waits until it is known.
fn start(house: &mut House, both: &Both, age: Age, words: &[&str]) -> Result<u32, String> {
    both.of(age).clone_into(&mut house.program);
    let pid = house.start_worker(words, None)?;
    until("the worker is known", || {
        let known = house.json(&["worker", "list", "--json"])?;
        Ok(known.as_array().is_some_and(|all| all.iter().any(|worker| worker["pid"] == pid)))
    })?;
    Ok(pid)
}

/// An older worker that does nothing keeps the older schema.
fn hold_schema(house: &mut House, both: &Both) -> Result<(), String> {
    start(house, both, Age::Older, &["--queue", "elsewhere"])?;
    both.of(Age::Newer).clone_into(&mut house.program);
    let refused = house.finish(house.command(&["migrate"]), None)?;
    if refused.status.success() || !refused.stderr.contains("older worker") {
        return Err(format!("it is migrated under an older worker: {}", refused.stderr));
    }
    Ok(())
}

fn work(house: &mut House, both: &Both, schema: i64, worker: Age, client: Age) -> Result<(), String> {
    furnish(house, both, schema)?;
    if (schema, worker) == (1, Age::Newer) {
        hold_schema(house, both)?;
    }
    let pid = start(house, both, worker, &["--count", "2"])?;
    both.of(client).clone_into(&mut house.program);
    let jobs = [
        ("prints", note(":", "hello")),
        ("late", note("[ -e late ] || c=1; touch late", "a")),
        ("dies", note("[ -e again ] || c=3", "b")),
    ];
    let lines = jobs.map(|(id, line)| {
        let tries = if id == "dies" { 1 } else { 3 };
        format!("{}\n", serde_json::json!({"id": id, "command": line, "max_retries": tries}))
    });
    house.run(&["enqueue", "-", "--quiet"], Some(&lines.concat()))?;
    change(house)?;
    let state_of = |house: &House, id: &str| -> Result<String, String> {
        Ok(house.ledger()?.jobs.get(id).map(|job| job.state.clone()).unwrap_or_default())
    };
    until("it dies", || Ok(state_of(house, "dies")? == "dead"))?;
    fs::write(house.path("again"), "").map_err(|e| e.to_string())?;
    house.run(&["retry", "dies"], None)?;
    for id in ["prints", "late", "dies"] {
        until("all end well", || Ok(state_of(house, id)? == "completed"))?;
    }
    look(house, pid)?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well()?;
    has_schema(house, schema)?;
    house.ledger()?.check(|id| if id == "dies" { 2 } else { 1 })
}

/// Commands that write.
fn change(house: &House) -> Result<(), String> {
    let commands: [&[&str]; 8] = [
        &["config", "set", "max-retries", "4"],
        &["queue", "pause", "mail"],
        &["enqueue", "--id", "waits", "-q", "mail", "-c", "true"],
        &["edit", "waits", "--set", "priority=3"],
        &["cancel", "waits"],
        &["enqueue", "--id", "goes", "-q", "mail", "-c", "true"],
        &["delete", "goes"],
        &["queue", "resume", "mail"],
    ];
    commands.iter().try_for_each(|command| house.run(command, None).map(drop))
}

/// Commands that read, also of what a worker of the other version wrote.
fn look(house: &House, worker: u32) -> Result<(), String> {
    let jobs = house.json(&["list", "--json"])?;
    if jobs.as_array().map(Vec::len) != Some(4) {
        return Err(format!("four jobs are not listed: {jobs}"));
    }
    let workers = house.json(&["worker", "list", "--json"])?;
    if !workers.as_array().is_some_and(|all| all.iter().any(|one| one["pid"] == worker)) {
        return Err(format!("the worker is not listed: {workers}"));
    }
    house.json(&["status", "--json"])?;
    house.run(&["show", "late"], None)?;
    house.run(&["doctor"], None)?;
    let printed = house.run(&["logs", "prints"], None)?;
    if printed.contains("hello") { Ok(()) } else { Err(format!("its output is not told: {printed}")) }
}

fn adoption(
    house: &mut House,
    both: &Both,
    schema: i64,
    (from, to): (Age, Age),
    beside: bool,
) -> Result<(), String> {
    furnish(house, both, schema)?;
    // Of two workers the older comes first, for it keeps the schema.
    let early = beside && to == Age::Older;
    if early {
        start(house, both, to, &["--queue", "elsewhere"])?;
    }
    let doomed = start(house, both, from, &["--count", "4"])?;
    let lines = (0..4).map(|number| {
        let line = note(&format!("until [ -e go ]; do sleep 0.05; done; c={}", number % 2), "a");
        format!("{}\n", serde_json::json!({"id": format!("j{number}"), "command": line, "max_retries": 1}))
    });
    house.run(&["enqueue", "-", "--quiet"], Some(&lines.collect::<String>()))?;
    until("all run", || Ok(house.ledger()?.noted.len() == 4))?;
    if beside && !early {
        start(house, both, to, &["--count", "4"])?;
    }
    has_schema(house, schema)?;
    house.kill_worker(doomed)?;
    if !beside {
        start(house, both, to, &["--count", "4"])?;
    }
    until("the keeper is taken over", || Ok(house.read("worker.log").contains(ADOPTED)))?;
    fs::write(house.path("go"), "").map_err(|e| e.to_string())?;
    all_end(house)?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well()?;
    ran_once(house, 4)?;
    // Nobody older was left to keep it.
    has_schema(house, if to == Age::Newer && !beside { 2 } else { schema })
}

fn excluded(house: &mut House, both: &Both) -> Result<(), String> {
    furnish(house, both, 2)?;
    start(house, both, Age::Older, &[])?;
    let line = note("until [ -e go ]; do sleep 0.05; done", "a");
    house.run(&["enqueue", "--id", "j0", "--max-retries", "1", "-c", &line], None)?;
    until("it runs", || Ok(house.ledger()?.noted.len() == 1))?;
    witness(&house.database)
        .and_then(|connection| connection.execute("UPDATE meta SET min_writer = 2", []))
        .map_err(|e| e.to_string())?;
    let refused = house.finish(house.command(&["enqueue", "-c", "true"]), None)?;
    if refused.status.code() != Some(5) || !refused.stderr.contains("use a newer queuectl") {
        return Err(format!("an older one may write, or is not told why not: {}", refused.stderr));
    }
    house.run(&["status"], None)?;
    house.run(&["list"], None)?;
    fs::write(house.path("go"), "").map_err(|e| e.to_string())?;
    until("the older worker leaves", || {
        house.ended();
        Ok(house.worker_pids().is_empty())
    })?;
    start(house, both, Age::Newer, &[])?;
    all_end(house)?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well()?;
    ran_once(house, 1)
}

fn all_end(house: &House) -> Result<(), String> {
    let ended = |state: &str| ["completed", "dead"].contains(&state);
    until("all end", || Ok(house.ledger()?.jobs.values().all(|job| ended(&job.state))))
}

fn ran_once(house: &House, jobs: usize) -> Result<(), String> {
    let ledger = house.ledger()?;
    ledger.check(|_| 1)?;
    if ledger.attempts.len() == jobs && ledger.jobs.values().all(|job| job.runs == 1) {
        Ok(())
    } else {
        Err(format!("not each ran once: {:?}", ledger.attempts))
    }
}
