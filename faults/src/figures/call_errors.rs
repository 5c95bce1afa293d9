//! R13: the disk refuses a call. Whichever it is, once or from then on: what was acknowledged holds, what was not is there
//! whole or not at all, nothing panics, and the store works on once the disk does.

use std::collections::BTreeSet;

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::history::History;
use crate::image::{Image, Unsynced};
use crate::play::Play;
use crate::script::{self, Size, Step};
use crate::snapshot::faults_in;
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
            return Outcome {
                trials: 0,
                result: format!("without any fault: {why}"),
                verdict: Verdict::Fail,
            };
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
    let (mut kinds, mut idle) = (BTreeSet::new(), 0);
    let mut failures = Vec::new();
    for (failed, result) in results {
        idle += u64::from(failed.is_empty());
        kinds.extend(failed);
        failures.extend(result.err());
    }
    crew::report("R13", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong; {} kinds of call refused, among {calls} calls; in {idle} none was",
            failures.len(),
            kinds.len()
        ),
        verdict: Verdict::of(failures.is_empty() && kinds.contains(&Call::Sync) && 2 * idle < trials),
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
    Trap { of: None, at: 1 + from + dice.below((to - from) as usize) as u64, persistent, full }
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
    history.compare()?;
    let killed = Image::after(&session.log(), Unsynced::Kept, dice);
    history.check_image(&killed).map_err(|why| format!("killed: {why}"))?;
    let unsynced = Unsynced::draw(dice);
    let cut = Image::after(&session.log(), unsynced, dice);
    history.check_image(&cut).map_err(|why| format!("power cut, {unsynced:?}: {why}"))?;
    let unsure = session.failed().contains(&Call::Sync);
    session.heal();
    works_on(&mut play, unsure).map_err(|why| format!("healed: {why}"))
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
