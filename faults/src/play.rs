//! Playing a script against the store, and what each step promised once it was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queuectl_core::id::JobId;
use queuectl_core::job::NewJob;
use queuectl_core::outcome::Outcome;
use queuectl_core::query::Filter;
use queuectl_core::settings::find_key;
use queuectl_core::state::Shown;
use queuectl_core::store::{
    BatchId, Batches, Cancelled, Claim, EditOne, Edited, Exchange, Inserted, Jobs, Queues, RetryScope,
    Selection, SettingsStore, Settled, StoreError, Workers,
};
use queuectl_sqlite::{Access, Clock, OpenOptions, SqliteStore};
use queuectl_testing::ManualClock;
use queuectl_testing::given::{self, Turn};
use rusqlite::Connection;
use tokio::runtime::Runtime;

use crate::script::{How, Step};
use crate::snapshot::Snapshot;
use crate::vfs::Session;

pub const WORKER: &str = "worker";

/// What must be found once a step was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// There is this row, and of this column this value if one is named.
    Is(String, Option<(&'static str, String)>),
    Absent(String),
}

impl Fact {
    fn job(id: &JobId, column: &'static str, value: &dyn ToString) -> Fact {
        Fact::Is(format!("job {id}"), Some((column, value.to_string())))
    }

    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        match self {
            Fact::Is(key, None) => snapshot.get(key).is_some(),
            Fact::Is(key, Some((column, value))) => {
                snapshot.get(key).is_some_and(|row| row.get(column) == value)
            }
            Fact::Absent(key) => snapshot.get(key).is_none(),
        }
    }
}

/// What became of a step.
#[derive(Debug)]
pub struct Played {
    /// The facts that the acknowledgement promised; or why there is none.
    pub answer: Result<Vec<Fact>, String>,
    /// Of a step whose parts are independent: each part's row, and where the log stood when it was acknowledged.
    pub parts: Vec<(String, usize)>,
}

/// A store on a stage: a database in a directory, under a session's watch, in its own time.
pub struct Play {
    pub database: PathBuf,
    pub session: Arc<Session>,
    pub clock: ManualClock,
    store: Option<Arc<SqliteStore>>,
    runtime: Runtime,
    /// Claims that were handed out and neither settled nor given back.
    held: Vec<Claim>,
    batch: Option<BatchId>,
    /// The last snapshot, and where the log stood then.
    seen: (usize, Arc<Snapshot>),
}

impl Play {
    pub fn new(dir: &Path, session: Arc<Session>) -> std::io::Result<Play> {
        Ok(Play {
            database: dir.join("queue.db"),
            session,
            clock: ManualClock::default(),
            store: None,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            held: Vec::new(),
            batch: None,
            seen: (0, Arc::default()),
        })
    }

    pub fn is_open(&self) -> bool {
        self.store.is_some()
    }

    /// The database as it is; read anew only if anything was written since.
    pub fn snapshot(&mut self) -> rusqlite::Result<Arc<Snapshot>> {
        if self.session.position() != self.seen.0 {
            let read = Snapshot::read(&self.database)?.unwrap_or_default();
            self.seen = (self.session.position(), Arc::new(read));
        }
        Ok(self.seen.1.clone())
    }

    pub fn perform(&mut self, step: &Step) -> Played {
        let mut parts = Vec::new();
        let answer = match step {
            Step::Open => self.open(),
            Step::Close => self.close(),
            Step::Wait(seconds) => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(Vec::new())
            }
            Step::Checkpoint(mode) => self.checkpoint(mode),
            Step::InsertTogether(jobs) => match self.store.clone() {
                Some(store) => {
                    let (session, jobs) = (self.session.clone(), jobs.clone());
                    self.runtime.block_on(insert_together(store, session, jobs, &mut parts))
                }
                None => Err("not open".to_owned()),
            },
            _ => self.ask(step),
        };
        Played { answer, parts }
    }

    /// The same, but its answer is lost on its way: what was held before is held on.
    pub fn perform_unheard(&mut self, step: &Step) -> Result<(), String> {
        let (held, batch) = (self.held.clone(), self.batch);
        let played = self.perform(step);
        (self.held, self.batch) = (held, batch);
        played.answer.map(drop)
    }

    /// A verb of the port.
    fn ask(&mut self, step: &Step) -> Result<Vec<Fact>, String> {
        let Some(store) = self.store.clone() else { return Err("not open".to_owned()) };
        let (held, batch) = (&mut self.held, &mut self.batch);
        self.runtime.block_on(ask(&store, step, held, batch)).map_err(|error| error.to_string())
    }

    fn open(&mut self) -> Result<Vec<Fact>, String> {
        if self.store.is_some() {
            return Ok(Vec::new());
        }
        let (path, clock) = (self.database.clone(), self.clock.clone());
        let opened = self.runtime.block_on(open(path, Access::CreateOrMigrate, clock));
        let opened = opened.map_err(|error| error.to_string())?;
        self.store = Some(Arc::new(opened.ok_or("nothing was made")?));
        Ok(vec![Fact::Is("meta 1".to_owned(), None)])
    }

    fn close(&mut self) -> Result<Vec<Fact>, String> {
        self.store = None;
        if self.session.wait_closed() { Ok(Vec::new()) } else { Err("its files stay open".to_owned()) }
    }

    fn checkpoint(&mut self, mode: &str) -> Result<Vec<Fact>, String> {
        let checkpoint = || -> rusqlite::Result<()> {
            let connection = Connection::open(&self.database)?;
            connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
        };
        // Where there is no store yet there is nothing to move.
        if self.store.is_none() {
            return Err("not open".to_owned());
        }
        checkpoint().map(|()| Vec::new()).map_err(|error| error.to_string())
    }
}

/// Opens a database as the product does, but for the clock.
pub async fn open(
    path: PathBuf,
    access: Access,
    clock: ManualClock,
) -> Result<Option<SqliteStore>, StoreError> {
    SqliteStore::open_with_clock(OpenOptions::new(path, access), Clock::new(move || clock.now())).await
}

/// The first is held up on its way to the disk until the others wait behind it: so they share a commit, every time.
async fn insert_together(
    store: Arc<SqliteStore>,
    session: Arc<Session>,
    jobs: Vec<NewJob>,
    parts: &mut Vec<(String, usize)>,
) -> Result<Vec<Fact>, String> {
    let insert = |job: NewJob| {
        let (store, session) = (store.clone(), session.clone());
        async move {
            let key = format!("job {}", job.id);
            let answer = store.insert(vec![job]).await;
            (key, answer, session.position())
        }
    };
    let mut jobs = jobs.into_iter();
    let mut calls = Vec::new();
    session.hold_up();
    if let Some(first) = jobs.next() {
        let first = tokio::spawn(insert(first));
        tokio::select! {
            () = session.somebody_waits() => {}
            // It failed before it could write.
            () = finished(&first) => {}
        }
        calls.push(first);
    }
    for job in jobs {
        calls.push(tokio::spawn(insert(job)));
        // It stands in line as soon as it is polled.
        tokio::task::yield_now().await;
    }
    session.release();
    let (mut facts, mut failures) = (Vec::new(), Vec::new());
    for call in calls {
        let (key, answer, position) = call.await.map_err(|error| error.to_string())?;
        match answer {
            Ok(Inserted::All) => {
                facts.push(Fact::Is(key.clone(), None));
                parts.push((key, position));
            }
            Ok(Inserted::Duplicate(_)) => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    match failures.pop() {
        None => Ok(facts),
        Some(failure) => Err(failure),
    }
}

async fn finished<T>(task: &tokio::task::JoinHandle<T>) {
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

async fn ask(
    store: &SqliteStore,
    step: &Step,
    held: &mut Vec<Claim>,
    batch: &mut Option<BatchId>,
) -> Result<Vec<Fact>, StoreError> {
    let ids = |names: &[String]| -> Vec<JobId> { names.iter().map(|name| given::id(name)).collect() };
    let there = |jobs: &[NewJob], answer: Inserted| match answer {
        Inserted::All => jobs.iter().map(|job| Fact::Is(format!("job {}", job.id), None)).collect(),
        Inserted::Duplicate(_) => Vec::new(),
    };
    let facts = match step {
        Step::Insert(jobs) => there(jobs, store.insert(jobs.clone()).await?),
        Step::BeginBatch => {
            let begun = store.begin_batch("loader").await?;
            *batch = Some(begun);
            vec![Fact::Is(format!("batch {}", begun.0), Some(("open", "0".to_owned())))]
        }
        Step::Stage(jobs) => match *batch {
            Some(batch) => there(jobs, store.stage(batch, jobs.clone()).await?),
            None => Vec::new(),
        },
        Step::OpenBatch => match *batch {
            Some(batch) if store.open_batch(batch).await? => {
                vec![Fact::Is(format!("batch {}", batch.0), Some(("open", "1".to_owned())))]
            }
            _ => Vec::new(),
        },
        Step::Promote(limit) => store.promote_batches(*limit).await.map(|_| Vec::new())?,
        Step::DropBatch(limit) => match *batch {
            Some(batch) => store.drop_batch(batch, *limit).await.map(|_| Vec::new())?,
            None => Vec::new(),
        },
        Step::Exchange { settle, release, want } => exchange(store, settle, *release, *want, held).await?,
        Step::Cancel(names) => {
            let ids = ids(names);
            let answers = store.cancel(&ids).await?;
            let facts = ids.iter().zip(answers).filter_map(|(id, answer)| match answer {
                Cancelled::Now => Some(Fact::job(id, "state", &"cancelled")),
                Cancelled::Requested { .. } => Some(Fact::job(id, "cancel_requested", &1)),
                Cancelled::Ended(state) => Some(Fact::job(id, "state", &state.as_str())),
                Cancelled::Absent => None,
            });
            facts.collect()
        }
        Step::Retry(names) => {
            let ids = ids(names);
            let answers = store.retry(&ids, RetryScope::Any).await?;
            let revived = ids
                .iter()
                .zip(answers)
                .filter(|(_, answer)| matches!(answer, queuectl_core::store::Retried::Revived { .. }));
            revived.map(|(id, _)| Fact::job(id, "state", &"pending")).collect()
        }
        Step::Prioritise(names) => {
            let edit = queuectl_core::edit::Edit { priority: Some(9), ..Default::default() };
            let edits: Vec<EditOne> =
                ids(names).into_iter().map(|id| EditOne { id, edit: edit.clone(), seen: None }).collect();
            match store.edit(&edits).await? {
                Edited::All => edits.iter().map(|one| Fact::job(&one.id, "priority", &9)).collect(),
                Edited::Refused(_) => Vec::new(),
            }
        }
        Step::Delete(names) => {
            let deleted = store.delete(Selection::Ids(ids(names))).await?.deleted;
            deleted.iter().map(|id| Fact::Absent(format!("job {id}"))).collect()
        }
        Step::Prune(limit) => {
            let filter = Filter { shown: Some(Shown::Completed), ..Filter::default() };
            let deleted = store.delete(Selection::Filter { filter, limit: *limit }).await?.deleted;
            deleted.iter().map(|id| Fact::Absent(format!("job {id}"))).collect()
        }
        Step::Set { queue, key, value } => {
            let (key, scope) = (find_key(key).expect("a key"), queue.map(given::queue));
            store.set_setting(scope.as_ref(), key, value.as_deref()).await?;
            let row = format!("setting {} {}", queue.unwrap_or_default(), key.name);
            vec![match value {
                Some(value) => Fact::Is(row, Some(("value", value.clone()))),
                None => Fact::Absent(row),
            }]
        }
        Step::Pause(paused) => {
            store.set_paused(&given::queue("mail"), *paused).await?;
            vec![Fact::Is("queue mail".to_owned(), Some(("paused", u8::from(*paused).to_string())))]
        }
        Step::Register => {
            store.register(given::worker(WORKER)).await?;
            vec![Fact::Is(format!("worker {WORKER}"), None)]
        }
        Step::Retire => {
            store.retire(WORKER).await?;
            vec![Fact::Absent(format!("worker {WORKER}"))]
        }
        Step::Open | Step::Close | Step::Wait(_) | Step::InsertTogether(_) | Step::Checkpoint(_) => {
            Vec::new()
        }
    };
    Ok(facts)
}

async fn exchange(
    store: &SqliteStore,
    settle: &[How],
    release: usize,
    want: usize,
    held: &mut Vec<Claim>,
) -> Result<Vec<Fact>, StoreError> {
    let mut turn = Turn::of(WORKER).want(want);
    let settling: Vec<Claim> = held.iter().take(settle.len()).cloned().collect();
    for (claim, how) in settling.iter().zip(settle) {
        let outcome = match how {
            How::Succeeds => given::exited(0),
            How::Fails => given::exited(3),
            How::Crashes => given::crashed(),
            How::Cancelled => Outcome::Cancelled,
        };
        let mut settle = given::outcome(claim, outcome);
        settle.attempt.stdout = given::printed(&format!("{} was here", claim.job.id));
        turn = turn.settle(settle);
    }
    let releasing: Vec<Claim> = held.iter().skip(settling.len()).take(release).cloned().collect();
    for claim in &releasing {
        turn = turn.release(claim.token);
    }
    let reply = store.exchange(turn.request()).await?;
    held.drain(..settling.len() + releasing.len());
    let mut facts = Vec::new();
    for (claim, settled) in settling.iter().zip(&reply.settled) {
        if *settled == Settled::Done {
            let row = format!("attempt {}#{}", claim.job.id, claim.attempt);
            facts.push(Fact::Is(row, Some(("claim", claim.token.number.to_string()))));
        }
    }
    for claim in &reply.claims {
        facts.push(Fact::job(&claim.job.id, "claim", &claim.token.number));
    }
    held.extend(reply.claims);
    Ok(facts)
}
