//! What tests are given: jobs, turns of a worker, outcomes. A test names only what it is about.

use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, JobSpec, NewJob};
use queuectl_core::outcome::{Interruption, Outcome, Output, OutputBody, Usage};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::find_key;
use queuectl_core::settle::{Tally, decide};
use queuectl_core::store::{
    AttemptRecord, Claim, ExchangeReply, ExchangeRequest, Inserted, Settle, Settled, Store, Take, WorkerRow,
};

/// The keeper of a [`Turn`]'s worker.
pub fn keeper_of(worker: &str) -> String {
    format!("keeper-of-{worker}")
}

pub fn id(id: &str) -> JobId {
    JobId::new(id).expect("a test's id")
}

pub fn ids(all: &[&str]) -> Vec<JobId> {
    all.iter().map(|one| id(one)).collect()
}

pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a test's queue")
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A job with this id and a command, due now, all else by default.
pub fn job(name: &str) -> NewJob {
    let command = Some(Command::shell(format!("echo {name}")).expect("a command"));
    NewJob { id: id(name), generated: false, spec: JobSpec { command, ..JobSpec::default() }, due: Due::Now }
}

/// A job shaped by what it is about.
pub trait With: Sized {
    fn with(self, change: impl FnOnce(&mut JobSpec)) -> Self;
    fn due(self, due: Due) -> Self;

    fn delayed(self, seconds: u64) -> Self {
        self.due(Due::After(secs(seconds)))
    }

    fn in_queue(self, name: &str) -> Self {
        self.with(|spec| spec.queue = queue(name))
    }

    fn priority(self, priority: i32) -> Self {
        self.with(|spec| spec.priority = priority)
    }

    fn max_retries(self, max_retries: u32) -> Self {
        self.with(|spec| spec.max_retries = max_retries)
    }

    fn kind(self, kind: &str) -> Self {
        self.with(|spec| kind.clone_into(&mut spec.kind))
    }

    fn tag(self, key: &str, value: &str) -> Self {
        self.with(|spec| drop(spec.tags.insert(key.to_owned(), value.to_owned())))
    }
}

impl With for NewJob {
    fn with(mut self, change: impl FnOnce(&mut JobSpec)) -> NewJob {
        change(&mut self.spec);
        self
    }

    fn due(self, due: Due) -> NewJob {
        NewJob { due, ..self }
    }
}

/// Inserts jobs that cannot collide.
pub async fn insert(store: &dyn Store, jobs: impl IntoIterator<Item = NewJob>) {
    let inserted = store.insert(jobs.into_iter().collect()).await.expect("the store works");
    assert_eq!(inserted, Inserted::All);
}

/// Sets a value for all queues, or for one.
pub async fn set(store: &dyn Store, scope: Option<&str>, key: &str, value: &str) {
    let key = find_key(key).expect("a key");
    let scope = scope.map(queue);
    store.set_setting(scope.as_ref(), key, Some(value)).await.expect("the store works");
}

/// One exchange, built up.
pub struct Turn(ExchangeRequest);

impl Turn {
    /// Of this worker; its keeper is [`keeper_of`] it. Brings nothing and wants nothing.
    pub fn of(worker: &str) -> Turn {
        Turn(ExchangeRequest {
            worker: worker.to_owned(),
            owner: keeper_of(worker),
            settles: Vec::new(),
            releases: Vec::new(),
            want: 0,
            take: Take::default(),
            drain: false,
            settings_seen: 0,
        })
    }

    pub fn want(self, want: usize) -> Turn {
        Turn(ExchangeRequest { want, ..self.0 })
    }

    pub fn queues(mut self, names: &[&str]) -> Turn {
        self.0.take.queues = names.iter().map(|name| queue(name)).collect();
        self
    }

    pub fn kinds(mut self, kinds: &[&str]) -> Turn {
        self.0.take.kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self
    }

    pub fn only(mut self, job: &str) -> Turn {
        self.0.take.only = Some(id(job));
        self
    }

    pub fn settle(mut self, settle: Settle) -> Turn {
        self.0.settles.push(settle);
        self
    }

    pub fn release(mut self, claim: ClaimToken) -> Turn {
        self.0.releases.push(claim);
        self
    }

    pub fn drain(self) -> Turn {
        Turn(ExchangeRequest { drain: true, ..self.0 })
    }

    pub fn settings_seen(self, version: u64) -> Turn {
        Turn(ExchangeRequest { settings_seen: version, ..self.0 })
    }

    pub fn request(self) -> ExchangeRequest {
        self.0
    }

    pub async fn at(self, store: &dyn Store) -> ExchangeReply {
        store.exchange(self.0).await.expect("the store works")
    }
}

/// Claims up to `want` of whatever is there.
pub async fn claim(store: &dyn Store, worker: &str, want: usize) -> Vec<Claim> {
    Turn::of(worker).want(want).at(store).await.claims
}

/// Claims one job that must be there.
pub async fn claim_one(store: &dyn Store, worker: &str) -> Claim {
    let mut claims = claim(store, worker, 1).await;
    assert_eq!(claims.len(), 1, "one job can be claimed");
    claims.remove(0)
}

/// The ids of claimed jobs, in their order.
pub fn claimed(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.job.id.as_str()).collect()
}

pub fn exited(code: i32) -> Outcome {
    Outcome::Exited { code }
}

pub fn crashed() -> Outcome {
    Outcome::Interrupted(Interruption::Crash)
}

/// An attempt that ended just now, a second after its start, and printed nothing.
pub fn attempt(outcome: Outcome) -> AttemptRecord {
    AttemptRecord {
        started_ago: Some(secs(1)),
        ended_ago: Duration::ZERO,
        outcome,
        usage: Usage::default(),
        stdout: Output::default(),
        stderr: Output::default(),
        leftovers_killed: 0,
    }
}

/// The settle of a claim whose attempt ended so just now, as the library decides it.
pub fn outcome(claim: &Claim, outcome: Outcome) -> Settle {
    let tally = Tally { attempts: claim.job.attempts, interruptions: claim.job.interruptions };
    Settle {
        claim: claim.token,
        patch: decide(&claim.job.spec, tally, &outcome, "", 0),
        attempt: attempt(outcome),
        inserts: Vec::new(),
    }
}

/// Settles a claim, which must hold.
pub async fn settle(store: &dyn Store, claim: &Claim, how: Outcome) {
    let reply = Turn::of("settler").settle(outcome(claim, how)).at(store).await;
    assert_eq!(reply.settled, [Settled::Done]);
}

/// Claims the one job that is ready and settles it.
pub async fn run_one(store: &dyn Store, worker: &str, how: Outcome) -> Claim {
    let claim = claim_one(store, worker).await;
    settle(store, &claim, how).await;
    claim
}

/// Short output, kept whole.
pub fn printed(text: &str) -> Output {
    let bytes = text.as_bytes().to_vec();
    let len = bytes.len() as u64;
    Output {
        bytes_total: len,
        bytes_dropped: 0,
        head_len: len,
        sha256: [7; 32],
        body: OutputBody::Inline(bytes),
    }
}

/// A worker's row as it is handed in.
pub fn worker(id: &str) -> WorkerRow {
    WorkerRow {
        id: id.to_owned(),
        pid: 4711,
        host: "here".to_owned(),
        slots: 2,
        queues: Vec::new(),
        only_job: false,
        started_at: queuectl_core::time::Timestamp::from_millis(0),
        stop: None,
        version: "0.1.0".to_owned(),
    }
}
