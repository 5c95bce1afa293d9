//! R9: whether anybody is hit by a signal who has the pid of a process that has died. Pids are forced to be used again, in
//! a pid namespace of the trial's own.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use queuectl_exec::protocol::{ClaimKey, OnCrash, Request, StopReason};
use queuectl_exec::spool::StartedRecord;
use queuectl_exec::{boot_id, pid_namespace, sweep, try_take};
use rustix::process::Signal;

use crate::apart::{self, Own, await_free};
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::kept::{ID, Kept};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R9",
    what: "pids forced to be used again before a cancel, a time limit, an adoption, a restart, a forced stop",
    target: "0 strangers signalled",
    short: Some(50),
    long: Some(1000),
    run,
};

const TICKS: Duration = Duration::from_millis(20);
/// Who is hit at all is hit by then.
const REACH: Duration = Duration::from_millis(100);
/// Time limits in milliseconds: where one has passed before the stranger was there, the next is tried.
const LIMITS: [u64; 3] = [600, 3_000, 12_000];

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let forced = apart::can_have(Own::Pids);
    let results = crew::each(trials, |trial| {
        let told = if forced {
            apart::stage().and_then(|(_dir, place)| apart::play(Own::Pids, "R9", seed, trial, &place))
        } else {
            forged(&mut Dice::new(seed, "R9", trial))
        };
        told.map_err(|why| format!("trial {trial}: {why}"))
    });
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    crew::report("R9", seed, &failures);
    let how = if forced { "" } else { "; no pid namespace here: by forged records of a restart only" };
    Outcome {
        trials,
        result: format!("{} of {trials} wrong{how}", failures.len()),
        verdict: if failures.is_empty() && !forced {
            Verdict::Skip
        } else {
            Verdict::of(failures.is_empty())
        },
    }
}

/// Somebody who has nothing to do with us. It blocks all signals that can be blocked, so that each one stays to be seen.
struct Stranger {
    child: Child,
    /// We have stopped it ourselves.
    frozen: bool,
}

impl Stranger {
    fn come() -> Result<Stranger, String> {
        let mut command = Command::new("env");
        command.args(["--block-signal", "sleep", "60"]).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Ok(Stranger { child: child.map_err(|error| error.to_string())?, frozen: false })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until signals to it would be seen.
    fn ready(self) -> Result<Stranger, String> {
        let asleep = || procs::process(self.pid()).is_some_and(|found| found.name == "sleep");
        procs::until("the stranger sleeps", asleep)?;
        match procs::signals(self.pid(), "SigBlk") {
            None | Some(0) => {
                Err("no signals are blocked: `env` is not of GNU coreutils 8.31 or later".to_owned())
            }
            Some(_) => Ok(self),
        }
    }

    fn freeze(&mut self) {
        procs::signal(self.pid(), Signal::STOP);
        self.frozen = true;
    }

    /// How it was hit, if it was.
    fn hit(&mut self) -> Option<String> {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return Some("one is dead".to_owned());
        }
        if procs::process(self.pid()).is_none_or(|found| found.is_stopped != self.frozen) {
            return Some("one was stopped or continued".to_owned());
        }
        let waiting = ["SigPnd", "ShdPnd"].map(|which| procs::signals(self.pid(), which));
        (waiting != [Some(0), Some(0)]).then(|| format!("signals wait for one: {waiting:x?}"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who has this pid.
fn stranger_at(pid: u32) -> Result<Stranger, String> {
    const TRIES: usize = 100;
    await_free(pid)?;
    // The kernel tells when a process began by a hundredth of a second. No machine goes through all pids in one.
    thread::sleep(TICKS);
    for _ in 0..TRIES {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
            .map_err(|error| format!("no pid can be chosen: {error}"))?;
        let stranger = Stranger::come()?;
        if stranger.pid() == pid {
            return stranger.ready();
        }
    }
    Err(format!("pid {pid} is not given again"))
}

/// No signal has reached them.
fn spared(mut strangers: Vec<Stranger>, what: &str) -> Result<(), String> {
    thread::sleep(REACH);
    let hits: Vec<String> = strangers.iter_mut().filter_map(Stranger::hit).collect();
    if hits.is_empty() { Ok(()) } else { Err(format!("{what}: strangers were hit: {}", hits.join("; "))) }
}

type Case = (&'static str, fn(&mut Dice) -> Result<Vec<Stranger>, String>);

const CASES: [Case; 6] = [
    ("a keeper's death, and a sweep", sweep_after_death),
    ("the end of a job whose orphan had the pid", end_with_dead_orphan),
    ("the end of everything after a job's pid was free", end_all),
    ("an adoption, and a cancel", adopt),
    ("a stop of a dead worker, and another worker", stop_the_dead),
    ("the death of worker and keeper, and another worker", restart),
];

pub fn inside(seed: u64, trial: u64) -> apart::Told {
    let (what, case) = CASES[trial as usize % CASES.len()];
    let strangers = case(&mut Dice::new(seed, "R9", trial)).map_err(|why| format!("{what}: {why}"))?;
    spared(strangers, what)?;
    Ok(what.to_owned())
}

fn cancel(claim: ClaimKey, dice: &mut Dice) -> Request {
    Request::Stop { claim, reason: StopReason::Cancelled, grace_ms: [0, 100][dice.below(2)] }
}

fn sweep_after_death(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
    let claim = kept.start(kept.order(1, &["sleep", "60"]))?;
    let pid = kept.started(claim)?;
    kept.kill()?;
    let stranger = stranger_at(pid)?;
    let estate = try_take(&kept.run_dir(), ID).map_err(|error| error.to_string())?.ok_or("no estate")?;
    let started: Vec<StartedRecord> = estate.remains.iter().filter_map(|one| one.started.clone()).collect();
    if started.len() != 1 {
        return Err("the spool does not name the process".to_owned());
    }
    sweep(&[claim], &started).map_err(|error| error.to_string())?;
    Ok(vec![stranger])
}

/// Becomes `sleep`, after an orphan that ends soon has told its pid.
const DEAD_ORPHAN: &str = "setsid -f sh -c 'echo $$ > orphan; exec sleep 0.05'; exec sleep 60";

fn end_with_dead_orphan(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    if dice.percent(50) {
        return limit_with_dead_orphan(dice);
    }
    let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
    let claim = kept.start(kept.order(1, &["sh", "-c", DEAD_ORPHAN]))?;
    let orphan = kept.written("orphan")?.parse().map_err(|_| "no pid")?;
    let stranger = stranger_at(orphan)?;
    let stop = cancel(claim, dice);
    kept.line()?.send(&stop)?;
    kept.exited(claim)?;
    Ok(vec![stranger])
}

fn limit_with_dead_orphan(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    for limit in LIMITS {
        let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
        let mut start = kept.order(1, &["sh", "-c", DEAD_ORPHAN]);
        start.timeout_ms = Some(limit);
        let claim = kept.start(start)?;
        let job = kept.started(claim)?;
        let orphan = kept.written("orphan")?.parse().map_err(|_| "no pid")?;
        let stranger = stranger_at(orphan)?;
        let in_time = procs::process(job).is_some_and(|found| !found.is_zombie);
        kept.exited(claim)?;
        if in_time {
            return Ok(vec![stranger]);
        }
    }
    Err("no limit is long enough for a stranger to come before it".to_owned())
}

fn end_all(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    let mut kept = Kept::new(OnCrash::Kill, dice.word())?;
    let brief = kept.start(kept.order(1, &["true"]))?;
    let long = kept.start(kept.order(2, &["sh", "-c", "trap '' TERM; sleep 60; sleep 60"]))?;
    let pid = kept.started(brief)?;
    kept.exited(brief)?;
    kept.started(long)?;
    let stranger = stranger_at(pid)?;
    kept.lose_worker();
    kept.await_end()?;
    Ok(vec![stranger])
}

fn adopt(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    let mut kept = Kept::new(OnCrash::Adopt, dice.word())?;
    let long = kept.start(kept.order(1, &["sh", "-c", DEAD_ORPHAN]))?;
    let brief = kept.start(kept.order(2, &["true"]))?;
    let pid = kept.started(brief)?;
    kept.exited(brief)?;
    let orphan = kept.written("orphan")?.parse().map_err(|_| "no pid")?;
    kept.lose_worker();
    let strangers = vec![stranger_at(pid)?, stranger_at(orphan)?];
    kept.be_adopted()?;
    let stop = cancel(long, dice);
    kept.line()?.send(&stop)?;
    kept.exited(long)?;
    Ok(strangers)
}

fn stop_the_dead(dice: &mut Dice) -> Result<Vec<Stranger>, String> {
    let mut scene = Scene::new()?;
    let worker = scene.start_worker(&[])?;
    scene.kill_worker(worker)?;
    let mut stranger = stranger_at(worker)?;
    // A frozen worker is killed by a forced stop.
    if dice.percent(50) {
        stranger.freeze();
    }
    scene.run(&["worker", "stop", "--force", "--timeout", "2s"])?;
    scene.run(&["worker", "start", "--drain"])?;
    Ok(vec![stranger])
}

fn restart(_: &mut Dice) -> Result<Vec<Stranger>, String> {
    let mut scene = Scene::new()?;
    let line = "[ -e job ] || { echo $$ > job; exec sleep 60; }";
    scene.run(&["enqueue", "--id", "a", "-c", line])?;
    let worker = scene.start_worker(&[])?;
    procs::until("it runs", || scene.lines("job").len() == 1)?;
    let job = scene.lines("job").first().and_then(|text| text.parse().ok()).ok_or("no pid")?;
    let keeper = procs::keeper_of(worker)?;
    procs::signal(keeper, Signal::STOP);
    scene.kill_worker(worker)?;
    procs::signal(keeper, Signal::KILL);
    // As long as the job is not buried, its session keeps the keeper's number.
    await_free(job)?;
    let strangers = vec![stranger_at(worker)?, stranger_at(keeper)?, stranger_at(job)?];
    scene.run(&["worker", "start", "--drain"])?;
    let runs = scene.json(&["show", "a", "--json"])?["runs"].as_u64();
    if runs != Some(2) {
        return Err(format!("it ran {runs:?} times instead of twice"));
    }
    Ok(strangers)
}

/// Without a namespace: records of processes that have died, whose pids strangers have now.
fn forged(dice: &mut Dice) -> apart::Told {
    let stranger = Stranger::come()?.ready()?;
    let pid = stranger.pid().cast_signed();
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| error.to_string())?;
    let began = text.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse::<u64>().ok());
    let record = StartedRecord {
        claim: ClaimKey { incarnation: dice.word(), number: 1 },
        pid,
        start_ticks: began.ok_or("no start time")?.saturating_sub(1 + dice.below(1000) as u64),
        boot_id: boot_id(),
        pid_namespace: pid_namespace().map_err(|error| error.to_string())?,
        group: pid,
        session: dice.below(1000) as i32,
        at_ms: 0,
    };
    let swept = sweep(&[record.claim], std::slice::from_ref(&record)).map_err(|error| error.to_string());
    spared(vec![stranger], "a sweep")?;
    swept.map(|_| String::new())
}
