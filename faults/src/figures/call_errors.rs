//! R13: the disk refuses a call. Whichever it is, once or from then on: what was acknowledged holds, what was not is there
//! whole or not at all, nothing panics, and the store works on once the disk does.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::image::{Image, Unsynced};
use crate::play::Play;
use crate::script::{self, Size, Step};
use crate::snapshot::{Snapshot, faults_in};
use crate::vfs::{Call, Session, Trap};
use crate::voyage::{Voyage, broken, name};

pub const FIGURE: Figure = Figure {
    name: "R13",
    what: "the n-th storage call fails, once, from then on, or from then on for a full disk; then a kill and a power cut",
    target: "0 wrong, 0 panics",
    short: Some(180),
    long: None,
    run,
};

pub const SIZE: Size = Size { more: 10, bulk: 5, command: 200 };

fn run(plan: &Plan) -> Outcome {
    let seed = plan.seed;
    let script = script::write(&mut Dice::new(seed, "R13 script", 0), SIZE);
    let calls = match Voyage::record(&script) {
        Ok(voyage) => voyage.session.calls(),
        Err(why) => {
            return Outcome { trials: 0, result: format!("without any fault: {why}"), verdict: Verdict::Fail };
        }
    };
    let all = calls * MODES.len() as u64;
    let trials = plan.trials.unwrap_or(all).min(all);
    let results = crew::each(trials, |trial| {
        let mut dice = Dice::new(seed, "R13", trial);
        let trap = trap(trial, trials, calls, &mut dice);
        let mut failed = BTreeSet::new();
        let result = try_one(&script, trap, &mut dice, &mut failed);
        (failed, result.map_err(|why| format!("trial {trial}, {trap:?} of {calls}: {why}")))
    });
    let mut kinds = BTreeSet::new();
    let mut failures = Vec::new();
    for (failed, result) in results {
        kinds.extend(failed);
        failures.extend(result.err());
    }
    crew::report("R13", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong; {} kinds of call refused, among {calls} calls",
            failures.len(),
            kinds.len()
        ),
        verdict: Verdict::of(failures.is_empty() && kinds.contains(&Call::Sync)),
    }
}

/// Persistent, for a full disk.
const MODES: [(bool, bool); 3] = [(false, false), (true, false), (true, true)];

/// The trials in their order go through the calls from the first to the last, each mode in turn.
fn trap(trial: u64, trials: u64, calls: u64, dice: &mut Dice) -> Trap {
    let modes = MODES.len() as u64;
    let (persistent, full) = MODES[(trial % modes) as usize];
    let (slice, slices) = (trial / modes, trials.div_ceil(modes));
    let (from, to) = (slice * calls / slices, ((slice + 1) * calls / slices).max(slice * calls / slices + 1));
    Trap { at: 1 + from + dice.below((to - from) as usize) as u64, persistent, full }
}

fn try_one(script: &[Step], trap: Trap, dice: &mut Dice, failed: &mut BTreeSet<Call>) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let place = dir.path().canonicalize().map_err(|e| e.to_string())?;
    let session = Session::begin(&place, Some(trap));
    let mut play = Play::new(&place, session.clone()).map_err(|e| e.to_string())?;
    let mut history = History::default();
    // The script's last step closes the store; the machine dies before.
    for (at, step) in script[..script.len() - 1].iter().enumerate() {
        history.step(&mut play, step).map_err(|why| format!("step {at}, {}: {why}", name(step)))?;
    }
    failed.extend(session.failed());
    let killed = Image::after(&session.log(), Unsynced::Kept, dice);
    history.check_image(&killed).map_err(|why| format!("killed: {why}"))?;
    let unsynced = Unsynced::draw(dice);
    let cut = Image::after(&session.log(), unsynced, dice);
    history.check_image(&cut).map_err(|why| format!("power cut, {unsynced:?}: {why}"))?;
    let unsure = session.failed().contains(&Call::Sync);
    session.heal();
    works_on(&mut play, unsure).map_err(|why| format!("healed: {why}"))
}

/// What the store had acknowledged, and what was tried since and failed.
#[derive(Default)]
pub struct History {
    pub acknowledged: Arc<Snapshot>,
    failed: Vec<Step>,
    /// The database after the last step, acknowledged or not.
    seen: Arc<Snapshot>,
}

impl History {
    /// Takes a step, and holds it to its answer.
    pub fn step(&mut self, play: &mut Play, step: &Step) -> Result<(), String> {
        let played = play.perform(step);
        let after = play.snapshot().map_err(|e| format!("unreadable: {e}"))?;
        let before = std::mem::replace(&mut self.seen, after.clone());
        if let Some((lost, _)) = played.parts.iter().find(|(key, _)| after.get(key).is_none()) {
            return Err(format!("{lost} was acknowledged, and is not there"));
        }
        if let Ok(facts) = &played.answer {
            broken(facts, &after).map_err(|fact| format!("{fact:?} was acknowledged, and is not so"))?;
            let made = matches!(step, Step::Open) && self.failed.is_empty();
            if !writes(step) && !made {
                // Whoever comes anew may find what was refused before: the disk has it, though nobody promised.
                return self.explain(&after);
            }
            if self.acknowledged != after {
                // Its commit took the place in the log of whatever had failed before.
                self.acknowledged = after;
                self.failed.clear();
            }
            return Ok(());
        }
        // Whoever is told of a failure takes it that nothing happened. The disk may hold it all the same; the store must
        // not, but for the parts that were acknowledged.
        let mut visible = before.differences(&after);
        if played.parts.is_empty() {
            self.failed.push(step.clone());
        } else {
            visible.retain(|key| !is_sum(key) && !played.parts.iter().any(|(part, _)| part == key));
            self.acknowledged = after;
            self.failed = vec![step.clone()];
        }
        // A store is made in more than one commit.
        if matches!(step, Step::Open) {
            return Ok(());
        }
        if let Some(key) = visible.first() {
            return Err(format!("it failed, and {key} is another"));
        }
        Ok(())
    }

    fn check_image(&self, image: &Image) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let database = dir.path().join("queue.db");
        image.place(&database).map_err(|e| e.to_string())?;
        let found = faults_in(&database).map_err(|e| e.to_string())?;
        if !found.is_empty() {
            return Err(found.join("; "));
        }
        self.explain(&Snapshot::read(&database).map_err(|e| e.to_string())?.unwrap_or_default())
    }

    /// The database is as it was acknowledged, or as one step made it that was not.
    fn explain(&self, found: &Snapshot) -> Result<(), String> {
        let differences = self.acknowledged.differences(found);
        let explains = |step: &Step| {
            let first = matches!(step, Step::Open) && *self.acknowledged == Snapshot::default();
            first
                || differences.iter().all(|key| touches(step, key))
                    && is_whole(step, &self.acknowledged, found)
        };
        if differences.is_empty() || self.failed.iter().any(explains) {
            return Ok(());
        }
        let steps: Vec<String> = self.failed.iter().map(name).collect();
        let count = differences.len();
        Err(format!(
            "{count} rows are not as acknowledged: {}; failed since: {}",
            differences[..count.min(6)].join(", "),
            steps.join(", ")
        ))
    }
}

/// Whether an acknowledgement of this step promises that something lasts.
fn writes(step: &Step) -> bool {
    !matches!(step, Step::Open | Step::Close | Step::Wait(_) | Step::Checkpoint(_))
}

/// What is kept of all jobs together.
pub fn is_sum(key: &str) -> bool {
    ["counts ", "sequence ", "environment "].iter().any(|table| key.starts_with(table))
}

/// Whether a step may change this row.
fn touches(step: &Step, key: &str) -> bool {
    let (table, row) = key.split_once(' ').unwrap_or((key, ""));
    if is_sum(key) || table == "meta" {
        return true;
    }
    // Of an attempt and an output as well.
    let id = row.split('#').next().unwrap_or_default();
    let named = |ids: &[String]| ids.iter().any(|one| one == id);
    match step {
        Step::Insert(jobs) | Step::InsertTogether(jobs) | Step::Stage(jobs) => {
            table == "queue" || table == "job" && jobs.iter().any(|job| job.id.as_str() == id)
        }
        Step::BeginBatch => table == "batch",
        Step::OpenBatch | Step::Promote(_) | Step::DropBatch(_) => ["batch", "job"].contains(&table),
        Step::Exchange { .. } => ["job", "attempt", "output", "batch"].contains(&table),
        Step::Cancel(ids) | Step::Retry(ids) | Step::Prioritise(ids) => table == "job" && named(ids),
        Step::Delete(ids) => ["job", "attempt", "output"].contains(&table) && named(ids),
        Step::Prune(_) => ["job", "attempt", "output"].contains(&table),
        Step::Set { .. } => table == "setting",
        Step::Pause(_) => table == "queue",
        Step::Register | Step::Retire => table == "worker",
        Step::Open | Step::Close | Step::Wait(_) | Step::Checkpoint(_) => false,
    }
}

/// Jobs that are put in by one call are there all or not at all.
fn is_whole(step: &Step, before: &Snapshot, found: &Snapshot) -> bool {
    let (Step::Insert(jobs) | Step::Stage(jobs)) = step else { return true };
    let key = |job: &queuectl_core::job::NewJob| format!("job {}", job.id);
    let new = jobs.iter().filter(|job| before.get(&key(job)).is_none()).count();
    let came =
        jobs.iter().filter(|job| before.get(&key(job)).is_none() && found.get(&key(job)).is_some()).count();
    came == 0 || came == new
}

/// The disk is well again: the same process goes on, or after a failed sync the next one, and its work lasts.
fn works_on(play: &mut Play, unsure: bool) -> Result<(), String> {
    if unsure {
        play.perform(&Step::Close).answer?;
    }
    play.perform(&Step::Open).answer?;
    let job = queuectl_testing::given::job("afterwards");
    let facts = play.perform(&Step::Insert(vec![job])).answer?;
    play.perform(&Step::Exchange { settle: vec![], release: 0, want: 100 }).answer?;
    let before = play.snapshot().map_err(|e| e.to_string())?;
    broken(&facts, &before).map_err(|fact| format!("{fact:?} was acknowledged, and is not so"))?;
    play.perform(&Step::Close).answer?;
    play.perform(&Step::Open).answer?;
    let after = play.snapshot().map_err(|e| e.to_string())?;
    play.perform(&Step::Close).answer?;
    let differences = before.differences(&after);
    if !differences.is_empty() {
        return Err(format!("reopened, other rows: {}", differences.join(", ")));
    }
    let found = faults_in(&play.database).map_err(|e| e.to_string())?;
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}
