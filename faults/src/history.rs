//! What a store answered while calls failed under it, and what it must hold of that.

use std::sync::Arc;

use queuectl_core::job::NewJob;

use crate::image::Image;
use crate::play::Play;
use crate::script::Step;
use crate::snapshot::{Snapshot, faults_in};
use crate::undisturbed::{self, Taken};
use crate::voyage::{broken, name};

/// What the store had acknowledged, and what was tried since and failed.
#[derive(Default)]
pub struct History {
    pub acknowledged: Arc<Snapshot>,
    /// What made it so.
    taken: Vec<Taken>,
    failed: Vec<Failed>,
    /// A step that failed, and whose work whoever came anew has found, in its parts: it was done when it failed.
    found: Vec<Failed>,
    /// The database after the last step, acknowledged or not.
    seen: Arc<Snapshot>,
}

#[derive(Debug, Clone)]
struct Failed {
    step: Step,
    /// So many had been taken before.
    taken: usize,
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
        match &played.answer {
            Ok(facts) => {
                broken(facts, &after).map_err(|fact| format!("{fact:?} was acknowledged, and is not so"))?;
                self.acknowledge(step, &before, after)
            }
            Err(_) => self.refuse(step, &played.parts, &before, &after),
        }
    }

    fn acknowledge(&mut self, step: &Step, before: &Snapshot, after: Arc<Snapshot>) -> Result<(), String> {
        let made = matches!(step, Step::Open) && self.failed.is_empty();
        if !writes(step) && !made {
            self.taken.push(Taken::Acknowledged(step.clone()));
            // Whoever comes anew may find what was refused before: the disk has it, though nobody promised.
            return self.look(before, &after);
        }
        let first = made && *before == Snapshot::default();
        let other = before.differences(&after).into_iter().find(|key| !first && !touches(step, key));
        if let Some(key) = other {
            return Err(format!("{key} is another, which has nothing to do with it"));
        }
        self.take_found();
        self.taken.push(Taken::Acknowledged(step.clone()));
        if self.acknowledged != after {
            // Its commit took the place in the log of whatever had failed before.
            self.acknowledged = after;
            self.failed.clear();
        }
        Ok(())
    }

    /// Whoever is told of a failure takes it that nothing happened. The disk may hold it all the same; the store must not,
    /// but for the parts that were acknowledged.
    fn refuse(
        &mut self,
        step: &Step,
        parts: &[(String, usize)],
        before: &Snapshot,
        after: &Arc<Snapshot>,
    ) -> Result<(), String> {
        let mut visible = before.differences(after);
        if !parts.is_empty() {
            visible.retain(|key| !is_sum(key) && !parts.iter().any(|(part, _)| part == key));
            self.take_found();
            self.taken.extend(inserted(step, parts).map(|job| Taken::Acknowledged(Step::Insert(vec![job]))));
            self.acknowledged = after.clone();
            self.failed.clear();
        }
        self.failed.push(Failed { step: step.clone(), taken: self.taken.len() });
        // A store is made in more than one commit.
        if matches!(step, Step::Open) {
            return self.look(before, after);
        }
        match visible.first() {
            None => Ok(()),
            Some(key) => Err(format!("it failed, and {key} is another")),
        }
    }

    fn take_found(&mut self) {
        let Some(at) = self.found.first().map(|found| found.taken) else { return };
        let since = self.taken.split_off(at);
        self.taken.extend(self.found.drain(..).map(|found| Taken::Unheard(found.step)));
        // Nobody saw its work before it was found: what was answered meanwhile changed nothing, and would have with it.
        let writes = |taken: &Taken| matches!(taken, Taken::Acknowledged(step) if writes(step));
        self.taken.extend(since.into_iter().filter(|taken| !writes(taken)));
    }

    /// Sees what has come back with whoever opened the store.
    fn look(&mut self, before: &Snapshot, after: &Snapshot) -> Result<(), String> {
        if before != after {
            self.found = self.explain(after)?.map(|failed| failed.parts_in(after)).unwrap_or_default();
        }
        Ok(())
    }

    /// All that was acknowledged is as a store has it in which nothing ever failed.
    pub fn compare(&self) -> Result<(), String> {
        if *self.acknowledged == Snapshot::default() {
            return Ok(());
        }
        let differences = undisturbed::after(&self.taken)?.differences(&self.acknowledged.of_any_store());
        match differences.first() {
            None => Ok(()),
            Some(key) => {
                Err(format!("{} rows are not what the same steps make elsewhere: {key}", differences.len()))
            }
        }
    }

    pub fn check_image(&self, image: &Image) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let database = dir.path().join("queue.db");
        image.place(&database).map_err(|e| e.to_string())?;
        let found = faults_in(&database).map_err(|e| e.to_string())?;
        if !found.is_empty() {
            return Err(found.join("; "));
        }
        self.explain(&Snapshot::read(&database).map_err(|e| e.to_string())?.unwrap_or_default()).map(drop)
    }

    /// The database is as it was acknowledged, or as one step made it that was not, which is returned.
    fn explain(&self, found: &Snapshot) -> Result<Option<Failed>, String> {
        let differences = self.acknowledged.differences(found);
        if differences.is_empty() {
            return Ok(None);
        }
        for failed in &self.failed {
            let first = matches!(failed.step, Step::Open) && *self.acknowledged == Snapshot::default();
            let may = || differences.iter().all(|key| touches(&failed.step, key));
            if first || may() && self.is_whole(failed, found)? {
                return Ok(Some(failed.clone()));
            }
        }
        let steps: Vec<String> = self.failed.iter().map(|failed| name(&failed.step)).collect();
        let count = differences.len();
        Err(format!(
            "{count} rows are not as acknowledged: {}; failed since: {}",
            differences[..count.min(6)].join(", "),
            steps.join(", ")
        ))
    }

    /// Whether the database is, row by row, what the step makes of it where nothing fails.
    fn is_whole(&self, failed: &Failed, found: &Snapshot) -> Result<bool, String> {
        // Each of its parts is there or not.
        if matches!(failed.step, Step::InsertTogether(_)) {
            return Ok(true);
        }
        let mut steps = self.taken[..failed.taken].to_vec();
        steps.push(Taken::Unheard(failed.step.clone()));
        Ok(undisturbed::after(&steps)? == found.of_any_store())
    }
}

impl Failed {
    /// Of what is not done whole or not at all, what is there, in the order in which it came.
    fn parts_in(self, found: &Snapshot) -> Vec<Failed> {
        let Step::InsertTogether(jobs) = self.step else { return vec![self] };
        let place = |job: &NewJob| found.get(&format!("job {}", job.id))?.get("seq").parse::<u64>().ok();
        let mut there: Vec<(u64, NewJob)> =
            jobs.into_iter().filter_map(|job| Some((place(&job)?, job))).collect();
        there.sort_by_key(|(place, _)| *place);
        let alone = |(_, job)| Failed { step: Step::Insert(vec![job]), taken: self.taken };
        there.into_iter().map(alone).collect()
    }
}

/// The jobs of those parts, in the order of their commits.
fn inserted(step: &Step, parts: &[(String, usize)]) -> impl Iterator<Item = NewJob> {
    let Step::InsertTogether(jobs) = step else { return Vec::new().into_iter() };
    let mut parts: Vec<&(String, usize)> = parts.iter().collect();
    parts.sort_by_key(|(_, position)| *position);
    let job = |key: &str| jobs.iter().find(|job| format!("job {}", job.id) == key).cloned();
    parts.into_iter().filter_map(|(key, _)| job(key)).collect::<Vec<_>>().into_iter()
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

#[cfg(test)]
mod tests {
    use queuectl_testing::given;

    use super::*;
    use crate::apart;
    use crate::script::How;
    use crate::snapshot::witness;
    use crate::vfs::{Session, install};

    /// A store with two jobs, both claimed.
    fn begin() -> (tempfile::TempDir, Play, History) {
        install();
        let (dir, place) = apart::stage().expect("a directory");
        let mut play = Play::new(&place, Session::begin(&place, None)).expect("a stage");
        let mut history = History::default();
        let claim = Step::Exchange { settle: vec![], release: 0, want: 2 };
        for step in [Step::Open, Step::Insert(vec![given::job("one"), given::job("two")]), claim] {
            history.step(&mut play, &step).expect("nothing fails");
        }
        history.compare().expect("nothing is wrong");
        (dir, play, history)
    }

    fn behind_its_back(play: &Play, sql: &str) {
        witness(&play.database).expect("it is there").execute_batch(sql).expect("changed");
    }

    #[test]
    fn an_older_row_that_goes_with_an_acknowledged_step_is_missed() {
        let (_dir, mut play, mut history) = begin();
        behind_its_back(&play, "DELETE FROM job WHERE id = 'one'");
        let told = history.step(&mut play, &Step::Insert(vec![given::job("three")]));
        assert!(told.clone().is_err_and(|why| why.contains("job one")), "{told:?}");
    }

    #[test]
    fn a_row_that_a_step_may_change_but_would_not_have_is_found_in_the_end() {
        let (_dir, mut play, mut history) = begin();
        behind_its_back(&play, "UPDATE job SET runs = 5 WHERE id = 'one'");
        let nothing = Step::Exchange { settle: vec![], release: 0, want: 0 };
        history.step(&mut play, &nothing).expect("it is an exchange's own table");
        let told = history.compare();
        assert!(told.clone().is_err_and(|why| why.contains("job one")), "{told:?}");
    }

    #[test]
    fn half_an_exchange_is_not_what_a_failed_one_may_leave() {
        let settle = |count| Step::Exchange { settle: vec![How::Succeeds; count], release: 0, want: 0 };
        for count in [2, 1] {
            let (_dir, mut play, mut history) = begin();
            history.failed.push(Failed { step: settle(2), taken: history.taken.len() });
            play.perform(&settle(count)).answer.expect("nothing fails");
            let told = history.explain(&play.snapshot().expect("readable"));
            assert_eq!(told.is_ok(), count == 2, "{count} settled: {told:?}");
        }
    }
}
