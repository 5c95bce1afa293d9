//! R15: another program keeps an old state of the database open while 200 jobs a second come; then it lets go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use queuectl::{Access, Client, Enqueuer, JobRequest};
use queuectl_core::limits::LOG_ALARM_BYTES;
use rusqlite::Connection;

use crate::crew;
use crate::figure::{Figure, Outcome, Plan, Profile, Verdict};
use crate::procs;
use crate::scene::Scene;

pub const FIGURE: Figure = Figure {
    name: "R15",
    what: "a foreign reader held at 200 jobs a second (short: 1 min, with large jobs; long: 30 min), then let go",
    target: "alarm by 10 s after 64 MiB of log, emptied by 10 s after",
    short: Some(1),
    long: Some(1),
    run,
};

const TARGET: Duration = Duration::from_secs(10);
/// Times fail a run only beyond this many times their target.
const SLACK: u32 = 10;
const TURN: Duration = Duration::from_millis(50);
const JOBS_PER_TURN: usize = 10;
/// Of a job's command, in bytes: the log is to grow fast.
const PAD_SHORT: usize = 10_000;
const PAD_LONG: usize = 200;
/// How long the reader holds on.
const HELD_SHORT: Duration = Duration::from_secs(60);
const HELD_LONG: Duration = Duration::from_secs(30 * 60);
/// And until the log has this, in bytes. It is cut to 64 MiB only once it begins anew, and nothing of the old one is needed.
const HELD_BYTES: u64 = LOG_ALARM_BYTES + 16 * 1024 * 1024;

fn run(plan: &Plan) -> Outcome {
    let long = plan.profile == Profile::Long;
    let (result, in_time, failures) = match hold(long) {
        Ok(times) => {
            let both = [("the alarm came", times.alarm), ("the log was emptied", times.emptied)];
            let in_time = both.iter().all(|(_, took)| *took <= TARGET);
            let late = both.iter().filter(|(_, took)| *took > TARGET * SLACK);
            let failures = late.map(|(what, took)| format!("{what} after {took:?}")).collect();
            let text = format!(
                "alarm after {:.1} s, emptied after {:.1} s; {} jobs enqueued, {:.0} a second; the log had {} MiB",
                times.alarm.as_secs_f64(),
                times.emptied.as_secs_f64(),
                times.jobs,
                times.jobs_per_s,
                times.log_mib
            );
            (text, in_time, failures)
        }
        Err(why) => ("it broke off".to_owned(), false, vec![why]),
    };
    crew::report("R15", plan.seed, &failures);
    Outcome { trials: 1, result, verdict: Verdict::in_time(failures.is_empty(), in_time) }
}

struct Times {
    alarm: Duration,
    emptied: Duration,
    jobs: usize,
    jobs_per_s: f64,
    log_mib: u64,
}

fn hold(long: bool) -> Result<Times, String> {
    let mut scene = Scene::new()?;
    scene.run(&["enqueue", "--id", "first", "-c", "true"])?;
    scene.start_worker(&["--count", "2"])?;
    let reader = Connection::open(&scene.database).map_err(|error| error.to_string())?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM job").map_err(|error| error.to_string())?;
    let ahead = scene.path("queue.db-wal");
    let length = || std::fs::metadata(&ahead).map_or(0, |found| found.len());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| load(&scene, if long { PAD_LONG } else { PAD_SHORT }, &over));
        let times = watch(&scene, reader, &length, long, &load);
        over.store(true, Ordering::Relaxed);
        let (jobs, took) = load.join().map_err(|_| "the load broke off".to_owned())??;
        let jobs_per_s = jobs as f64 / took.as_secs_f64();
        times.map(|(alarm, emptied, log_mib)| Times { alarm, emptied, jobs, jobs_per_s, log_mib })
    })
}

fn watch(
    scene: &Scene,
    reader: Connection,
    length: &impl Fn() -> u64,
    long: bool,
    load: &thread::ScopedJoinHandle<'_, Result<(usize, Duration), String>>,
) -> Result<(Duration, Duration, u64), String> {
    let begin = procs::now();
    let bound = TARGET * SLACK;
    let held = if long { HELD_LONG } else { HELD_SHORT };
    let patience = held + bound;
    procs::within(patience, "64 MiB of log", || length() >= LOG_ALARM_BYTES || load.is_finished())?;
    let told = || scene.log().contains("the write-ahead log of the database grows");
    let alarm = procs::within(bound, "the worker tells of it", told)?;
    let held_long = || (begin.elapsed() >= held && length() >= HELD_BYTES) || load.is_finished();
    procs::within(patience, "it was held, and there are 80 MiB of log", held_long)?;
    let log_mib = length() / (1024 * 1024);
    drop(reader);
    let emptied = procs::within(bound, "the log is emptied", || length() <= LOG_ALARM_BYTES)?;
    Ok((alarm, emptied, log_mib))
}

/// Enqueues 200 jobs a second until it is over; tells how many, and how long it took.
fn load(scene: &Scene, pad: usize, over: &AtomicBool) -> Result<(usize, Duration), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let client = Client::open(&scene.database, Access::Write).await.map_err(|error| error.to_string())?;
        let client = client.ok_or("the database has gone")?;
        let line = format!("true {}", "x".repeat(pad));
        let mut count = 0;
        let begin = procs::now();
        while !over.load(Ordering::Relaxed) {
            let request = JobRequest { command: Some(line.clone()), ..JobRequest::default() };
            let jobs = vec![request; JOBS_PER_TURN];
            client.enqueue(jobs, &Enqueuer::default()).await.map_err(|error| error.to_string())?;
            count += JOBS_PER_TURN;
            let due = TURN * (count / JOBS_PER_TURN) as u32;
            tokio::time::sleep(due.saturating_sub(begin.elapsed())).await;
        }
        Ok((count, begin.elapsed()))
    })
}
