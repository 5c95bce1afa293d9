//! Real workers with real keepers. This program is the keeper too: called as one, it becomes it, so no other package
//! needs to be built. Without the usual harness, words on the command line still choose which cases run.

#![expect(clippy::print_stdout, reason = "it is its own harness")]

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::outcome::OutputBody;
use queuectl::core::settings::find_key;
use queuectl::core::state::State;
use queuectl::core::store::StopMode;
use queuectl::{
    Access, Client, Enqueuer, JobRequest, Live, Piece, StopWait, Worker, WorkerOptions, WorkerReport,
};
use queuectl_exec::KeeperOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// For each case; far more than any needs.
const CASE_MAX: Duration = Duration::from_secs(30);

type Case = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

const CASES: &[Case] = &[
    ("a_drain_runs_what_is_there", || Box::pin(a_drain_runs_what_is_there())),
    ("a_drain_outlives_its_keeper", || Box::pin(a_drain_outlives_its_keeper())),
    ("a_stop_finishes_what_runs", || Box::pin(a_stop_finishes_what_runs())),
    ("what_is_printed_is_heard_at_once", || Box::pin(what_is_printed_is_heard_at_once())),
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
        let options = WorkerOptions {
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
        };
        let worker = Worker::register(self.client.clone(), options).await.expect("it registers");
        let (stop, stopped) = watch::channel(None);
        (tokio::spawn(async { worker.run(stopped).await.expect("it works") }), stop)
    }

    async fn drain(&self) -> WorkerReport {
        let (worker, _stop) = self.start(true).await;
        worker.await.expect("no panic")
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
