//! F46: a sync fails, the process is killed, and another goes on with what it reads, which the disk need not have. Then the
//! power goes. What the other one acknowledged is there; or it refused to go on.

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::figures::call_errors::SIZE;
use crate::history::{History, is_sum};
use crate::image::{Image, Unsynced};
use crate::play::Play;
use crate::script::{self, Step};
use crate::snapshot::{Snapshot, faults_in};
use crate::vfs::{Call, Session, Trap};
use crate::voyage::{Voyage, broken};

pub const FIGURE: Figure = Figure {
    name: "F46",
    what: "a sync fails and the kernel forgets what it was to write; killed, restarted, an acknowledgement, a power cut",
    target: "0 acknowledged changes lost",
    short: Some(60),
    long: Some(2000),
    run,
};

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let script = script::write(&mut Dice::new(seed, "R13 script", 0), SIZE);
    let syncs = match Voyage::record(&script) {
        Ok(voyage) => voyage.session.calls_of(Call::Sync),
        Err(why) => {
            return Outcome {
                trials: 0,
                result: format!("without any fault: {why}"),
                verdict: Verdict::Fail,
            };
        }
    };
    let results = crew::each(trials, |trial| {
        let mut dice = Dice::new(seed, "F46", trial);
        let at = 1 + dice.below(syncs as usize) as u64;
        try_one(&script, at, &mut dice).map_err(|why| format!("trial {trial}, sync {at} of {syncs}: {why}"))
    });
    let failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    let refused = results.iter().filter(|result| **result == Ok(GoesOn::Refused)).count() as u64;
    crew::report("F46", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} of {trials} wrong, {refused} refused; {syncs} syncs in the script",
            failures.len()
        ),
        verdict: Verdict::of(failures.is_empty() && refused < trials),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    Rightly,
    Refused,
}

fn try_one(script: &[Step], at: u64, dice: &mut Dice) -> Result<GoesOn, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let place = dir.path().canonicalize().map_err(|e| e.to_string())?;
    let session =
        Session::begin(&place, Some(Trap { of: Some(Call::Sync), at, persistent: true, full: false }));
    let mut play = Play::new(&place, session.clone()).map_err(|e| e.to_string())?;
    let mut history = History::default();
    for step in script {
        history.step(&mut play, step)?;
        if !session.failed().is_empty() {
            break;
        }
    }
    if !session.failed().contains(&Call::Sync) {
        return Err("its sync was never made, so none failed".to_owned());
    }
    let killed = Image::after(&session.log(), Unsynced::Kept, dice);
    restarted(&history.acknowledged, &mut play, &killed, dice)
}

fn restarted(
    acknowledged: &Snapshot,
    play: &mut Play,
    killed: &Image,
    dice: &mut Dice,
) -> Result<GoesOn, String> {
    let session = play.session.clone();
    let mut log = session.log();
    // What it does while it ends here, it would not have done.
    play.perform(&Step::Close).answer?;
    session.heal();
    killed.place(&play.database).map_err(|e| e.to_string())?;
    let from = session.position();
    if play.perform(&Step::Open).answer.is_err() {
        play.perform(&Step::Close).answer?;
        return Ok(GoesOn::Refused);
    }
    // The power goes after an acknowledgement, or at once.
    let more = if dice.percent(50) { vec![queuectl_testing::given::job("restarted")] } else { Vec::new() };
    let mut facts = Vec::new();
    for job in more {
        match play.perform(&Step::Insert(vec![job])).answer {
            Ok(told) => facts = told,
            Err(_) => return Ok(GoesOn::Refused),
        }
    }
    let seen = play.snapshot().map_err(|e| e.to_string())?;
    log.extend_from_slice(&session.log()[from..]);
    let image = Image::after(&log, Unsynced::draw(dice), dice);
    play.perform(&Step::Close).answer?;
    image.place(&play.database).map_err(|e| e.to_string())?;
    let found = faults_in(&play.database).map_err(|e| e.to_string())?;
    if !found.is_empty() {
        return Err(found.join("; "));
    }
    let found = Snapshot::read(&play.database).map_err(|e| e.to_string())?.unwrap_or_default();
    broken(&facts, &found).map_err(|fact| format!("{fact:?} was acknowledged, and is not so"))?;
    let differs = |key: &String| found.get(key) != seen.get(key) && !is_sum(key);
    match acknowledged.differences(&found).into_iter().find(differs) {
        None => Ok(GoesOn::Rightly),
        Some(key) => Err(format!("{key} is neither as acknowledged nor as it was seen")),
    }
}
