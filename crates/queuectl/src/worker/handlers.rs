//! Handlers: jobs of kinds of their own, run by functions of this process instead of by a keeper.
//!
//! What they run lives and dies with the process. The owner of its claims is a lock that the process itself holds, as a
//! keeper holds its own; there is no spool, so whoever finds the lock free takes everything for interrupted.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use queuectl_core::id::JobId;
use queuectl_core::queue::QueueName;
use queuectl_core::store::Claim;
use queuectl_exec::protocol::{Captured, ClaimKey, End, Event, ExitRecord, Request, StopReason, Usage};
use queuectl_exec::rundir::HeldLock;
use queuectl_exec::{captured, now_boot_ms};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::link::Order;

/// Ends of tasks that are told at once.
const TOLD_AT_ONCE_MAX: usize = 1_024;

/// What a handler is given: one attempt of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: JobId,
    /// From 1, over the job's whole life.
    pub attempt: u32,
    pub queue: QueueName,
    pub payload: Option<String>,
}

/// What becomes of it: output to be kept, or why it failed. A failure counts as one of the job's attempts.
pub type Handled = Result<Vec<u8>, String>;

type Handler = Arc<dyn Fn(Task) -> Pin<Box<dyn Future<Output = Handled> + Send>> + Send + Sync>;

/// The functions of one worker, by the kind of their jobs.
#[derive(Clone, Default)]
pub struct Handlers {
    by_kind: BTreeMap<String, Handler>,
}

impl Handlers {
    pub fn insert<F>(&mut self, kind: String, handler: impl Fn(Task) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Handled> + Send + 'static,
    {
        self.by_kind.insert(kind, Arc::new(move |task| Box::pin(handler(task))));
    }

    pub fn is_empty(&self) -> bool {
        self.by_kind.is_empty()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.by_kind.keys().cloned().collect()
    }
}

/// Runs tasks, and tells how they ended.
pub struct Host {
    handlers: Handlers,
    /// Says that the owner of these claims is alive.
    lock: HeldLock,
    tasks: JoinSet<Option<Handled>>,
    running: HashMap<Id, Running>,
    by_claim: HashMap<ClaimKey, Id>,
}

struct Running {
    claim: ClaimKey,
    started_ms: u64,
    abort: AbortHandle,
    /// Why it is stopped.
    stop: Option<StopReason>,
}

impl Host {
    pub fn new(handlers: Handlers, lock: HeldLock) -> Host {
        Host { handlers, lock, tasks: JoinSet::new(), running: HashMap::new(), by_claim: HashMap::new() }
    }

    /// Takes orders until the last one, or until it is told to leave.
    pub async fn serve(mut self, mut orders: mpsc::UnboundedReceiver<Order>, events: mpsc::Sender<Event>) {
        loop {
            let told = tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::Say(Request::Leave | Request::HandOver)) => break,
                    Some(Order::Run(claim)) => self.start(&claim),
                    Some(Order::Say(request)) => {
                        self.hear(&request);
                        Vec::new()
                    }
                },
                Some(ended) = self.tasks.join_next_with_id() => {
                    let mut told: Vec<Event> = self.end(ended).into_iter().collect();
                    while told.len() < TOLD_AT_ONCE_MAX
                        && let Some(ended) = self.tasks.try_join_next_with_id()
                    {
                        told.extend(self.end(ended));
                    }
                    told
                }
            };
            for event in told {
                if events.send(event).await.is_err() {
                    break;
                }
            }
        }
        // What still runs is broken off; its claims come back as interrupted once the lock is free.
        let leaves_nothing = self.running.is_empty();
        self.tasks.shutdown().await;
        if leaves_nothing {
            // A lock file that stays is removed by whoever finds it free.
            let _ = self.lock.remove();
        }
    }

    fn start(&mut self, claim: &Claim) -> Vec<Event> {
        let (key, job) = (ClaimKey::from(claim.token), &claim.job);
        let Some(handler) = self.handlers.by_kind.get(&job.spec.kind) else {
            let message = format!("no handler takes jobs of kind `{}`", job.spec.kind);
            let end = End::CouldNotStart { message, ours: true };
            return vec![told(key, None, end, Vec::new(), Vec::new())];
        };
        let task = Task {
            id: job.id.clone(),
            attempt: claim.attempt,
            queue: job.spec.queue.clone(),
            payload: job.spec.payload.clone(),
        };
        let work = handler(task);
        let abort = match job.spec.timeout {
            None => self.tasks.spawn(async { Some(work.await) }),
            // None: its time was up.
            Some(limit) => self.tasks.spawn(async move { tokio::time::timeout(limit, work).await.ok() }),
        };
        let id = abort.id();
        let running = Running { claim: key, started_ms: now_boot_ms(), abort, stop: None };
        self.running.insert(id, running);
        self.by_claim.insert(key, id);
        Vec::new()
    }

    fn hear(&mut self, request: &Request) {
        if let Request::Stop { claim, reason, .. } = request
            && let Some(running) = self.by_claim.get(claim).and_then(|id| self.running.get_mut(id))
        {
            running.stop.get_or_insert(*reason);
            running.abort.abort();
        }
    }

    fn end(&mut self, ended: Result<(Id, Option<Handled>), JoinError>) -> Option<Event> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let running = self.running.remove(&id)?;
        self.by_claim.remove(&running.claim);
        let (end, stdout, stderr) = match (ended, running.stop) {
            (Ok((_, Some(Ok(output)))), _) => (End::Exited { code: 0 }, output, Vec::new()),
            (Ok((_, None)), _) => (End::TimedOut, Vec::new(), Vec::new()),
            (Ok((_, Some(Err(why)))), _) => (End::Exited { code: 1 }, Vec::new(), why.into_bytes()),
            (Err(error), Some(reason)) if error.is_cancelled() => {
                (End::Stopped { reason }, Vec::new(), Vec::new())
            }
            (Err(_), _) => (End::Exited { code: 1 }, Vec::new(), b"the handler panicked".to_vec()),
        };
        Some(told(running.claim, Some(running.started_ms), end, stdout, stderr))
    }
}

fn told(claim: ClaimKey, started_ms: Option<u64>, end: End, stdout: Vec<u8>, stderr: Vec<u8>) -> Event {
    let kept = |bytes: Vec<u8>| if bytes.is_empty() { Captured::default() } else { captured(bytes) };
    Event::Exited(Box::new(ExitRecord {
        claim,
        end,
        started_ms,
        ended_ms: now_boot_ms(),
        usage: Usage::default(),
        stdout: kept(stdout),
        stderr: kept(stderr),
        leftovers_killed: 0,
    }))
}
