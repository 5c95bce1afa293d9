//! The worker: one process with a number of slots, beside its keeper.
//!
//! `step.rs` decides, `turn.rs` is the thin loop that does the IO, `link.rs` speaks with the keeper, `duties.rs` runs in
//! the background: adoption of keepers whose worker is gone (`foster.rs`), recovery of what dead keepers left
//! (`recovery.rs`), and retention.

mod duties;
mod events;
mod foster;
mod handlers;
mod link;
mod log_watch;
mod prefetch;
mod recovery;
mod settling;
mod signs;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod start;
mod step;
mod turn;
mod ward;

use std::io;
use std::path::{Path, PathBuf};

use queuectl_core::id::JobId;
use queuectl_core::job::KIND_COMMAND;
use queuectl_core::queue::QueueName;
use queuectl_core::store::{StopMode, StoreError, Take, Topic, WorkerRow};
use queuectl_core::time::Timestamp;
use queuectl_exec::protocol::OnCrash;
use queuectl_exec::rundir::{self, HeldLock, Kind};
use tokio::sync::watch;
use tracing::warn;

pub use self::foster::{Fosters, Household};
use self::handlers::Handlers;
pub use self::handlers::{Handled, Task};
use self::link::{Launcher, Runner, is_of_another_boot};
pub use self::recovery::Recovery;
pub use self::signs::{Sign, Signs};
use self::start::Surroundings;
use self::step::Identity;
use self::turn::Turns;
use crate::client::Client;
use crate::error::Error;

/// What a worker is to be.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Attempts at once; at least 1.
    pub slots: usize,
    /// Only these queues; empty: every queue.
    pub queues: Vec<QueueName>,
    /// Only this job: the worker of `run`.
    pub only: Option<JobId>,
    /// Stop once nothing is left that this worker could run.
    pub drain: bool,
    /// The environment that jobs start from; variables of ours are left out.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a job runs that names no directory.
    pub home: Vec<u8>,
    /// A program that becomes a keeper when called as `<program> keeper ...`.
    pub program: PathBuf,
    /// For the jobs.
    pub umask: u32,
    /// What becomes of running jobs if this process dies.
    pub on_crash: OnCrash,
    /// For people.
    pub host: String,
    pub version: String,
}

/// What a worker has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerReport {
    /// Attempts whose outcome it recorded.
    pub settled: u64,
}

/// A worker that is registered and alive to everyone; [`Worker::run`] makes it work.
///
/// ```no_run
/// use queuectl::{Access, Client, Worker, WorkerOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::open("queue.db".as_ref(), Access::Write).await?.expect("made where there is none");
/// let options = WorkerOptions {
///     slots: 4,
///     queues: vec![],
///     only: None,
///     drain: true,
///     environment: vec![],
///     home: b"/".to_vec(),
///     program: "/usr/local/bin/queuectl".into(),
///     umask: 0o022,
///     on_crash: queuectl::OnCrash::Adopt,
///     host: "example".to_owned(),
///     version: "0.1.0".to_owned(),
/// };
/// let (_stop, stopped) = tokio::sync::watch::channel(None);
/// let report = Worker::register(client, options).await?.run(stopped).await?;
/// println!("{} runs", report.settled);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    handlers: Handlers,
    client: Client,
    options: WorkerOptions,
    id: String,
    lock: HeldLock,
    signs: Signs,
}

impl Worker {
    /// Takes the worker's lock and registers it.
    pub async fn register(client: Client, options: WorkerOptions) -> Result<Worker, Error> {
        let run_dir = client.place().run_dir;
        let file = |doing, source| Error::File { doing, path: run_dir.clone(), source };
        rundir::create_run_dir(&run_dir).map_err(|e| file("use the run directory", e))?;
        refuse_other_machine(&run_dir).map_err(|e| file("look through", e))??;
        let id = format!("w{}", client.next_id());
        let lock = rundir::lock(&run_dir, Kind::Worker, &id).map_err(|e| file("make a lock in", e))?;
        let row = WorkerRow {
            id: id.clone(),
            pid: std::process::id(),
            host: options.host.clone(),
            slots: options.slots as u32,
            queues: options.queues.clone(),
            only_job: options.only.is_some(),
            started_at: Timestamp::from_millis(0),
            stop: None,
            version: options.version.clone(),
        };
        client.store.register(row).await?;
        let handlers = Handlers::default();
        Ok(Worker { handlers, client, options, id, lock, signs: Signs::default() })
    }

    /// Runs jobs of this kind by a function, in this process, as many at once as the worker has slots. A worker with
    /// handlers takes the kinds of its handlers and no commands, and has no keeper: if its process dies, what was in
    /// flight is interrupted, as a command is whose keeper was killed. A cancellation drops the function's future at its
    /// next await, and so does a timeout.
    ///
    /// ```no_run
    /// use queuectl::core::queue::QueueName;
    /// use queuectl::{Client, Task, Worker, WorkerOptions};
    ///
    /// # async fn example(client: Client, options: WorkerOptions) -> Result<(), Box<dyn std::error::Error>> {
    /// let job = client.task("double", QueueName::default(), Some("21".to_owned())).await?;
    /// client.insert(vec![job]).await?;
    /// let worker = Worker::register(client, options).await?.handler("double", async |task: Task| {
    ///     let number: i64 = task.payload.unwrap_or_default().parse().map_err(|_| "no number".to_owned())?;
    ///     Ok((2 * number).to_string().into_bytes())
    /// });
    /// let (_stop, stopped) = tokio::sync::watch::channel(None);
    /// worker.run(stopped).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn handler<F>(mut self, kind: &str, handler: impl Fn(Task) -> F + Send + Sync + 'static) -> Worker
    where
        F: Future<Output = Handled> + Send + 'static,
    {
        self.handlers.insert(kind.to_owned(), handler);
        self
    }

    /// Its id, as listings show it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// It will give signs of life, and say when it stops.
    pub fn watched(self, signs: Signs) -> Worker {
        Worker { signs, ..self }
    }

    /// Works until it is told to stop, here or through the store, or has drained. Running jobs are finished first, or
    /// ended and given back if the stop says [`StopMode::Now`], or left to the next worker if it says
    /// [`StopMode::HandOver`].
    pub async fn run(self, stop: watch::Receiver<Option<StopMode>>) -> Result<WorkerReport, Error> {
        let place = self.client.place();
        let here = !self.handlers.is_empty();
        let identity = Identity {
            worker: self.id.clone(),
            slots: self.options.slots,
            take: Take {
                kinds: if here { self.handlers.kinds() } else { vec![KIND_COMMAND.to_owned()] },
                queues: self.options.queues.clone(),
                only: self.options.only.clone(),
            },
            drain: self.options.drain,
            here,
        };
        let surroundings = if here {
            Surroundings::default()
        } else {
            let database = place.name.clone().into_bytes();
            Surroundings::new(self.options.environment.clone(), self.options.home.clone(), Some(database))
        };
        let runner = if here {
            Runner::Handlers { handlers: self.handlers, run_dir: place.run_dir.clone() }
        } else {
            Runner::Keeper(Launcher {
                program: self.options.program.clone(),
                run_dir: place.run_dir.clone(),
                out_dir: place.out_dir.clone(),
                umask: self.options.umask,
                on_crash: self.options.on_crash,
                guard: place.file.clone(),
            })
        };
        let result = match self.client.store.listen(Topic::Work).await {
            Err(error) => Err(error.into()),
            Ok(listener) => {
                // The worker of one job looks after that one alone.
                let adopts = self.options.only.is_none();
                let duties = duties::spawn(self.client.clone(), adopts, self.options.on_crash).await;
                let turns = Turns::new(self.client.clone(), identity, surroundings, runner, &duties);
                let result = match turns.await {
                    Ok(turns) => turns.watched(self.signs).run(listener, stop, &self.lock).await,
                    Err(error) => Err(error),
                };
                duties.stop().await;
                result
            }
        };
        if let Err(error) = self.client.store.retire(&self.id).await {
            warn!(worker.id = %self.id, %error, "cannot remove the worker's row; the next worker will");
        }
        if self.lock.is_in_place()
            && let Err(error) = self.lock.remove()
        {
            warn!(worker.id = %self.id, %error, "cannot remove the worker's lock; the next worker will");
        }
        result
    }
}

/// Refuses a run directory in which a keeper of another boot holds its lock: locks end with their machine, so it lives on
/// another one, which shares the store. What is told by locks, and who may write the log, is told on one machine only.
fn refuse_other_machine(run_dir: &Path) -> io::Result<Result<(), StoreError>> {
    for entry in rundir::list(run_dir)?.into_iter().filter(|entry| entry.kind == Kind::Keeper) {
        if is_of_another_boot(&entry.id) && rundir::is_alive(run_dir, entry.kind, &entry.id)? {
            return Ok(Err(StoreError::Unavailable {
                what: format!(
                    "keeper {} lives in {} and belongs to another boot: another machine uses this store, and a store is \
                     for one; end its workers there, or name another database with --db",
                    entry.id,
                    run_dir.display()
                ),
                source: None,
            }));
        }
    }
    Ok(Ok(()))
}
