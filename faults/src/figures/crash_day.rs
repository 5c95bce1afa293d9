//! A scripted day of the real binary, in which the command, the worker or the keeper is killed at a point of its code, and
//! started again until the script is done; and what must hold of every job meanwhile and in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::crash_fate::{Blow, Fate};
use crate::dice::Dice;
use crate::house::{self, Attempt, Claim, House, Job, Ledger, note, note_long, transitions, until};
use crate::snapshot::faults_in;

/// What a day acknowledges: jobs, and commands that change something else.
pub const ACKNOWLEDGED: u64 = SINGLES + BULK + HANDFUL + LATER + ORDERS;
const SINGLES: u64 = 7;
/// More than the binary with fail points puts in by one transaction, and fewer.
const BULK: u64 = 20;
const HANDFUL: u64 = 8;
const LATER: u64 = 3;
/// Settings, cancels, a deletion, retries, a prune, a stop.
const ORDERS: u64 = SETTINGS.len() as u64 + 2 + 1 + 2 + 1 + 1;
const SETTINGS: [(&str, &str); 4] =
    [("crash-limit", "1000"), ("backoff-base", "1"), ("backoff-max", "20ms"), ("kill-grace", "1s")];
/// Between two looks at the store, which takes a while itself.
const LOOK: Duration = Duration::from_millis(25);
/// Far more than anybody is killed in a day.
const TRIES_MAX: usize = 10;
const SLOTS: usize = 4;
const SIGKILL: i32 = 9;

pub struct Day {
    pub house: House,
    fate: Fate,
    /// Commands given.
    pub commands: usize,
    /// Who was asked to die, and the file in which he writes down at which point he did.
    ordered: Vec<(String, Blow)>,
    /// The next worker is to leave once nothing is left to do.
    drains: bool,
    /// Acknowledged, or found to be done by a command that was killed, and not deleted since; with their commands.
    owed: BTreeMap<String, String>,
    /// As they were when they were first seen ended.
    ended: BTreeMap<String, (Job, Vec<Attempt>)>,
    /// Brought back by a person.
    revived: BTreeSet<String>,
    /// Deleted after they had succeeded, with the claims of their runs.
    pruned: BTreeSet<String>,
    forgotten: BTreeSet<Claim>,
    /// Runs that were broken off.
    interrupted: BTreeSet<(String, u32)>,
    /// Exit codes that were seen in a spool.
    spooled: BTreeMap<Claim, i32>,
    /// By commands that were not killed.
    pub acknowledged: u64,
}

impl Day {
    pub fn new(program: &Path, fate: Fate) -> Result<Day, String> {
        Ok(Day {
            house: House::new(program)?,
            fate,
            commands: 0,
            ordered: Vec::new(),
            drains: false,
            owed: BTreeMap::new(),
            ended: BTreeMap::new(),
            revived: BTreeSet::new(),
            pruned: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            interrupted: BTreeSet::new(),
            spooled: BTreeMap::new(),
            acknowledged: 0,
        })
    }

    /// Plays it all, and looks it through.
    pub fn live(&mut self, dice: &mut Dice) -> Result<(), String> {
        for (number, (key, value)) in SETTINGS.into_iter().enumerate() {
            self.order(&["config", "set", key, value], |_| Ok(false))?;
            if number == 0 {
                transitions::watch(&self.house.database)?;
            }
        }
        self.start_worker()?;
        self.enqueue_singly(dice)?;
        self.enqueue_bulk("a", BULK, "sleep 0.02", dice)?;
        self.change_minds(dice)?;
        self.all_end()?;
        self.bring_back()?;
        self.all_end()?;
        self.check(&self.house.ledger()?)?;
        self.prune()?;
        self.enqueue_bulk("b", HANDFUL, "sleep 0.3", dice)?;
        self.order(&["worker", "stop", "--handover"], |_| Ok(false))?;
        until("the workers hand over", || self.look_after(false).map(|workers| workers == 0))?;
        self.leave_to_heirs()?;
        self.judge()
    }

    /// Where somebody died, by whose blow.
    pub fn deaths(&self) -> Vec<(&Blow, String)> {
        let told = self.ordered.iter().filter(|(_, blow)| !blow.is_none());
        told.map(|(file, blow)| (blow, self.house.read(file)))
            .filter(|(_, point)| !point.is_empty())
            .collect()
    }

    /// How many were asked to die.
    pub fn blows(&self) -> usize {
        self.ordered.iter().filter(|(_, blow)| !blow.is_none()).count()
    }

    /// What workers and their keepers told who were asked to tell of all their points, one after the other.
    pub fn told_by_workers(&self) -> Vec<String> {
        let told = self.ordered.iter().filter(|(file, blow)| blow.is_none() && file.starts_with("worker"));
        told.map(|(file, _)| self.house.read(file)).collect()
    }

    fn enqueue_singly(&mut self, dice: &mut Dice) -> Result<(), String> {
        for number in 0..SINGLES - 2 {
            let between = ["sleep 0.03", ":", FAILS_FIRST, FAILS_ALWAYS][number as usize % 4];
            self.enqueue(&[&job(&format!("s{number}"), between, 0, dice)])?;
        }
        for number in 0..2 {
            self.enqueue(&[&job(&format!("mend{number}"), FAILS_UNTIL_MENDED, 0, dice)])?;
        }
        Ok(())
    }

    /// Every fourth prints so much that it goes to a file.
    fn enqueue_bulk(&mut self, name: &str, count: u64, nap: &str, dice: &mut Dice) -> Result<(), String> {
        let some = (0..count).map(|number| {
            let id = format!("{name}{number}");
            let between = [":", nap, FAILS_FIRST, nap, FAILS_ALWAYS][dice.below(5)];
            if number % 4 == 0 { long_job(&id, dice) } else { job(&id, between, 0, dice) }
        });
        let some: Vec<serde_json::Value> = some.collect();
        self.enqueue(&some.iter().collect::<Vec<_>>())
    }

    /// One job waits for its time and is cancelled, another is deleted, one is cancelled while it runs.
    fn change_minds(&mut self, dice: &mut Dice) -> Result<(), String> {
        for id in ["later", "never"] {
            self.enqueue(&[&job(id, ":", 3600, dice)])?;
        }
        self.enqueue(&[&job("long", "until [ -e go ]; do sleep 0.02; done", 0, dice)])?;
        self.order(&["cancel", "later"], |day| day.is("later", "cancelled"))?;
        self.order(&["delete", "never"], |day| Ok(!day.house.ledger()?.jobs.contains_key("never")))?;
        self.owed.remove("never");
        until("the long one runs", || {
            self.look_after(true)?;
            thread::sleep(LOOK);
            Ok(self.house.read("notes").contains("begin long "))
        })?;
        self.order(&["cancel", "long"], |day| day.is("long", "cancelled"))
    }

    /// What kept two of them from success is mended.
    fn bring_back(&mut self) -> Result<(), String> {
        fs::write(self.house.path("mended"), "").map_err(|e| e.to_string())?;
        for (id, words) in [("mend0", ["dlq", "retry"].as_slice()), ("mend1", ["retry"].as_slice())] {
            self.ended.remove(id);
            self.revived.insert(id.to_owned());
            self.order(&[words, &[id]].concat(), |day| day.is(id, "dead").map(|dead| !dead))?;
        }
        Ok(())
    }

    /// Deletes the first bulk, as far as it succeeded.
    fn prune(&mut self) -> Result<(), String> {
        let ledger = self.house.ledger()?;
        let succeeded = |id: &&String| ledger.jobs.get(*id).is_some_and(|job| job.state == "completed");
        let pruned: BTreeSet<String> = self.owed.keys().filter(succeeded).cloned().collect();
        let words = ["prune", "--older-than", "0s", "--state", "completed"];
        self.order(&words, |_| Ok(false))?;
        for id in &pruned {
            self.forgotten.extend(ledger.runs_of(id).map(|(_, run)| run.claim));
        }
        let left = self.house.ledger()?;
        if let Some(id) = pruned.iter().find(|id| left.jobs.contains_key(*id)) {
            return Err(format!("{id} was pruned, and is there"));
        }
        self.owed.retain(|id, _| !pruned.contains(id));
        self.pruned = pruned;
        Ok(())
    }

    /// Enqueues these all at once, and owes them.
    fn enqueue(&mut self, jobs: &[&serde_json::Value]) -> Result<(), String> {
        let lines: String = jobs.iter().map(|job| format!("{job}\n")).collect();
        let ids: Vec<&str> = jobs.iter().filter_map(|job| job["id"].as_str()).collect();
        let there = |day: &Day| {
            let ledger = day.house.ledger()?;
            match ids.iter().filter(|id| ledger.jobs.contains_key(**id)).count() {
                0 => Ok(false),
                all if all == ids.len() => Ok(true),
                some => Err(format!("{some} of {} enqueued together are there", ids.len())),
            }
        };
        let acknowledged = if let [one] = jobs {
            self.command(&["enqueue", &one.to_string()], None, there)?
        } else {
            self.command(&["enqueue", "-", "--quiet"], Some(&lines), there)?
        };
        for job in jobs {
            let text = |field: &str| job[field].as_str().unwrap_or_default().to_owned();
            self.owed.insert(text("id"), text("command"));
        }
        self.acknowledged += if acknowledged { jobs.len() as u64 } else { 0 };
        Ok(())
    }

    fn order(&mut self, words: &[&str], done: impl Fn(&Day) -> Result<bool, String>) -> Result<(), String> {
        self.acknowledged += u64::from(self.command(words, None, done)?);
        Ok(())
    }

    /// Gives a command until it is acknowledged, or is found to have been done by one that was killed. True if it is
    /// acknowledged.
    fn command(
        &mut self,
        words: &[&str],
        input: Option<&str>,
        done: impl Fn(&Day) -> Result<bool, String>,
    ) -> Result<bool, String> {
        let number = self.commands;
        self.commands += 1;
        let mut blow = self.fate.command.take_if(|(which, _)| *which == number).map(|(_, blow)| blow);
        let telling = self.fate.tells().then(Blow::none);
        let mut killed = false;
        for _ in 0..TRIES_MAX {
            let mut command = self.house.command(words);
            if let Some(blow) = blow.take().or_else(|| telling.clone()) {
                command.env("QUEUECTL_POINT_KILL", self.asked(blow, &format!("command-{number}")));
            }
            let ran = self.house.finish(command, input)?;
            let dies = ran.status.signal() == Some(SIGKILL);
            if ran.status.success() {
                return Ok(true);
            }
            if (killed || dies) && done(self)? {
                return Ok(false);
            }
            if !dies {
                return Err(format!("{words:?}: {}: {}", ran.status, ran.stderr.trim()));
            }
            killed = true;
        }
        Err(format!("{words:?} was killed again and again"))
    }

    fn asked(&mut self, blow: Blow, file: &str) -> String {
        let asked = blow.asked(&self.house.path(file));
        self.ordered.push((file.to_owned(), blow));
        asked
    }

    fn start_worker(&mut self) -> Result<(), String> {
        // What stands in a spool while nobody reads it.
        self.spooled.extend(house::exits(&self.house.run_dir()));
        let blow = if self.drains { self.fate.heir.take() } else { self.fate.workers.pop_front() };
        let file = format!("worker-{}", self.ordered.len());
        let asked = blow.map(|blow| self.asked(blow, &file));
        let slots = SLOTS.to_string();
        let words = ["--count", &slots, "--drain"];
        self.house.start_worker(if self.drains { &words } else { &words[..2] }, asked.as_deref()).map(drop)
    }

    /// Sees how workers have ended; starts another one for each that was killed, if there is to be one. By himself only one
    /// ends that drains. Returns how many there are.
    fn look_after(&mut self, again: bool) -> Result<usize, String> {
        for (_, status) in self.house.ended() {
            match status.signal() {
                Some(SIGKILL) if again => self.start_worker()?,
                Some(SIGKILL) => {}
                _ if again && !self.drains || !status.success() => {
                    return Err(format!("a worker ended with {status}"));
                }
                _ => {}
            }
        }
        Ok(self.house.worker_pids().len())
    }

    /// A worker does what is left, and another one takes over from whoever died at leaving.
    fn leave_to_heirs(&mut self) -> Result<(), String> {
        self.drains = true;
        for _ in 0..2 {
            self.start_worker()?;
            until("the workers end", || {
                self.observe()?;
                self.look_after(true).map(|workers| workers == 0)
            })?;
        }
        Ok(())
    }

    fn is(&self, id: &str, state: &str) -> Result<bool, String> {
        Ok(self.house.ledger()?.jobs.get(id).is_some_and(|job| job.state == state))
    }

    fn all_end(&mut self) -> Result<(), String> {
        until("all end", || {
            self.look_after(true)?;
            thread::sleep(LOOK);
            let ledger = self.observe()?;
            Ok(ledger.jobs.values().all(has_ended))
        })
    }

    /// What is owed is there, with its command; what has ended is as it was.
    fn observe(&mut self) -> Result<Ledger, String> {
        let ledger = self.house.ledger()?;
        for (id, command) in &self.owed {
            let Some(job) = ledger.jobs.get(id) else { return Err(format!("{id} is lost")) };
            if job.command != *command {
                return Err(format!("{id} has another command: {}", job.command));
            }
            let now = (job.clone(), ledger.runs_of(id).map(|(_, run)| run.clone()).collect::<Vec<_>>());
            match self.ended.get(id) {
                Some(before) if *before != now => {
                    return Err(format!("{id} had ended and did change: {before:?}, {now:?}"));
                }
                None if has_ended(job) => drop(self.ended.insert(id.clone(), now)),
                _ => {}
            }
        }
        self.spooled.extend(house::exits(&self.house.run_dir()));
        let interrupted = ledger.attempts.iter().filter(|(_, run)| run.outcome == "interrupted");
        self.interrupted.extend(interrupted.map(|(run, _)| run.clone()));
        if let Some(id) = ledger.jobs.keys().find(|id| !self.owed.contains_key(*id)) {
            return Err(format!("{id} was deleted, and is there"));
        }
        let mut ran = ledger.noted.keys().map(|(id, _)| id);
        match ran.find(|id| !self.owed.contains_key(*id) && !self.pruned.contains(*id)) {
            None => Ok(ledger),
            Some(id) => Err(format!("{id} was deleted, and ran")),
        }
    }

    /// The total-queue check, and what only a day knows of its runs.
    fn check(&self, ledger: &Ledger) -> Result<(), String> {
        ledger.check(|id| 1 + u32::from(self.revived.contains(id)))?;
        let by_claim: BTreeMap<Claim, (&(String, u32), &Attempt)> =
            ledger.attempts.iter().map(|(run, attempt)| (attempt.claim, (run, attempt))).collect();
        for (claim, code) in self.spooled.iter().filter(|(claim, _)| !self.forgotten.contains(*claim)) {
            match by_claim.get(claim) {
                Some((_, run)) if run.outcome == "exited" && run.exit == Some(*code) => {}
                found => {
                    return Err(format!("a keeper wrote down that {claim:?} exited with {code}: {found:?}"));
                }
            }
        }
        self.check_interruptions(ledger)
    }

    /// A run is broken off by nothing but the death of its keeper, which has no more of them than slots. What was claimed
    /// and never reached a keeper counts as interrupted as well, but nothing was broken off.
    fn check_interruptions(&self, ledger: &Ledger) -> Result<(), String> {
        let keepers = self.deaths().iter().filter(|(blow, _)| blow.kills_keeper()).count();
        let had_begun = |run: &&(String, u32)| ledger.noted.get(*run).is_some_and(|noted| noted.begins > 0);
        let broken_off: Vec<&(String, u32)> = self.interrupted.iter().filter(had_begun).collect();
        if broken_off.len() > SLOTS * keepers {
            return Err(format!("{keepers} keepers died, and these were broken off: {broken_off:?}"));
        }
        Ok(())
    }

    /// At the end of the day.
    fn judge(&mut self) -> Result<(), String> {
        let ledger = self.observe()?;
        self.check(&ledger)?;
        transitions::check(&self.house.database, |id| u32::from(self.revived.contains(id)))?;
        for (key, value) in SETTINGS {
            let set = self.house.json(&["config", "get", key, "--json"])?;
            if set["value"] != value {
                return Err(format!("{key} was set to {value}: {set}"));
            }
        }
        for (id, job) in &ledger.jobs {
            let due = match id.as_str() {
                "later" | "long" => "cancelled",
                _ if job.command.contains(FAILS_ALWAYS) => "dead",
                _ => "completed",
            };
            if job.state != due {
                return Err(format!("{id} should be {due}: {job:?}"));
            }
        }
        let left = self.left_behind()?;
        if !left.is_empty() {
            return Err(format!("left in the run directory: {}", left.join(", ")));
        }
        let found = faults_in(&self.house.database).map_err(|e| e.to_string())?;
        if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
    }

    /// What nobody has taken over of those who died.
    fn left_behind(&self) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(self.house.run_dir()).map_err(|e| e.to_string())?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let of_somebody = |name: &String| {
            ["worker-", "keeper-", "loader-"].iter().any(|beginning| name.starts_with(beginning))
        };
        Ok(names.filter(of_somebody).collect())
    }
}

const FAILS_FIRST: &str = "[ $QUEUECTL_ATTEMPT -gt 1 ] || c=3";
const FAILS_ALWAYS: &str = "c=4";
const FAILS_UNTIL_MENDED: &str = "[ -e mended ] || c=5";

fn has_ended(job: &Job) -> bool {
    ["completed", "dead", "cancelled"].contains(&job.state.as_str())
}

fn job(id: &str, between: &str, delay: u32, dice: &mut Dice) -> serde_json::Value {
    let command = note(between, &dice.letters(12));
    serde_json::json!({"id": id, "command": command, "max_retries": 2, "delay": delay})
}

fn long_job(id: &str, dice: &mut Dice) -> serde_json::Value {
    serde_json::json!({"id": id, "command": note_long(&dice.letters(12)), "max_retries": 2})
}
