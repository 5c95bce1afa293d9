//! A scripted day of the real binary, in which the command, the worker or the keeper is killed at a point of its code, and
//! started again until the script is done; and what must hold of every job meanwhile and in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::house::{Attempt, House, Job, Ledger, note, until};
use crate::snapshot::faults_in;

/// What a day acknowledges: jobs, and commands that change something else.
pub const ACKNOWLEDGED: u64 = SINGLES + 2 * BULK + LATER + ORDERS;
const SINGLES: u64 = 7;
const BULK: u64 = 14;
const LATER: u64 = 3;
/// Settings, cancels, a deletion, retries, a prune, a stop.
const ORDERS: u64 = 4 + 2 + 1 + 2 + 1 + 1;
/// Between two looks at the store, which takes a while itself.
const LOOK: Duration = Duration::from_millis(25);
/// Far more than anybody is killed in a day.
const TRIES_MAX: usize = 10;
const SLOTS: &str = "4";
const SIGKILL: i32 = 9;

/// Who dies, and at which of its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// As the fail points know it: `cli`, `worker`, `keeper`, `worker+keeper`, `keeper+worker`; `any` with the point 0 kills
    /// nobody, and tells of all points.
    pub role: &'static str,
    pub at: u64,
}

/// What is to happen in a day.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// To the command of this number, from 0.
    pub command: Option<(usize, Blow)>,
    /// To the first worker or its keeper, to the worker that is started in its place, and so on.
    pub workers: VecDeque<Blow>,
}

pub struct Day {
    pub house: House,
    fate: Fate,
    /// Commands given.
    pub commands: usize,
    /// Where those who were asked to die write down at which point they did.
    files: Vec<String>,
    /// Acknowledged, with their commands, and not deleted since.
    owed: BTreeMap<String, String>,
    /// As they were when they were first seen ended.
    ended: BTreeMap<String, (Job, Vec<Attempt>)>,
    /// Brought back by a person.
    revived: BTreeSet<String>,
    pub acknowledged: u64,
}

impl Day {
    pub fn new(program: &Path, fate: Fate) -> Result<Day, String> {
        Ok(Day {
            house: House::new(program)?,
            fate,
            commands: 0,
            files: Vec::new(),
            owed: BTreeMap::new(),
            ended: BTreeMap::new(),
            revived: BTreeSet::new(),
            acknowledged: 0,
        })
    }

    /// Plays it all, and looks it through.
    pub fn live(&mut self, dice: &mut Dice) -> Result<(), String> {
        for (key, value) in
            [("crash-limit", "1000"), ("backoff-base", "1"), ("backoff-max", "20ms"), ("kill-grace", "1s")]
        {
            self.order(&["config", "set", key, value], |_| Ok(false))?;
        }
        self.start_worker()?;
        self.enqueue_singly(dice)?;
        self.enqueue_bulk("a", dice)?;
        self.change_minds(dice)?;
        self.all_end()?;
        self.bring_back()?;
        self.all_end()?;
        self.house.ledger()?.check(|id| 1 + u32::from(self.revived.contains(id)))?;
        self.prune()?;
        self.enqueue_bulk("b", dice)?;
        self.order(&["worker", "stop"], |_| Ok(false))?;
        until("the workers end", || self.look_after(false).map(|workers| workers == 0))?;
        self.house.start_worker(&["--count", SLOTS, "--drain"], None)?;
        self.house.workers_end_well()?;
        self.judge()
    }

    /// Where somebody died.
    pub fn deaths(&self) -> Vec<String> {
        self.files.iter().map(|file| self.house.read(file)).filter(|text| !text.is_empty()).collect()
    }

    /// What those told who were asked to tell of all their points.
    pub fn told(&self) -> String {
        self.deaths().join("\n")
    }

    fn enqueue_singly(&mut self, dice: &mut Dice) -> Result<(), String> {
        for number in 0..SINGLES - 2 {
            let between = ["sleep 0.03", ":", FAILS_FIRST, FAILS_ALWAYS, ":"][number as usize % 5];
            self.enqueue(&[&job(&format!("s{number}"), between, 0, dice)])?;
        }
        for number in 0..2 {
            self.enqueue(&[&job(&format!("mend{number}"), FAILS_UNTIL_MENDED, 0, dice)])?;
        }
        Ok(())
    }

    fn enqueue_bulk(&mut self, name: &str, dice: &mut Dice) -> Result<(), String> {
        let some = (0..BULK).map(|number| {
            let between = [":", "sleep 0.02", FAILS_FIRST, ":", FAILS_ALWAYS][dice.below(5)];
            job(&format!("{name}{number}"), between, 0, dice)
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
        let left = self.house.ledger()?;
        if let Some(id) = pruned.iter().find(|id| left.jobs.contains_key(*id)) {
            return Err(format!("{id} was pruned, and is there"));
        }
        self.owed.retain(|id, _| !pruned.contains(id));
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
        if let [one] = jobs {
            self.command(&["enqueue", &one.to_string()], None, there)?;
        } else {
            self.command(&["enqueue", "-", "--quiet"], Some(&lines), there)?;
        }
        for job in jobs {
            let text = |field: &str| job[field].as_str().unwrap_or_default().to_owned();
            self.owed.insert(text("id"), text("command"));
        }
        self.acknowledged += jobs.len() as u64;
        Ok(())
    }

    fn order(&mut self, words: &[&str], done: impl Fn(&Day) -> Result<bool, String>) -> Result<(), String> {
        self.command(words, None, done)?;
        self.acknowledged += 1;
        Ok(())
    }

    /// Gives a command until it is acknowledged, or is found to have been done by one that was killed.
    fn command(
        &mut self,
        words: &[&str],
        input: Option<&str>,
        done: impl Fn(&Day) -> Result<bool, String>,
    ) -> Result<(), String> {
        let number = self.commands;
        self.commands += 1;
        let mut blow = self.fate.command.take_if(|(which, _)| *which == number).map(|(_, blow)| blow);
        let counting = self.fate.workers.front().filter(|blow| blow.at == 0).cloned();
        let mut killed = false;
        for _ in 0..TRIES_MAX {
            let mut command = self.house.command(words);
            if let Some(blow) = blow.take().or_else(|| counting.clone()) {
                command.env("QUEUECTL_POINT_KILL", self.asked(&blow, &format!("command-{number}")));
            }
            let ran = self.house.finish(command, input)?;
            let dies = ran.status.signal() == Some(SIGKILL);
            if ran.status.success() || ((killed || dies) && done(self)?) {
                return Ok(());
            }
            if !dies {
                return Err(format!("{words:?}: {}: {}", ran.status, ran.stderr.trim()));
            }
            killed = true;
        }
        Err(format!("{words:?} was killed again and again"))
    }

    fn asked(&mut self, blow: &Blow, file: &str) -> String {
        self.files.push(file.to_owned());
        format!("{}:{}:{}", blow.role, blow.at, self.house.path(file).display())
    }

    fn start_worker(&mut self) -> Result<(), String> {
        let counting = self.fate.workers.front().filter(|blow| blow.at == 0).cloned();
        let blow = counting.or_else(|| self.fate.workers.pop_front());
        let file = format!("worker-{}", self.files.len());
        let asked = blow.map(|blow| self.asked(&blow, &file));
        self.house.start_worker(&["--count", SLOTS], asked.as_deref()).map(drop)
    }

    /// Sees how workers have ended, which nobody does by himself; starts another one, if there is to be one. Returns how
    /// many there are.
    fn look_after(&mut self, again: bool) -> Result<usize, String> {
        for (_, status) in self.house.ended() {
            match status.signal() {
                Some(SIGKILL) if again => self.start_worker()?,
                Some(SIGKILL) => {}
                _ if again || !status.success() => return Err(format!("a worker ended with {status}")),
                _ => {}
            }
        }
        Ok(self.house.worker_pids().len())
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
        match ledger.jobs.keys().find(|id| !self.owed.contains_key(*id)) {
            None => Ok(ledger),
            Some(id) => Err(format!("{id} was deleted, and is there")),
        }
    }

    /// The total-queue check, at the end of the day.
    fn judge(&mut self) -> Result<(), String> {
        let ledger = self.observe()?;
        ledger.check(|id| 1 + u32::from(self.revived.contains(id)))?;
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
