//! What happens: small names and numbers, so that steps meet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use queuectl_core::store::{RetryScope, StopMode};

/// One history, played in order.
#[derive(Debug, Clone)]
pub struct History(pub Vec<Step>);

/// One verb, or time that passes. Jobs, queues and workers are small numbers; claims are picked among all that were ever
/// given, so that many are lost.
#[derive(Debug, Clone)]
pub enum Step {
    Insert(Vec<Seed>),
    Exchange(Turn),
    Cancel(Vec<u8>),
    Retry(Vec<u8>, RetryScope),
    Delete(Vec<u8>),
    DeleteEnded { older_secs: u64, limit: usize },
    Pause { queue: u8, paused: bool },
    MaxRunning { queue: Option<u8>, limit: Option<u8> },
    Register { worker: u8 },
    Retire { worker: u8 },
    RequestStop { workers: Vec<u8>, mode: StopMode },
    Pass { millis: u64 },
}

/// A job to insert.
#[derive(Debug, Clone)]
pub struct Seed {
    pub job: u8,
    pub queue: u8,
    pub priority: i32,
    pub kind: u8,
    pub max_retries: u32,
    pub crash_limit: u32,
    pub at_most_once: bool,
    pub environment: Option<u8>,
    pub due: Due,
}

/// When it is due.
#[derive(Debug, Clone, Copy)]
pub enum Due {
    Now,
    AfterMillis(u64),
    /// Relative to the store's now.
    AtMillis(i64),
}

/// What a worker brings and wants.
#[derive(Debug, Clone)]
pub struct Turn {
    pub worker: u8,
    pub settles: Vec<(Pick, End)>,
    pub releases: Vec<Pick>,
    pub want: usize,
    pub queues: Vec<u8>,
    pub kinds: Vec<u8>,
    pub only: Option<u8>,
    pub drain: bool,
    pub knows_settings: bool,
    /// Carried by the first settle.
    pub insert: Option<Seed>,
}

/// The n-th last of all claims that were given, if there are so many.
#[derive(Debug, Clone, Copy)]
pub struct Pick(pub usize);

/// How an attempt ended, how long ago.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub what: What,
    pub millis_ago: u64,
    pub printed: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum What {
    Exited(i32),
    Signaled,
    TimedOut,
    CouldNotStart,
    Crashed,
    Shutdown,
    Stopped,
    Cancelled,
    /// An outcome that no store can take.
    Impossible,
}

const JOBS: u8 = 10;
const QUEUES: u8 = 3;
const WORKERS: u8 = 3;

/// Histories of up to so many steps.
pub fn history(steps_max: usize) -> impl Strategy<Value = History> {
    vec(step(), 1..=steps_max).prop_map(History)
}

fn step() -> impl Strategy<Value = Step> {
    let jobs = || vec(0..JOBS, 0..3);
    let scope = prop_oneof![Just(RetryScope::Any), Just(RetryScope::DeadOnly)];
    let mode = prop_oneof![Just(StopMode::Drain), Just(StopMode::Now)];
    prop_oneof![
        6 => vec(seed(), 1..4).prop_map(Step::Insert),
        12 => turn().prop_map(Step::Exchange),
        2 => jobs().prop_map(Step::Cancel),
        3 => (jobs(), scope).prop_map(|(jobs, scope)| Step::Retry(jobs, scope)),
        1 => jobs().prop_map(Step::Delete),
        1 => (0..20_u64, 0..4_usize)
            .prop_map(|(older_secs, limit)| Step::DeleteEnded { older_secs, limit }),
        1 => (0..QUEUES, any::<bool>()).prop_map(|(queue, paused)| Step::Pause { queue, paused }),
        1 => (option::of(0..QUEUES), option::of(0..4_u8))
            .prop_map(|(queue, limit)| Step::MaxRunning { queue, limit }),
        1 => (0..WORKERS).prop_map(|worker| Step::Register { worker }),
        1 => (0..WORKERS).prop_map(|worker| Step::Retire { worker }),
        1 => (vec(0..WORKERS, 0..3), mode)
            .prop_map(|(workers, mode)| Step::RequestStop { workers, mode }),
        4 => prop_oneof![0..50_u64, 0..10_000_u64].prop_map(|millis| Step::Pass { millis }),
    ]
}

fn seed() -> impl Strategy<Value = Seed> {
    let due = prop_oneof![
        4 => Just(Due::Now),
        1 => (0..5_000_u64).prop_map(Due::AfterMillis),
        1 => (-5_000..5_000_i64).prop_map(Due::AtMillis),
    ];
    let environment = option::weighted(0.3, 0..2_u8);
    (0..JOBS, 0..QUEUES, -1..=1, 0..2_u8, 0..4_u32, 1..3_u32, prop::bool::weighted(0.1), environment, due)
        .prop_map(|(job, queue, priority, kind, max_retries, crash_limit, at_most_once, environment, due)| {
            Seed { job, queue, priority, kind, max_retries, crash_limit, at_most_once, environment, due }
        })
}

fn turn() -> impl Strategy<Value = Turn> {
    let bring = (vec((pick(), end()), 0..4), vec(pick(), 0..2), option::weighted(0.2, seed()));
    let want = (0..4_usize, vec(0..QUEUES, 0..3), vec(0..2_u8, 0..2), option::weighted(0.1, 0..JOBS));
    (0..WORKERS, bring, want, any::<bool>(), any::<bool>()).prop_map(|(worker, bring, want, drain, knows)| {
        let (settles, releases, insert) = bring;
        let (want, queues, kinds, only) = want;
        Turn { worker, settles, releases, want, queues, kinds, only, drain, knows_settings: knows, insert }
    })
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![3 => 0..4_usize, 1 => 0..20_usize].prop_map(Pick)
}

fn end() -> impl Strategy<Value = End> {
    let what = prop_oneof![
        3 => Just(What::Exited(0)),
        4 => (1..4_i32).prop_map(What::Exited),
        1 => Just(What::Signaled),
        1 => Just(What::TimedOut),
        1 => Just(What::CouldNotStart),
        2 => Just(What::Crashed),
        1 => Just(What::Shutdown),
        1 => Just(What::Stopped),
        1 => Just(What::Cancelled),
        1 => Just(What::Impossible),
    ];
    let ago = prop_oneof![Just(0), 0..6_000_u64];
    (what, ago, any::<bool>()).prop_map(|(what, millis_ago, printed)| End { what, millis_ago, printed })
}
