//! The peers. `bench/peers.sh` installs them; a script each in `bench/peers/` drives one in its own best setting, prints the
//! seconds that its work took, and fails unless all of it was done.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::meter::{Usage, bounded, metered};
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::stand::{Fault, Scale, Stand};

/// A peer that does fewer jobs than this a second gets no more than take it so many seconds.
const SLOW_JOBS_PER_SECOND: f64 = 200.0;
const SLOW_SECONDS: f64 = 10.0;
/// Any other gets all of them, unless that would take longer than this: a million, one by one, do.
const PEER_SECONDS: f64 = 30.0;
/// Whoever takes longer, its start and its end included, hangs.
const PEER_PATIENCE: Duration = Duration::from_secs(120);
/// Jobs of the first, short run, which shows how fast a peer is, if it takes so long.
const PROBE_JOBS: usize = 20;
const PROBE_SECONDS: f64 = 2.0;
/// More jobs that wait at once, a process each, than this are too many for nq; and more clients than this, one for each job
/// that waits, for the server of task-spooler, which then answers nobody.
const NQ_JOBS_MAX: usize = 500;
const TASK_SPOOLER_JOBS_MAX: usize = 900;

/// What a peer does where a process each enqueues.
pub const ENQUEUE: &str = "enqueue";

struct Peer {
    name: &'static str,
    /// Its name in `bench/peers.sh`.
    installed: &'static str,
    script: &'static str,
    /// What has to be there: a file below the peers' directory, or a command.
    needs: &'static str,
    /// What it takes part in.
    does: &'static [&'static str],
    durability: &'static str,
    setting: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "HyperQueue",
        installed: "hyperqueue",
        script: "hyperqueue.py",
        needs: "python/hyperqueue",
        does: &["shell"],
        durability: "no journal: nothing outlives its server but the output files, which are not synced",
        setting: "local cluster, one worker with 4 cores, one job with many tasks, submitted beforehand behind a \
                  task that takes all cores, each task's output in files; to the last byte of \
                  output",
    },
    Peer {
        name: "task-spooler",
        installed: "task-spooler",
        script: "task-spooler.sh",
        needs: "tsp",
        does: &["shell", ENQUEUE],
        durability: "in memory: nothing outlives its server but the output files, which are not synced",
        setting: "4 slots, output in files; a client process each to enqueue",
    },
    Peer {
        name: "pueue",
        installed: "pueue",
        script: "pueue.sh",
        needs: "cargo/bin/pueue",
        does: &["shell", ENQUEUE],
        durability: "its whole state rewritten at each change, not synced",
        setting: "its daemon, 4 at once, paused while enqueuing; to the end that \
                  it writes down of the last job; a client process each to enqueue",
    },
    Peer {
        name: "nq",
        installed: "nq",
        script: "nq.sh",
        needs: "nq",
        does: &["shell", ENQUEUE],
        durability: "in the processes that wait; output in files, not synced",
        setting: "one at a time, it knows no more; a process each to enqueue",
    },
    Peer {
        name: "GNU parallel",
        installed: "parallel",
        script: "parallel.sh",
        needs: "parallel",
        does: &["shell"],
        durability: "nothing outlives it",
        setting: "-j4, output grouped into one file",
    },
    Peer {
        name: "bunqueue",
        installed: "bunqueue",
        script: "bunqueue.mjs",
        needs: "npm/node_modules/bunqueue",
        does: &["shell", "bulk", "drain"],
        durability: "SQLite behind a buffer that is written every few milliseconds, not synced at each commit",
        setting: "embedded, on a file, under Bun; addBulk by 1,000; concurrency 4, Bun.spawn a job; drain: \
                  concurrency 1,000, batchSize 1,000, no heartbeats, no locks",
    },
    Peer {
        name: "plainjob",
        installed: "plainjob",
        script: "plainjob.mjs",
        needs: "npm/node_modules/plainjob",
        does: &["shell", "bulk"],
        durability: "SQLite, synchronous = NORMAL: the last commits may be lost with the machine",
        setting: "better-sqlite3 under Node; addMany; 4 workers, execFile a job",
    },
    Peer {
        name: "liteque",
        installed: "liteque",
        script: "liteque.mjs",
        needs: "npm/node_modules/liteque",
        does: &["bulk"],
        durability: "SQLite, synchronous = NORMAL: the last commits may be lost with the machine",
        setting: "better-sqlite3 under Node; one enqueue a job, it has no bulk; its worker does not run on this driver",
    },
    Peer {
        name: "huey",
        installed: "huey",
        script: "huey.py",
        needs: "python/huey",
        does: &["shell", "bulk"],
        durability: "SQLite in WAL mode, synced in full (fsync=True)",
        setting: "4 threads, subprocess.run a job; one enqueue a job: it has no bulk",
    },
    Peer {
        name: "litequeue",
        installed: "litequeue",
        script: "litequeue.py",
        needs: "python/litequeue.py",
        does: &["shell", "bulk"],
        durability: "SQLite, synchronous = NORMAL: the last commits may be lost with the machine",
        setting: "4 threads that take, run and finish: it has no worker; one put a job: it has no bulk",
    },
];

/// Adds the peers that take part in a scenario, each compared to ours; `wanted` says what is wanted of some of the ratios.
pub fn join<'a>(
    plan: &mut Plan<'a>,
    stand: &'a Stand,
    what: &'static str,
    jobs: usize,
    figure: &'static str,
    ours: &'static str,
    wanted: &[(&str, f64)],
) {
    for peer in PEERS.iter().filter(|peer| peer.does.contains(&what)) {
        let want = wanted.iter().find(|(name, _)| *name == peer.name);
        let want = want.map_or(Want::Told, |(_, bound)| Want::AtLeast(*bound));
        // Also of who is not there: that it was not measured is told.
        plan.goal(Goal::ratio(figure, ours, peer.name, want));
        if !is_there(stand, peer) {
            plan.skipped.push((peer.name, "not found; bench/peers.sh installs it".to_owned()));
            continue;
        }
        let most = match peer.name {
            "nq" => jobs.min(NQ_JOBS_MAX),
            "task-spooler" => jobs.min(TASK_SPOOLER_JOBS_MAX),
            _ => jobs,
        };
        let paced = Cell::new(None);
        let setting = match version(stand, peer) {
            Some(version) => format!("{} {version}", peer.setting),
            None => peer.setting.to_owned(),
        };
        plan.contender(Contender::new(Role::Peer, peer.name, peer.durability, setting, move |dir| {
            let jobs = match paced.get() {
                Some(jobs) => jobs,
                None => pace(stand, peer, what, dir, most)?,
            };
            paced.set(Some(jobs));
            let (seconds, usage) = driven(stand, peer, what, &dir.join("run"), jobs)?;
            let sample = Sample::of(figure, jobs as f64 / seconds).over(jobs);
            // Daemons of peers enqueue as well, and the worker beside our enqueues is not counted: no figures to be compared.
            Ok(if what == ENQUEUE { sample } else { sample.with_usage(jobs, usage) })
        }));
    }
}

/// How many jobs a peer gets: tried with more and more, until what it starts with no longer counts.
fn pace(stand: &Stand, peer: &Peer, what: &str, dir: &Path, most: usize) -> Result<usize, Fault> {
    let mut jobs = PROBE_JOBS;
    loop {
        if stand.scale == Scale::Tiny || jobs >= most {
            return Ok(most);
        }
        let (seconds, _) = driven(stand, peer, what, &dir.join(format!("probe-{jobs}")), jobs)?;
        if seconds >= PROBE_SECONDS {
            let rate = jobs as f64 / seconds;
            let span = if rate < SLOW_JOBS_PER_SECOND { SLOW_SECONDS } else { PEER_SECONDS };
            return Ok(((rate * span) as usize).clamp(PROBE_JOBS, most));
        }
        jobs *= 4;
    }
}

fn is_there(stand: &Stand, peer: &Peer) -> bool {
    if peer.needs.contains('/') {
        return stand.peers.join(peer.needs).exists();
    }
    // A stand that wants no peers names a directory that is not there.
    let on_path = |name: &str| {
        let mut which = Command::new("sh");
        which.args(["-c", "command -v \"$1\"", "sh", name]).stdout(Stdio::null());
        which.status().is_ok_and(|status| status.success())
    };
    stand.peers.exists() && on_path(peer.needs)
}

/// What `bench/peers.sh` wrote down of it, in brackets.
fn version(stand: &Stand, peer: &Peer) -> Option<String> {
    let versions = std::fs::read_to_string(stand.peers.join("versions")).ok()?;
    let of = |line: &str| {
        line.split_once(' ').filter(|(name, _)| *name == peer.installed).map(|(_, it)| format!("({it})"))
    };
    versions.lines().find_map(of)
}

/// A run, with its start and its end, and with whatever it leaves behind.
fn driven(stand: &Stand, peer: &Peer, what: &str, dir: &Path, jobs: usize) -> Result<(f64, Usage), Fault> {
    bounded(PEER_PATIENCE, || metered(|| drive(stand, peer, what, dir, jobs)))
}

fn drive(stand: &Stand, peer: &Peer, what: &str, dir: &Path, jobs: usize) -> Result<f64, Fault> {
    std::fs::create_dir(dir)?;
    let script = Stand::source().join("bench/peers").join(peer.script);
    let mut command = match script.extension().and_then(|extension| extension.to_str()) {
        Some("sh") => interpreted("sh".into(), script),
        Some("py") => interpreted("python3".into(), script),
        _ => {
            // What it imports is looked for beside it.
            let npm = stand.peers.join("npm");
            let copy = npm.join(peer.script);
            std::fs::copy(&script, &copy)?;
            let bun = peer.name == "bunqueue";
            interpreted(if bun { npm.join("node_modules/.bin/bun") } else { "node".into() }, copy)
        }
    };
    let path = format!("{}/cargo/bin:{}", stand.peers.display(), search_path());
    command.arg(what).arg(jobs.to_string()).current_dir(dir);
    command.env("PATH", path).env("PYTHONPATH", stand.peers.join("python")).stdin(Stdio::null());
    let output = command.output()?;
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, told.trim().lines().last().unwrap_or_default()).into());
    }
    let seconds = said.trim().lines().last().and_then(|line| line.trim().parse().ok());
    seconds
        .filter(|seconds: &f64| *seconds > 0.0)
        .ok_or_else(|| format!("it printed no seconds: {}", said.trim()).into())
}

fn interpreted(interpreter: PathBuf, script: PathBuf) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(script);
    command
}

#[expect(clippy::disallowed_methods, reason = "a benchmark finds its peers where people have them")]
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
