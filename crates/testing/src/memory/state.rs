//! What the store holds, the only ways to change a job, and what must hold after every verb.

use std::collections::BTreeMap;

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, Job, NewJob};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;
use queuectl_core::state::{Event, State as JobState, transition};
use queuectl_core::store::BatchId;
use queuectl_core::store::{Attempt, WorkerRow};
use queuectl_core::time::Timestamp;

/// How many jobs there are of one queue, state, ready flag and retrying flag; kept with every change.
pub type Tallies = BTreeMap<(QueueName, JobState, bool, bool), u64>;

/// A job and the attempts of it that have ended.
#[derive(Debug)]
pub struct Entry {
    pub job: Job,
    pub attempts: Vec<Attempt>,
}

/// The whole store.
#[derive(Debug)]
pub struct State {
    pub incarnation: Incarnation,
    /// By `seq`.
    pub jobs: BTreeMap<i64, Entry>,
    /// True: paused.
    pub queues: BTreeMap<QueueName, bool>,
    /// Jobs of batches that are not open, with the instants at which they were put in.
    pub batches: BTreeMap<BatchId, (String, Vec<(Timestamp, NewJob)>)>,
    pub batches_begun: i64,
    pub settings: Settings,
    pub workers: Vec<WorkerRow>,
    pub tallies: Tallies,
    by_id: BTreeMap<JobId, i64>,
    seq_last: i64,
    claim_last: u64,
    /// The latest instant of any verb: dates may jump back, and what was due then stays ready.
    latest: Timestamp,
}

impl State {
    pub fn new(incarnation: Incarnation) -> State {
        State {
            incarnation,
            jobs: BTreeMap::new(),
            queues: BTreeMap::new(),
            batches: BTreeMap::new(),
            batches_begun: 0,
            settings: Settings::default(),
            workers: Vec::new(),
            tallies: Tallies::new(),
            by_id: BTreeMap::new(),
            seq_last: 0,
            claim_last: 0,
            latest: Timestamp::from_millis(i64::MIN),
        }
    }

    pub fn seq_of(&self, id: &JobId) -> Option<i64> {
        self.by_id.get(id).copied()
    }

    /// Whether a job has this id, there or in a batch that is not open.
    pub fn is_taken(&self, id: &JobId) -> bool {
        let mut staged = self.batches.values().flat_map(|(_, jobs)| jobs);
        self.by_id.contains_key(id) || staged.any(|(_, job)| job.id == *id)
    }

    pub fn find(&self, id: &JobId) -> Option<&Entry> {
        self.seq_of(id).map(|seq| &self.jobs[&seq])
    }

    /// The fence: the job that is processing under exactly this claim.
    pub fn held_by(&self, claim: ClaimToken) -> Option<&Job> {
        self.jobs.values().map(|entry| &entry.job).find(|job| job.claim == Some(claim))
    }

    /// The next claim number; never one that was given out before.
    pub fn next_claim(&mut self) -> ClaimToken {
        self.claim_last += 1;
        ClaimToken { incarnation: self.incarnation, number: self.claim_last }
    }

    /// Puts a job in.
    pub fn insert(&mut self, new: &NewJob, now: Timestamp) {
        assert!(!self.by_id.contains_key(&new.id), "{} is there already", new.id);
        let asked = match new.due {
            Due::Now => now,
            Due::After(delay) => now.after(delay),
            Due::At(at) => at.max(now),
        };
        let ahead = asked > now;
        self.seq_last += 1;
        let job = Job {
            id: new.id.clone(),
            generated: new.generated,
            seq: self.seq_last,
            spec: new.spec.clone(),
            state: JobState::Pending,
            ready: !ahead,
            retrying: false,
            due_at: asked,
            run_at: ahead.then_some(asked),
            attempts: 0,
            runs: 0,
            interruptions: 0,
            cancel_requested: false,
            claim: None,
            owner: None,
            worker: None,
            created_at: now,
            updated_at: now,
            started_at: None,
            completed_at: None,
            last_error: None,
            exit_code: None,
        };
        self.queues.entry(job.spec.queue.clone()).or_insert(false);
        *self.tallies.entry(tally_key(&job)).or_insert(0) += 1;
        self.by_id.insert(job.id.clone(), job.seq);
        self.jobs.insert(job.seq, Entry { job, attempts: Vec::new() });
    }

    /// Lets an event happen to a job, then `change` its other fields. Panics if the event is not allowed: whoever
    /// asks has looked before.
    pub fn happen(&mut self, seq: i64, event: Event, change: impl FnOnce(&mut Job)) {
        self.change(seq, |job| {
            job.state = transition(job.state, event).expect("a transition of the table");
            change(job);
        });
    }

    /// Changes fields of a job that keep its state.
    pub fn change(&mut self, seq: i64, change: impl FnOnce(&mut Job)) {
        let entry = self.jobs.get_mut(&seq).expect("a job of the store");
        let before = tally_key(&entry.job);
        change(&mut entry.job);
        let after = tally_key(&entry.job);
        uncount(&mut self.tallies, &before);
        *self.tallies.entry(after).or_insert(0) += 1;
    }

    pub fn remove(&mut self, seq: i64) -> Entry {
        let entry = self.jobs.remove(&seq).expect("a job of the store");
        assert_ne!(entry.job.state, JobState::Processing, "running jobs are never deleted");
        self.by_id.remove(&entry.job.id);
        uncount(&mut self.tallies, &tally_key(&entry.job));
        entry
    }

    /// All that must hold whenever no verb runs.
    pub fn check(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
        let mut recounted = Tallies::new();
        let mut claims = BTreeMap::new();
        for (seq, Entry { job, attempts }) in &self.jobs {
            assert_eq!((job.seq, self.by_id.get(&job.id)), (*seq, Some(seq)), "{} is lost", job.id);
            check_job(job, self.latest);
            *recounted.entry(tally_key(job)).or_insert(0) += 1;
            if let Some(claim) = job.claim {
                assert!(claim.number <= self.claim_last, "{claim} was never given out");
                assert!(claims.insert(claim, &job.id).is_none(), "{claim} is held twice");
            }
            assert!(self.queues.contains_key(&job.spec.queue), "queue {} has no row", job.spec.queue);
            let numbers = attempts.iter().map(|attempt| attempt.number);
            assert!(numbers.eq(1..=job.runs), "the attempts of {} are not 1..={}", job.id, job.runs);
        }
        assert_eq!(self.by_id.len(), self.jobs.len());
        assert_eq!(self.tallies, recounted, "the counts have drifted");
    }
}

fn check_job(job: &Job, latest: Timestamp) {
    let (id, running) = (&job.id, job.state == JobState::Processing);
    assert_eq!(job.claim.is_some(), running, "{id}: a claim exactly while processing");
    assert_eq!(job.owner.is_some(), running, "{id}: an owner exactly while processing");
    assert_eq!(
        job.completed_at.is_some(),
        job.state.is_terminal(),
        "{id}: ended exactly in a terminal state"
    );
    assert!(!job.ready || job.state == JobState::Pending, "{id}: only pending jobs are ready");
    assert!(!job.ready || job.due_at <= latest, "{id}: ready before it is due");
    assert!(!job.retrying || job.state == JobState::Pending, "{id}: only pending jobs are retrying");
    assert!(!job.cancel_requested || running, "{id}: only running jobs wait for a cancel");
    assert!(job.attempts <= job.runs, "{id}: more charged attempts than attempts");
}

fn tally_key(job: &Job) -> (QueueName, JobState, bool, bool) {
    (job.spec.queue.clone(), job.state, job.ready, job.retrying)
}

fn uncount(tallies: &mut Tallies, key: &(QueueName, JobState, bool, bool)) {
    let n = tallies.get_mut(key).expect("counted when it came");
    *n -= 1;
    if *n == 0 {
        tallies.remove(key);
    }
}
