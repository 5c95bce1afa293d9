//! R5: a worker is killed. How long until another worker has taken over what runs, or, with `--on-crash kill`, until it
//! runs again.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::crew;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::house::{self, ADOPTED, House, note, until};

pub const FIGURE: Figure = Figure {
    name: "R5",
    what: "a worker is killed beside a live one: until its job is taken over (adopt), or runs again (kill)",
    target: "p99 <= 2 s each; fails past 20 s",
    short: Some(20),
    long: Some(300),
    run,
};

const TARGET: Duration = Duration::from_secs(2);
/// The figure fails past ten times its target.
const FAILS_PAST: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 2;
const LOOK: Duration = Duration::from_millis(1);
/// What it says when it is ready.
const STARTED: &str = "started:";

fn run(plan: &Plan) -> Outcome {
    let trials = plan.trials.unwrap_or_default();
    let program = match house::ordinary() {
        Ok(program) => program,
        Err(result) => return Outcome { trials: 0, result, verdict: Verdict::Fail },
    };
    let policies = ["adopt", "kill"];
    let times = crew::each_of(AT_ONCE, 2 * trials, |trial| {
        let policy = policies[trial as usize % 2];
        let mut house = House::new(&program)?;
        try_one(&mut house, policy).map_err(|why| house.told(&format!("trial {trial}, {policy}: {why}")))
    });
    let failures: Vec<String> = times.iter().filter_map(|time| time.clone().err()).collect();
    crew::report("R5", plan.seed, &failures);
    let (mut right, mut in_time) = (failures.is_empty(), true);
    let mut told = Vec::new();
    for (at, what) in ["adopted", "running again"].into_iter().enumerate() {
        let mut of_policy: Vec<Duration> =
            times.iter().skip(at).step_by(2).filter_map(|time| time.clone().ok()).collect();
        of_policy.sort();
        let (p50, p99) = (percentile(&of_policy, 50), percentile(&of_policy, 99));
        right &= p99 <= FAILS_PAST;
        in_time &= p99 <= TARGET;
        told.push(format!("{what} p50 {} ms, p99 {} ms", p50.as_millis(), p99.as_millis()));
    }
    Outcome {
        trials: 2 * trials,
        result: format!("{} failed; {}", failures.len(), told.join("; ")),
        verdict: Verdict::in_time(right, in_time),
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn try_one(house: &mut House, policy: &str) -> Result<Duration, String> {
    let first = house.start_worker(&["--on-crash", policy], None)?;
    house
        .run(&["enqueue", "--id", "long", "-c", &note("until [ -e go ]; do sleep 0.02; done", "x")], None)?;
    let begun = |house: &House| house.read("notes").lines().filter(|line| line.starts_with("begin")).count();
    until("the job runs", || Ok(begun(house) == 1))?;
    let mut command = house.command(&["worker", "start"]);
    let mut second = command.stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let lines = second.stderr.take().map(listen).ok_or("it says nothing")?;
    house.take_in(second);
    heard(&lines, STARTED)?;
    let killed_at = Instant::now();
    house.kill_worker(first)?;
    let took = if policy == "adopt" {
        heard(&lines, ADOPTED)?.saturating_duration_since(killed_at)
    } else {
        while begun(house) < 2 {
            if killed_at.elapsed() > 3 * FAILS_PAST {
                return Err("it does not run again".to_owned());
            }
            thread::sleep(LOOK);
        }
        killed_at.elapsed()
    };
    std::fs::write(house.path("go"), "").map_err(|e| e.to_string())?;
    until("the job completes", || Ok(house.ledger()?.jobs["long"].state == "completed"))?;
    house.run(&["worker", "stop"], None)?;
    house.workers_end_well()?;
    let ledger = house.ledger()?;
    ledger.check(|_| 1)?;
    let runs = if policy == "adopt" { 1 } else { 2 };
    if ledger.jobs["long"].runs == runs { Ok(took) } else { Err(format!("{:?}", ledger.jobs)) }
}

/// The lines that a worker says, each with when it was heard.
fn listen(from: ChildStderr) -> Receiver<(Instant, String)> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Nobody listens any more, but the pipe is to be read to its end.
            let _ = sender.send((Instant::now(), line));
        }
    });
    receiver
}

fn heard(lines: &Receiver<(Instant, String)>, what: &str) -> Result<Instant, String> {
    loop {
        let line = lines.recv_timeout(3 * FAILS_PAST).map_err(|_| format!("nobody said `{what}`"))?;
        if line.1.contains(what) {
            return Ok(line.0);
        }
    }
}
