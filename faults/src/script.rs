//! The script: what is done with a store, of every kind at least once, then as chance has it.

use queuectl_core::command::Command;
use queuectl_core::job::{Due, NewJob};
use queuectl_testing::given::{self, With};

use crate::dice::Dice;

pub const QUEUES: [&str; 2] = ["default", "mail"];

/// How one attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Succeeds,
    Fails,
    Crashes,
    Cancelled,
}

/// One verb of the store, or what happens around it. Jobs are named by id.
#[derive(Debug, Clone)]
pub enum Step {
    Open,
    /// The last connection leaves: SQLite moves the log into the database.
    Close,
    /// Time passes, in seconds.
    Wait(u64),
    Insert(Vec<NewJob>),
    /// Each in a call of its own, all at once: they may share a commit.
    InsertTogether(Vec<NewJob>),
    BeginBatch,
    Stage(Vec<NewJob>),
    OpenBatch,
    Promote(usize),
    DropBatch(usize),
    /// Settles as many of the claims that are held, gives others back, claims.
    Exchange {
        settle: Vec<How>,
        release: usize,
        want: usize,
    },
    Cancel(Vec<String>),
    Retry(Vec<String>),
    Prioritise(Vec<String>),
    Delete(Vec<String>),
    /// Deletes so many that have ended.
    Prune(usize),
    Set {
        queue: Option<&'static str>,
        key: &'static str,
        value: Option<String>,
    },
    Pause(bool),
    Register,
    Retire,
    /// By another connection, in a mode of SQLite's.
    Checkpoint(&'static str),
}

/// How much there is of it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Steps after those of every kind.
    pub more: usize,
    /// Most jobs in one call.
    pub bulk: usize,
    /// Longest command, in bytes.
    pub command: usize,
}

pub struct Writer<'a> {
    dice: &'a mut Dice,
    size: Size,
    steps: Vec<Step>,
    ids: Vec<String>,
    batch: Batch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    None,
    Loading,
}

/// Writes a script.
pub fn write(dice: &mut Dice, size: Size) -> Vec<Step> {
    let mut writer = Writer { dice, size, steps: Vec::new(), ids: Vec::new(), batch: Batch::None };
    writer.every_kind();
    for _ in 0..size.more {
        writer.any();
    }
    writer.push(Step::Close);
    writer.steps
}

impl Writer<'_> {
    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn every_kind(&mut self) {
        self.push(Step::Open);
        let one = self.jobs(1);
        self.push(Step::Insert(one));
        self.push(Step::Register);
        self.set();
        let many = self.jobs(self.size.bulk);
        self.push(Step::Insert(many));
        let together = self.jobs(6);
        self.push(Step::InsertTogether(together));
        self.push(Step::Exchange { settle: vec![], release: 0, want: 8 });
        self.push(Step::Checkpoint("PASSIVE"));
        let settle = vec![How::Succeeds, How::Fails, How::Crashes, How::Cancelled];
        self.push(Step::Exchange { settle, release: 1, want: 3 });
        self.batch();
        self.batch();
        self.batch();
        self.push(Step::OpenBatch);
        self.push(Step::Promote(2));
        self.batch = Batch::None;
        self.push(Step::Promote(1000));
        self.push(Step::Checkpoint("RESTART"));
        let ids = self.some(3);
        self.push(Step::Cancel(ids));
        self.push(Step::Exchange { settle: vec![How::Fails; 4], release: 0, want: 4 });
        let ids = self.some(3);
        self.push(Step::Prioritise(ids));
        self.push(Step::Close);
        self.push(Step::Open);
        self.push(Step::Wait(120));
        self.push(Step::Pause(true));
        self.push(Step::Exchange { settle: vec![How::Fails; 8], release: 0, want: 6 });
        self.push(Step::Pause(false));
        let ids = self.some(4);
        self.push(Step::Retry(ids));
        let ids = self.some(4);
        self.push(Step::Delete(ids));
        self.push(Step::Checkpoint("TRUNCATE"));
        self.batch();
        self.batch();
        self.push(Step::DropBatch(1));
        self.push(Step::DropBatch(1000));
        self.batch = Batch::None;
        self.push(Step::Exchange { settle: vec![How::Succeeds; 8], release: 0, want: 2 });
        self.push(Step::Prune(3));
        self.push(Step::Retire);
    }

    fn any(&mut self) {
        match self.dice.below(20) {
            0..4 => {
                let count = 1 + self.dice.below(3);
                let jobs = self.jobs(count);
                self.push(Step::Insert(jobs));
            }
            4 => {
                let count = 1 + self.dice.below(self.size.bulk);
                let jobs = self.jobs(count);
                self.push(Step::Insert(jobs));
            }
            5 => {
                let jobs = self.jobs(4);
                self.push(Step::InsertTogether(jobs));
            }
            6 | 7 => self.batch(),
            8..13 => self.exchange(),
            13 => {
                let ids = self.some(2);
                self.push(Step::Cancel(ids));
            }
            14 => {
                let ids = self.some(2);
                let retries = self.dice.percent(50);
                self.push(if retries { Step::Retry(ids) } else { Step::Prioritise(ids) });
            }
            15 => {
                let ids = self.some(2);
                let named = self.dice.percent(60);
                self.push(if named { Step::Delete(ids) } else { Step::Prune(2) });
            }
            16 => self.set(),
            17 => {
                let mode = *self.dice.pick(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
                self.push(Step::Checkpoint(mode));
            }
            18 => {
                self.push(Step::Close);
                self.push(Step::Open);
            }
            _ => {
                let seconds = 1 + self.dice.below(90) as u64;
                self.push(Step::Wait(seconds));
            }
        }
    }

    fn exchange(&mut self) {
        let ends = [How::Succeeds, How::Fails, How::Fails, How::Crashes, How::Cancelled];
        let count = self.dice.below(5);
        let settle = (0..count).map(|_| *self.dice.pick(&ends)).collect();
        let (release, want) = (self.dice.below(2), self.dice.below(5));
        self.push(Step::Exchange { settle, release, want });
    }

    fn batch(&mut self) {
        match self.batch {
            Batch::None => {
                self.push(Step::BeginBatch);
                self.batch = Batch::Loading;
            }
            Batch::Loading if self.dice.percent(70) || self.steps.len() < 20 => {
                let count = 1 + self.dice.below(self.size.bulk);
                let jobs = self.jobs(count);
                self.push(Step::Stage(jobs));
            }
            Batch::Loading => {
                if self.dice.percent(60) {
                    self.push(Step::OpenBatch);
                    self.push(Step::Promote(1 + self.size.bulk / 2));
                } else {
                    self.push(Step::DropBatch(1000));
                }
                self.batch = Batch::None;
            }
        }
    }

    fn set(&mut self) {
        let queue = *self.dice.pick(&[None, Some("mail")]);
        let (key, value) =
            *self.dice.pick(&[("max-running", "3"), ("max-running", "5"), ("max-retries", "4")]);
        let value = self.dice.percent(70).then(|| value.to_owned());
        self.push(Step::Set { queue, key, value });
    }

    fn some(&mut self, count: usize) -> Vec<String> {
        let mut ids: Vec<String> = (0..count).map(|_| self.dice.pick(&self.ids).clone()).collect();
        ids.dedup();
        ids
    }

    fn jobs(&mut self, count: usize) -> Vec<NewJob> {
        (0..count).map(|_| self.job()).collect()
    }

    fn job(&mut self) -> NewJob {
        let name = format!("j{}", self.ids.len());
        self.ids.push(name.clone());
        let length = self.dice.below(self.size.command) + 1;
        let line = format!("echo {name} {}", self.dice.letters(length));
        let retries = 1 + self.dice.below(3) as u32;
        let priority = self.dice.below(5) as i32;
        let queue = *self.dice.pick(&QUEUES);
        let variable = self.dice.percent(30).then(|| format!("value-{}", self.dice.below(3)));
        let job = given::job(&name).in_queue(queue).priority(priority).max_retries(retries).with(|spec| {
            spec.command = Some(Command::shell(line).expect("a command"));
            if let Some(value) = variable {
                spec.environment.set(b"NAME".to_vec(), value.into_bytes()).expect("a variable");
            }
        });
        if self.dice.percent(15) { job.due(Due::After(given::secs(30))) } else { job }
    }
}
