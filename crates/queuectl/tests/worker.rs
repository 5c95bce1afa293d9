//! Real workers with real keepers. This program is the keeper too: called as one, it becomes it, so no other package
//! needs to be built. Without the usual harness, words on the command line still choose which cases run.

#![expect(clippy::print_stdout, reason = "it is its own harness")]

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::outcome::OutputBody;
use queuectl::core::queue::QueueName;
use queuectl::core::settings::find_key;
use queuectl::core::state::State;
use queuectl::core::store::StopMode;
use queuectl::{
    Access, Client, Enqueuer, Handled, JobRequest, Live, Piece, StopWait, Task, Worker, WorkerOptions,
    WorkerReport,
};
use queuectl_exec::{KeeperOptions, rundir};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// For each case; far more than any needs.
const CASE_MAX: Duration = Duration::from_secs(30);

type Case = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

const CASES: &[Case] = &[
    ("a_drain_runs_what_is_there", || Box::pin(a_drain_runs_what_is_there())),
    ("a_drain_outlives_its_keeper", || Box::pin(a_drain_outlives_its_keeper())),
    ("a_drain_gives_back_what_nobody_knows_of", || Box::pin(a_drain_gives_back_what_nobody_knows_of())),
    ("a_worker_tries_another_keeper", || Box::pin(a_worker_tries_another_keeper())),
    ("a_keeper_that_never_starts_is_told_of", || Box::pin(a_keeper_that_never_starts_is_told_of())),
    ("a_stop_finishes_what_runs", || Box::pin(a_stop_finishes_what_runs())),
    ("what_is_printed_is_heard_at_once", || Box::pin(what_is_printed_is_heard_at_once())),
    ("handlers_run_jobs_of_their_kinds", || Box::pin(handlers_run_jobs_of_their_kinds())),
    ("what_a_lost_handler_ran_is_interrupted", || Box::pin(what_a_lost_handler_ran_is_interrupted())),
    ("old_jobs_are_deleted", || Box::pin(old_jobs_are_deleted())),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "keeper") {
        return keep(&words[1..]).expect("the keeper works");
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(*word));
    for (name, case) in CASES.iter().filter(|(name, _)| is_wanted(name)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            tokio::time::timeout(CASE_MAX, case()).await.unwrap_or_else(|_| panic!("{name} takes too long"));
        });
        println!("test {name} ... ok");
    }
}

fn keep(words: &[String]) -> io::Result<()> {
    let mut options: HashMap<&str, &str> =
        words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let mut take = |name| options.remove(name).expect("the worker gives it");
    queuectl_exec::run(KeeperOptions {
        run_dir: take("--run-dir").into(),
        out_dir: take("--out-dir").into(),
        id: take("--id").to_owned(),
        umask: u32::from_str_radix(take("--umask"), 8).map_err(io::Error::other)?,
        on_crash: queuectl::OnCrash::parse(take("--on-crash")).unwrap_or_default(),
        guard: Some(take("--guard").into()),
    })
}

/// A queue, and a directory in which its jobs run.
struct Stage {
    client: Client,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("queue.db");
        let client = Client::open(&path, Access::Write).await.expect("it opens").expect("it is made");
        Stage { client, directory }
    }

    async fn enqueue(&self, line: &str) -> JobId {
        let request =
            JobRequest { command: Some(line.to_owned()), max_retries: Some(1), ..JobRequest::default() };
        self.client.enqueue(vec![request], &Enqueuer::default()).await.expect("it is enqueued").remove(0)
    }

    async fn start(&self, drain: bool) -> (JoinHandle<WorkerReport>, watch::Sender<Option<StopMode>>) {
        let worker = Worker::register(self.client.clone(), self.options(drain)).await.expect("it registers");
        let (stop, stopped) = watch::channel(None);
        (tokio::spawn(async { worker.run(stopped).await.expect("it works") }), stop)
    }

    fn options(&self, drain: bool) -> WorkerOptions {
        WorkerOptions {
            slots: 2,
            queues: Vec::new(),
            only: None,
            drain,
            environment: vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())],
            home: self.directory.path().as_os_str().as_encoded_bytes().to_vec(),
            program: std::env::current_exe().expect("this program"),
            umask: 0o022,
            on_crash: queuectl::OnCrash::Adopt,
            host: "here".to_owned(),
            version: "0.1.0".to_owned(),
        }
    }

    /// A program that is a keeper, but is killed at once if it is the n-th of them, for each n that a pattern of the shell
    /// matches.
    fn dying_keeper(&self, numbers: &str) -> PathBuf {
        let (program, count) = (self.file("keeper"), self.file("keepers"));
        let real = std::env::current_exe().expect("this program");
        let (count, real) = (count.display(), real.display());
        let script = format!(
            "#!/bin/sh\nprintf x >>'{count}'\ncase $(($(wc -c <'{count}'))) in {numbers}) kill -9 $$ ;; esac\n\
             exec '{real}' \"$@\"\n"
        );
        std::fs::write(&program, script).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&program, mode).expect("it is ours");
        program
    }

    async fn drain(&self) -> WorkerReport {
        let (worker, _stop) = self.start(true).await;
        worker.await.expect("no panic")
    }

    /// A job that is claimed by somebody of whom nothing is left.
    async fn lose_claim(&self) -> JobId {
        let job = self.client.task("lost", QueueName::default(), None).await.expect("a job");
        let id = self.client.insert(vec![job]).await.expect("inserted").remove(0);
        let worker = Worker::register(self.client.clone(), self.options(false)).await.expect("registered");
        let (sender, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let worker = worker.handler("lost", move |_: Task| {
            let _ = sender.send(());
            std::future::pending::<Handled>()
        });
        let (_stop, stopped) = watch::channel(None);
        let lost = tokio::spawn(worker.run(stopped));
        begun.recv().await.expect("it runs");
        let owner = self.job(&id).await.owner.expect("it is claimed");
        let lock = self.client.place().run_dir.join(rundir::lock_name(rundir::Kind::Keeper, &owner));
        std::fs::remove_file(lock).expect("it is there");
        lost.abort();
        let _ = lost.await;
        id
    }

    async fn job(&self, id: &JobId) -> Job {
        self.client.job(id).await.expect("the store works").expect("it is there")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a job has written into a file, once it is there.
    async fn written(&self, name: &str) -> String {
        loop {
            match std::fs::read_to_string(self.file(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

async fn a_drain_runs_what_is_there() {
    let stage = Stage::new().await;
    let good = stage.enqueue("echo hello").await;
    let bad = stage.enqueue("echo why >&2; exit 3").await;
    assert_eq!(stage.drain().await, WorkerReport { settled: 2 });
    let (good_job, bad_job) = (stage.job(&good).await, stage.job(&bad).await);
    assert_eq!((good_job.state, good_job.exit_code), (State::Completed, Some(0)));
    assert_eq!((bad_job.state, bad_job.exit_code), (State::Dead, Some(3)));
    assert_eq!(bad_job.last_error.as_deref(), Some("exit code 3: why"));
    let attempts = stage.client.attempts(&good).await.expect("the store works");
    assert_eq!(attempts[0].stdout.body, OutputBody::Inline(b"hello\n".to_vec()));
    assert_eq!(stage.client.live_workers().await.expect("the store works"), []);
}

async fn a_drain_outlives_its_keeper() {
    let stage = Stage::new().await;
    let id = stage.enqueue("[ -e pid ] || { echo $PPID > pid; sleep 60; }").await;
    let (worker, _stop) = stage.start(true).await;
    let pid = stage.written("pid").await.parse().expect("a process");
    // It looks once more and hears that nothing else waits, so only this job keeps it.
    let key = find_key("poll-interval").expect("a key");
    stage.client.configure(None, key, Some("2s")).await.expect("the store works");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    worker.await.expect("no panic");
    let job = stage.job(&id).await;
    assert_eq!((job.state, job.runs, job.attempts, job.interruptions), (State::Completed, 2, 1, 1));
}

/// A claim that was committed after its owner had died and been recovered: nothing in the run directory tells of it.
async fn a_drain_gives_back_what_nobody_knows_of() {
    let stage = Stage::new().await;
    let before = stage.lose_claim().await;
    stage.enqueue("until [ -e go ]; do sleep 0.01; done").await;
    let (worker, _stop) = stage.start(true).await;
    // Its first look through the store has been, and the next one is far.
    while stage.job(&before).await.state == State::Processing {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let meanwhile = stage.lose_claim().await;
    std::fs::write(stage.file("go"), "").expect("a file");
    worker.await.expect("no panic");
    let job = stage.job(&meanwhile).await;
    assert_eq!((job.state, job.runs, job.interruptions), (State::Pending, 1, 1));
}

/// The first keeper is killed while it starts, and so is the one after it has worked and died.
async fn a_worker_tries_another_keeper() {
    let stage = Stage::new().await;
    let id = stage.enqueue("[ -e runs ] || { echo > runs; kill -9 $PPID; sleep 60; }").await;
    let program = stage.dying_keeper("1 | 3 | 4");
    let worker = Worker::register(stage.client.clone(), WorkerOptions { program, ..stage.options(true) });
    let (_stop, stopped) = watch::channel(None);
    let report = worker.await.expect("it registers").run(stopped).await.expect("it goes on");
    assert_eq!(report.settled, 1);
    let job = stage.job(&id).await;
    assert_eq!((job.state, job.runs, job.attempts, job.interruptions), (State::Completed, 2, 1, 1));
    assert_eq!(std::fs::read(stage.file("keepers")).expect("a file").len(), 5, "one byte for each");
}

async fn a_keeper_that_never_starts_is_told_of() {
    let stage = Stage::new().await;
    let id = stage.enqueue("true").await;
    let program = stage.dying_keeper("*");
    let worker = Worker::register(stage.client.clone(), WorkerOptions { program, ..stage.options(true) });
    let (_stop, stopped) = watch::channel(None);
    let error = worker.await.expect("it registers").run(stopped).await.expect_err("it has none");
    assert_eq!(error.to_string(), "the keeper dies again and again");
    assert_eq!(stage.job(&id).await.state, State::Pending);
    assert_eq!(stage.client.live_workers().await.expect("the store works"), []);
}

async fn a_stop_finishes_what_runs() {
    let stage = Stage::new().await;
    let id = stage.enqueue("echo > runs; while [ ! -e go ]; do sleep 0.02; done").await;
    let (worker, _stop) = stage.start(false).await;
    stage.written("runs").await;
    let asked = stage.client.request_stop(StopMode::Drain).await.expect("the store works");
    let later = stage.enqueue("true").await;
    let brief = Some(Duration::from_millis(100));
    let wait = stage.client.await_gone(asked.clone(), brief).await.expect("the store works");
    assert!(matches!(wait, StopWait::TimedOut(_)));
    std::fs::write(stage.file("go"), "").expect("a file");
    let wait = stage.client.await_gone(asked, None).await.expect("the store works");
    assert!(matches!(wait, StopWait::Gone(_)));
    assert_eq!(worker.await.expect("no panic"), WorkerReport { settled: 1 });
    assert_eq!(stage.job(&id).await.state, State::Completed);
    assert_eq!(stage.job(&later).await.state, State::Pending, "it takes nothing more");
}

async fn what_is_printed_is_heard_at_once() {
    let stage = Stage::new().await;
    let id = stage.enqueue("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two").await;
    let (worker, _stop) = stage.start(true).await;
    let mut follower = stage.client.follow(id, 0).await.expect("the store works");
    let mut heard = Vec::new();
    while let Some(live) = follower.next().await.expect("the store works") {
        if let Live::Output(Piece::Bytes(_, bytes)) = live {
            heard.extend(bytes);
            if heard == b"one\n" {
                std::fs::write(stage.file("go"), "").expect("a file");
            }
        }
    }
    assert_eq!(String::from_utf8_lossy(&heard), "one\ntwo\n", "all of it, and nothing twice");
    worker.await.expect("no panic");
}

async fn old_jobs_are_deleted() {
    let stage = Stage::new().await;
    let (good, bad) = (stage.enqueue("true").await, stage.enqueue("false").await);
    stage.drain().await;
    let key = find_key("retain-completed").expect("a key");
    stage.client.configure(None, key, Some("0")).await.expect("the store works");
    stage.drain().await;
    assert!(stage.client.job(&good).await.expect("the store works").is_none());
    assert_eq!(stage.job(&bad).await.state, State::Dead, "only completed ones");
}

async fn handlers_run_jobs_of_their_kinds() {
    let stage = Stage::new().await;
    let client = &stage.client;
    let task = async |kind: &str, payload: &str, timeout: Option<Duration>| {
        let made = client.task(kind, QueueName::default(), Some(payload.to_owned())).await;
        let mut job = made.expect("a job");
        (job.spec.timeout, job.spec.max_retries) = (timeout, 2);
        job.spec.retry.base = 1.0;
        job.spec.retry.max = Duration::from_millis(10);
        client.insert(vec![job]).await.expect("inserted").remove(0)
    };
    let good = task("double", "21", None).await;
    let bad = task("double", "x", None).await;
    let panics = task("panic", "", None).await;
    let slow = task("sleep", "", Some(Duration::from_millis(30))).await;
    let cancelled = task("sleep", "", None).await;
    let command = stage.enqueue("true").await;
    let other = task("nobody", "", None).await;
    let began = Arc::new(AtomicUsize::new(0));
    let counter = began.clone();
    let worker = Worker::register(client.clone(), stage.options(true)).await.expect("registered");
    let worker = worker
        .handler("double", async |task: Task| {
            let number: i64 = task.payload.unwrap_or_default().parse().map_err(|_| "no number".to_owned())?;
            Ok((2 * number).to_string().into_bytes())
        })
        .handler("panic", async |_: Task| -> Handled { panic!("on purpose") })
        .handler("sleep", move |_: Task| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Handled>()
        });
    let (_stop, stopped) = watch::channel(None);
    let running = tokio::spawn(worker.run(stopped));
    // Two of the first and one of the second, at least.
    while began.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    client.cancel(std::slice::from_ref(&cancelled)).await.expect("the store works");
    running.await.expect("no panic").expect("it works");
    let output = &client.attempts(&good).await.expect("the store works")[0].stdout.body;
    assert_eq!(*output, OutputBody::Inline(b"42".to_vec()));
    let ended = async |id| {
        let job = stage.job(id).await;
        (job.state, job.attempts, job.last_error.unwrap_or_default())
    };
    assert_eq!(ended(&good).await, (State::Completed, 1, String::new()));
    assert_eq!(ended(&bad).await, (State::Dead, 2, "exit code 1: no number".to_owned()));
    assert_eq!(ended(&panics).await, (State::Dead, 2, "exit code 1: the handler panicked".to_owned()));
    assert_eq!((ended(&slow).await.0, ended(&slow).await.1), (State::Dead, 2));
    assert_eq!(ended(&cancelled).await.0, State::Cancelled);
    assert_eq!(ended(&command).await.0, State::Pending, "it takes no commands");
    assert_eq!(ended(&other).await.0, State::Pending, "nor what it has no handler for");
}

async fn what_a_lost_handler_ran_is_interrupted() {
    let stage = Stage::new().await;
    let job = stage.client.task("once", QueueName::default(), None).await.expect("a job");
    let id = stage.client.insert(vec![job]).await.expect("inserted").remove(0);
    let (sender, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::register(stage.client.clone(), stage.options(false)).await.expect("registered");
    let worker = worker.handler("once", move |_: Task| {
        let _ = sender.send(());
        std::future::pending::<Handled>()
    });
    let (_stop, stopped) = watch::channel(None);
    let lost = tokio::spawn(worker.run(stopped));
    begun.recv().await.expect("it runs");
    // As a crash: nobody says good-bye, and its locks are free.
    lost.abort();
    let _ = lost.await;
    let worker = Worker::register(stage.client.clone(), stage.options(true)).await.expect("registered");
    let worker = worker.handler("once", async |_: Task| Ok(b"again".to_vec()));
    let (_stop, stopped) = watch::channel(None);
    worker.run(stopped).await.expect("it works");
    let job = stage.job(&id).await;
    assert_eq!((job.state, job.runs, job.attempts, job.interruptions), (State::Completed, 2, 1, 1));
}
