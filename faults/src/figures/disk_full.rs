//! R12: a disk that becomes full at some level while jobs are enqueued and run, and then has room again.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::apart::{self, Own};
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R12",
    what: "a disk that is full at some level while jobs are enqueued and run; then there is room again",
    target: "0 corrupt, 0 wrong acknowledgements, all goes on within 5 s",
    short: Some(20),
    long: Some(200),
    run,
};

const DISK: &str = "8m";
/// Left free when the trouble begins, at most, in KiB: from nothing to more than all of it needs.
const FREE_KIB_MAX: usize = 1200;
const RESUME_MAX: Duration = Duration::from_secs(5);
/// Times fail a run only beyond this many times their target.
const SLACK: u32 = 10;
const REFUSED: i32 = 5;

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    if !apart::can_have(Own::Mounts) {
        return Outcome {
            trials: 0,
            result: "nothing may be mounted here".to_owned(),
            verdict: Verdict::Skip,
        };
    }
    let results = crew::each(trials, |trial| {
        let told =
            apart::stage().and_then(|(_dir, place)| apart::play(Own::Mounts, "R12", seed, trial, &place));
        told.map_err(|why| format!("trial {trial}: {why}"))
    });
    let mut failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let numbers = |text: &String| -> Option<(u64, u64)> {
        let (took, refused) = text.trim_end_matches('.').split_once(' ')?;
        Some((took.parse().ok()?, refused.parse().ok()?))
    };
    let told: Vec<(u64, u64)> = results.iter().flatten().filter_map(numbers).collect();
    let slowest = Duration::from_millis(told.iter().map(|(took, _)| *took).max().unwrap_or_default());
    let refused: u64 = told.iter().map(|(_, refused)| *refused).sum();
    if slowest > RESUME_MAX * SLACK {
        failures.push(format!("it took {slowest:?} to go on"));
    }
    if refused == 0 {
        failures.push("no disk was ever full".to_owned());
    }
    crew::report("R12", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong; {refused} enqueues refused; all had gone on within {:.1} s",
            failures.len(),
            slowest.as_secs_f64()
        ),
        verdict: Verdict::in_time(failures.is_empty(), slowest <= RESUME_MAX),
    }
}

/// Milliseconds until all went on, and how many enqueues were refused.
pub fn inside(seed: u64, trial: u64) -> apart::Told {
    let mut dice = Dice::new(seed, "R12", trial);
    let place = Path::new(".").canonicalize().map_err(|error| error.to_string())?;
    let small = place.join("small");
    std::fs::create_dir(&small).map_err(|error| error.to_string())?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={DISK}"), "tmpfs"]).arg(&small);
    let mounted = mount.status().map_err(|error| error.to_string())?;
    if !mounted.success() {
        return Err("the small disk cannot be mounted".to_owned());
    }
    let mut scene = Scene::in_place(&place, &small.join("queue.db"))?;
    let mut acknowledged = BTreeSet::new();
    // Some of them print more than fits the database.
    for n in 0..4 {
        let line = format!("echo before{n} >> ran; sleep 0.0{n}; seq 1 {}", 4000 * n);
        scene.run(&["enqueue", "--id", &format!("before{n}"), "-c", &line])?;
        acknowledged.insert(format!("before{n}"));
    }
    let early = dice.percent(50);
    if early {
        scene.start_worker(&["--count", "2"])?;
    }
    fill(&small, dice.below(FREE_KIB_MAX) as u64 * 1024)?;
    let mut refused = 0;
    for n in 0..10 {
        let pad = "x".repeat(500 + dice.below(8000));
        let line = format!("echo during{n} >> ran; : {pad}");
        let id = format!("during{n}");
        let output = scene.output(&["enqueue", "--id", &id, "-c", &line])?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => drop(acknowledged.insert(id)),
            Some(REFUSED) if said.contains("full") => refused += 1,
            code => return Err(format!("an enqueue ended with {code:?}: {}", said.trim())),
        }
    }
    std::fs::remove_file(small.join("ballast")).map_err(|error| error.to_string())?;
    let begin = procs::now();
    if !early {
        scene.start_worker(&["--count", "2"])?;
    }
    scene.run(&["enqueue", "--id", "after", "-c", "echo after >> ran"])?;
    acknowledged.insert("after".to_owned());
    let completed = || ids(&scene, &["list", "--state", "completed", "--quiet"]);
    procs::until("all has run", || completed().is_ok_and(|ids| ids.is_superset(&acknowledged)))
        .map_err(|why| format!("{why}; it runs: {:?}; the log: {}", completed(), scene.log()))?;
    let took = begin.elapsed();
    check(&scene, &acknowledged)?;
    Ok(format!("{} {refused}", took.as_millis()))
}

/// Leaves so many bytes free.
fn fill(disk: &Path, free: u64) -> Result<(), String> {
    let now = queuectl_exec::machine::free_bytes(disk).map_err(|error| error.to_string())?;
    match std::fs::write(disk.join("ballast"), vec![1; now.saturating_sub(free) as usize]) {
        // A worker that runs takes room meanwhile: then it is quite full.
        Err(error) if error.kind() != std::io::ErrorKind::StorageFull => {
            Err(format!("the disk cannot be filled: {error}"))
        }
        _ => Ok(()),
    }
}

fn ids(scene: &Scene, words: &[&str]) -> Result<BTreeSet<String>, String> {
    Ok(scene.run(words)?.lines().map(str::to_owned).collect())
}

/// What was acknowledged is there, and nothing else; it ran once; the file is sound.
fn check(scene: &Scene, acknowledged: &BTreeSet<String>) -> Result<(), String> {
    let there = ids(scene, &["list", "--quiet"])?;
    if there != *acknowledged {
        return Err(format!("acknowledged {acknowledged:?}, there {there:?}"));
    }
    let mut ran = scene.lines("ran");
    ran.sort_unstable();
    if ran.iter().ne(acknowledged) {
        return Err(format!("acknowledged {acknowledged:?}, run {ran:?}"));
    }
    let doctor = scene.output(&["doctor"])?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    if !said.contains("the database is sound") || !said.contains("the kept counts are right") {
        return Err(format!("doctor: {said}"));
    }
    Ok(())
}
