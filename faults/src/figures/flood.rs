//! R11: the memory of a worker and its keeper while four jobs print without end.

use std::path::Path;

use queuectl_core::limits::OUTPUT_BYTES_DEFAULT;

use crate::crew;
use crate::figure::{Figure, Outcome, Plan, Profile, Verdict};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R11",
    what: "four jobs of output at once (short: 1 GiB each, long: 8 GiB): zeros, lines, noise, one long line",
    target: "worker and keeper grow by at most 32 MiB",
    short: Some(4),
    long: Some(4),
    run,
};

const MIB: u64 = 1024 * 1024;
const GROWTH_MIB_MAX: u64 = 32;
/// What prints so many bytes.
const SOURCES: [&str; 4] = [
    "head -c BYTES /dev/zero",
    "yes 'a line of a log, as long as they are' | head -c BYTES",
    "head -c BYTES /dev/urandom",
    "yes x | tr -d '\\n' | head -c BYTES",
];

fn run(plan: &Plan) -> Outcome {
    let bytes = if plan.profile == Profile::Long { 8 * 1024 * MIB } else { 1024 * MIB };
    let (result, failures) = match flood(bytes) {
        Ok((mib, failures)) => (format!("{mib} MiB grown, {} MiB printed by each", bytes / MIB), failures),
        Err(why) => ("it broke off".to_owned(), vec![why]),
    };
    crew::report("R11", plan.seed, &failures);
    Outcome { trials: SOURCES.len() as u64, result, verdict: Verdict::of(failures.is_empty()) }
}

/// By how many MiB both grew, and what was wrong.
fn flood(bytes: u64) -> Result<(u64, Vec<String>), String> {
    let mut scene = Scene::new()?;
    let worker = scene.start_worker(&["--count", "4"])?;
    let keeper = procs::keeper_of(worker)?;
    for n in 0..8 {
        scene.run(&["enqueue", "--id", &format!("warm{n}"), "-c", "seq 1 20000"])?;
    }
    let ended = |count: usize| {
        scene
            .run(&["list", "--state", "completed", "--quiet"])
            .is_ok_and(|list| list.lines().count() >= count)
    };
    procs::until("both are warm", || ended(8))?;
    let told = |error: std::io::Error| format!("no memory is told: {error}");
    // What it took to start would hide what is added.
    let of_both = |kib: fn(u32) -> std::io::Result<u64>| {
        Ok::<_, String>(kib(worker).map_err(told)? + kib(keeper).map_err(told)?)
    };
    let before = of_both(procs::forget_memory_peak)?;
    for (n, source) in SOURCES.iter().enumerate() {
        let line = source.replace("BYTES", &bytes.to_string());
        scene.run(&["enqueue", "--id", &format!("flood{n}"), "-r", "1", "-c", &line])?;
    }
    // A second for 4 MiB is far too slow.
    let patience = std::time::Duration::from_secs(60 + bytes / MIB);
    let mut longest = 0;
    let all_printed = || {
        longest = longest.max(longest_file(&scene.path("queue.db.out")));
        ended(8 + SOURCES.len())
    };
    procs::within(patience, "all is printed", all_printed)?;
    let growth = of_both(procs::memory_peak_kib)?.saturating_sub(before).div_ceil(1024);
    let mut wrong = Vec::new();
    if growth > GROWTH_MIB_MAX {
        wrong.push(format!("worker and keeper grew by {growth} MiB"));
    }
    if longest == 0 || longest > OUTPUT_BYTES_DEFAULT {
        wrong.push(format!("a file of output had {longest} bytes"));
    }
    for (n, source) in SOURCES.iter().enumerate() {
        let job = scene.json(&["show", &format!("flood{n}"), "--json"])?;
        let printed = job["attempts_log"][0]["stdout"]["bytes"].as_u64();
        let kept = scene.output(&["logs", &format!("flood{n}"), "--stdout"])?.stdout.len() as u64;
        if printed != Some(bytes) || kept > OUTPUT_BYTES_DEFAULT {
            wrong.push(format!("of {bytes} bytes {printed:?} were counted, {kept} kept: {source}"));
        }
    }
    Ok((growth, wrong))
}

/// In bytes; 0 where there is no file.
fn longest_file(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or_default()
}
