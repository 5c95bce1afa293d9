//! R19: the date jumps by hours and days while jobs run, wait for their time, back off and have a time limit. The worker
//! and its keeper are real; only the store's clock is the trial's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use queuectl::{Client, Enqueuer, JobRequest, OnCrash, Worker, WorkerOptions};
use queuectl_core::id::JobId;
use queuectl_core::retry::Backoff;
use queuectl_core::store::StopMode;
use queuectl_core::time::Timestamp;
use queuectl_sqlite::{Access, Clock, OpenOptions, SqliteStore};
use queuectl_testing::ManualClock;
use tokio::sync::watch;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::house;
use crate::procs;

pub const FIGURE: Figure = Figure {
    name: "R19",
    what: "the date jumps by an hour or a day, back or forth, while jobs run, wait, back off and have time limits",
    target: "0 missed, doubled, falsely ended",
    short: Some(50),
    long: Some(1000),
    run,
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const JUMPS: [i64; 4] = [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS];
/// Trials mostly wait.
const ABREAST: usize = 6;
/// What is due, or has come to its limit, has happened by then, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let results = crew::each_of(ABREAST, trials, |trial| {
        try_one(&mut Dice::new(seed, "R19", trial)).map_err(|why| format!("trial {trial}: {why}"))
    });
    let failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let jobs: usize = results.into_iter().flatten().sum();
    crew::report("R19", seed, &failures);
    Outcome {
        trials,
        result: format!("{} of {trials} wrong; {jobs} jobs", failures.len()),
        verdict: Verdict::of(failures.is_empty()),
    }
}

/// How many jobs there were.
fn try_one(dice: &mut Dice) -> Result<usize, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let trial = Trial::new(dir.path()).await?;
        let (stop, stopped) = watch::channel(None);
        let worker = Worker::register(trial.client.clone(), trial.options()?).await;
        let worker = tokio::spawn(worker.map_err(|error| error.to_string())?.run(stopped));
        let played = trial.play(dice).await;
        let _ = stop.send(Some(if played.is_ok() { StopMode::Drain } else { StopMode::Now }));
        let report = worker.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string());
        let jobs = played?;
        report?;
        trial.check(jobs).await
    })
}

struct Trial<'a> {
    dir: &'a Path,
    client: Client,
    /// How far the date is from where it would be.
    offset: Arc<AtomicI64>,
}

/// A job: how often it runs, and the state that it ends in.
struct Wanted(String, usize, &'static str);

impl Trial<'_> {
    async fn new(dir: &Path) -> Result<Trial<'_>, String> {
        let offset = Arc::new(AtomicI64::new(0));
        let clock = Clock::new({
            let (offset, begin, start) = (offset.clone(), procs::now(), ManualClock::default().now());
            move || {
                let now = start.after(begin.elapsed());
                Timestamp::from_millis(now.millis() + offset.load(Ordering::SeqCst))
            }
        });
        let options = OpenOptions::new(dir.join("queue.db"), Access::CreateOrMigrate);
        let store = SqliteStore::open_with_clock(options, clock).await.map_err(|error| error.to_string())?;
        Ok(Trial { dir, client: Client::on(Arc::new(store.ok_or("it was not made")?)), offset })
    }

    fn options(&self) -> Result<WorkerOptions, String> {
        Ok(WorkerOptions {
            slots: 8,
            queues: Vec::new(),
            only: None,
            drain: false,
            environment: vec![(b"PATH".to_vec(), b"/usr/local/bin:/usr/bin:/bin".to_vec())],
            home: self.dir.as_os_str().as_encoded_bytes().to_vec(),
            program: house::ordinary()?,
            umask: 0o022,
            on_crash: OnCrash::Kill,
            host: "here".to_owned(),
            version: "0.1.0".to_owned(),
        })
    }

    async fn enqueue(&self, id: &str, line: &str, request: JobRequest) -> Result<(), String> {
        let request = JobRequest {
            id: Some(id.to_owned()),
            command: Some(format!("echo >> ran-{id}; {line}")),
            ..request
        };
        let enqueued = self.client.enqueue(vec![request], &Enqueuer::default()).await;
        enqueued.map(drop).map_err(|error| error.to_string())
    }

    fn runs(&self, id: &str) -> usize {
        std::fs::read_to_string(self.dir.join(format!("ran-{id}"))).unwrap_or_default().lines().count()
    }

    fn jump(&self, by: i64) -> i64 {
        self.offset.fetch_add(by, Ordering::SeqCst) + by
    }

    /// Enqueues, jumps, and at last jumps beyond everything; all has ended then.
    async fn play(&self, dice: &mut Dice) -> Result<Vec<Wanted>, String> {
        let plain = JobRequest::default;
        let delayed = |hours: u64| JobRequest { delay: Some(Duration::from_secs(hours * 3600)), ..plain() };
        let limited = |millis: u64, max_retries: Option<u32>| JobRequest {
            timeout: Some(Duration::from_millis(millis)),
            kill_grace: Some(Duration::from_millis(100)),
            max_retries,
            ..plain()
        };
        self.enqueue("hour", "true", delayed(1)).await?;
        self.enqueue("day", "true", delayed(24)).await?;
        // Nothing that takes a moment may be ended by an hour that never passed.
        self.enqueue("brief", "sleep 0.5", limited(60_000, None)).await?;
        self.enqueue("endless", "exec sleep 600", limited(400, Some(1))).await?;
        let backing_off = JobRequest { backoff: Some(Backoff::Fixed), backoff_base: Some(1.0), ..plain() };
        self.enqueue("again", "[ $(wc -l < ran-again) = 2 ]", backing_off).await?;
        let mut wanted = vec![
            Wanted("hour".to_owned(), 1, "completed"),
            Wanted("day".to_owned(), 1, "completed"),
            Wanted("brief".to_owned(), 1, "completed"),
            Wanted("endless".to_owned(), 1, "dead"),
            Wanted("again".to_owned(), 2, "completed"),
        ];
        let mut latest = 0;
        for n in 0..4 {
            let id = format!("now{n}");
            // Before the jump or after it.
            let before = dice.percent(50);
            if before {
                self.enqueue(&id, "true", plain()).await?;
            }
            let offset = self.jump(*dice.pick(&JUMPS));
            latest = latest.max(offset);
            if !before {
                self.enqueue(&id, "true", plain()).await?;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(250) as u64)).await;
            wanted.push(Wanted(id, 1, "completed"));
        }
        for Wanted(id, _, state) in &wanted {
            // Whatever the date is now, and how long the way to it.
            if id.starts_with("now") || ["brief", "endless"].contains(&id.as_str()) {
                self.until_state(id, state).await?;
            }
        }
        for (id, due) in [("hour", HOUR_MS), ("day", DAY_MS)] {
            if latest < due && self.runs(id) > 0 {
                return Err(format!("{id} ran before its time"));
            }
        }
        self.jump(latest.max(0) + 2 * DAY_MS - self.offset.load(Ordering::SeqCst));
        for Wanted(id, _, state) in &wanted {
            self.until_state(id, state).await?;
        }
        // Nothing of it may come again.
        self.jump(*dice.pick(&JUMPS));
        self.enqueue("after", "true", plain()).await?;
        self.until_state("after", "completed").await?;
        Ok(wanted)
    }

    async fn state(&self, id: &str) -> Result<&'static str, String> {
        let id = JobId::new(id).map_err(|error| error.to_string())?;
        let job = self.client.job(&id).await.map_err(|error| error.to_string())?;
        Ok(job.ok_or_else(|| format!("{id} has gone"))?.state.as_str())
    }

    async fn until_state(&self, id: &str, state: &str) -> Result<(), String> {
        const LOOK: Duration = Duration::from_millis(10);
        let begin = procs::now();
        loop {
            let now = self.state(id).await?;
            if now == state {
                return Ok(());
            }
            if begin.elapsed() > SOON {
                return Err(format!("{id} is {now} and not {state}; it ran {} times", self.runs(id)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn check(&self, jobs: Vec<Wanted>) -> Result<usize, String> {
        for Wanted(id, runs, state) in &jobs {
            let (ran, now) = (self.runs(id), self.state(id).await?);
            if ran != *runs || now != *state {
                return Err(format!("{id} ran {ran} times and is {now}, not {runs} times and {state}"));
            }
        }
        Ok(jobs.len())
    }
}
