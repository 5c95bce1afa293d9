//! A keeper without processes: it speaks the protocol on simulated time, by a script. Pure, for the step machine's tests.
//!
//! Give it requests with [`FakeKeeper::send`], move time to [`FakeKeeper::next_at`], take events with
//! [`FakeKeeper::events`]. It is strict: a claim that is started twice panics. Output is what the script says, printed at
//! the attempt's end; a follower gets it then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use queuectl_exec::protocol::{
    Body, Captured, ClaimKey, End, Event, ExitRecord, Interruption, PROTOCOL_VERSION, Request, Start,
    StopReason, Stream, Usage,
};

/// What an attempt will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How long it runs, if nobody ends it before.
    pub run_ms: u64,
    pub end: End,
    pub stdout: Vec<u8>,
    /// It ignores TERM and dies of the KILL after the grace.
    pub stubborn: bool,
}

impl Plan {
    /// Runs this long and exits with this code.
    pub fn exits(run_ms: u64, code: i32) -> Plan {
        Plan { run_ms, end: End::Exited { code }, stdout: Vec::new(), stubborn: false }
    }

    /// Does not start; `ours` as in [`End::CouldNotStart`].
    pub fn cannot_start(message: &str, ours: bool) -> Plan {
        Plan { end: End::CouldNotStart { message: message.to_owned(), ours }, ..Plan::exits(0, 0) }
    }
}

/// Plans each attempt when it starts.
pub type Script = Box<dyn FnMut(&Start) -> Plan + Send>;

/// The stand-in. Times are milliseconds of its worker's simulated clock.
pub struct FakeKeeper {
    name: String,
    script: Script,
    seen: BTreeSet<ClaimKey>,
    running: BTreeMap<ClaimKey, Run>,
    /// Exit records that no [`Request::Settled`] has named yet: what a spool would hold.
    spool: BTreeMap<ClaimKey, ExitRecord>,
    following: BTreeSet<ClaimKey>,
    events: VecDeque<Event>,
    left: bool,
}

/// An attempt that runs.
#[derive(Debug)]
struct Run {
    started_ms: u64,
    ends_ms: u64,
    end: End,
    stdout: Vec<u8>,
    stubborn: bool,
}

impl FakeKeeper {
    pub fn new(name: &str, script: impl FnMut(&Start) -> Plan + Send + 'static) -> FakeKeeper {
        FakeKeeper {
            name: name.to_owned(),
            script: Box::new(script),
            seen: BTreeSet::new(),
            running: BTreeMap::new(),
            spool: BTreeMap::new(),
            following: BTreeSet::new(),
            events: VecDeque::new(),
            left: false,
        }
    }

    /// Takes a request at this time.
    pub fn send(&mut self, now_ms: u64, request: Request) {
        self.run_until(now_ms);
        match request {
            Request::Hello { .. } => self.events.push_back(Event::Hello {
                version: PROTOCOL_VERSION,
                keeper: self.name.clone(),
                pid: 1000,
            }),
            Request::Start(start) => self.start(now_ms, &start),
            Request::Stop { claim, reason, grace_ms } => self.stop(now_ms, claim, reason, grace_ms),
            Request::Settled { claims } => {
                for claim in claims {
                    assert!(!self.running.contains_key(&claim), "{claim} was settled while it runs");
                    self.spool.remove(&claim);
                }
            }
            Request::Follow { claim, stdout_from, .. } => self.follow(claim, stdout_from),
            Request::Leave | Request::HandOver => self.left = true,
            Request::Adopt { .. } => self.be_adopted(),
        }
    }

    /// Tells a new worker all that nobody has settled.
    fn be_adopted(&mut self) {
        self.left = false;
        self.events = self.spool.values().map(|record| Event::Exited(Box::new(record.clone()))).collect();
        let running = self.running.keys().copied().collect();
        self.events.push_back(Event::Adopted { running, lost: Vec::new() });
    }

    /// What it has to say by this time, in order.
    pub fn events(&mut self, now_ms: u64) -> Vec<Event> {
        self.run_until(now_ms);
        self.events.drain(..).collect()
    }

    /// When the next attempt ends.
    pub fn next_at(&self) -> Option<u64> {
        self.running.values().map(|run| run.ends_ms).min()
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Exit records that are not settled yet.
    pub fn unsettled(&self) -> Vec<&ExitRecord> {
        self.spool.values().collect()
    }

    /// True once the worker has left and nothing runs: the process would be gone.
    pub fn has_exited(&self) -> bool {
        self.left && self.running.is_empty()
    }

    /// It dies with all its trees. Returns what a finder makes of its spool: how each unsettled attempt ended.
    pub fn die(mut self, now_ms: u64) -> Vec<ExitRecord> {
        self.run_until(now_ms);
        let broken = std::mem::take(&mut self.running);
        for (claim, run) in broken {
            let end = End::Interrupted { cause: Interruption::KeeperLost };
            self.spool.insert(claim, record(claim, end, Some(run.started_ms), now_ms, Vec::new()));
        }
        self.spool.into_values().collect()
    }

    fn start(&mut self, now_ms: u64, start: &Start) {
        let claim = start.claim;
        assert!(!self.left, "{claim} was started after the worker left");
        assert!(self.seen.insert(claim), "{claim} was started twice");
        let plan = (self.script)(start);
        if matches!(plan.end, End::CouldNotStart { .. }) {
            self.finish(record(claim, plan.end, None, now_ms, Vec::new()));
            return;
        }
        let mut run = Run {
            started_ms: now_ms,
            ends_ms: now_ms + plan.run_ms,
            end: plan.end,
            stdout: plan.stdout,
            stubborn: plan.stubborn,
        };
        if let Some(timeout_ms) = start.timeout_ms.filter(|timeout_ms| *timeout_ms < plan.run_ms) {
            let grace_ms = if run.stubborn { start.kill_grace_ms } else { 0 };
            (run.end, run.ends_ms) = (End::TimedOut, now_ms + timeout_ms + grace_ms);
        }
        self.events.push_back(Event::Started { claim, pid: 2000 + self.seen.len() as u32, at_ms: now_ms });
        self.running.insert(claim, run);
    }

    fn stop(&mut self, now_ms: u64, claim: ClaimKey, reason: StopReason, grace_ms: u64) {
        let Some(run) = self.running.get_mut(&claim) else { return };
        let dies_ms = now_ms + if run.stubborn { grace_ms } else { 0 };
        if dies_ms < run.ends_ms {
            (run.ends_ms, run.end) = (dies_ms, End::Stopped { reason });
        }
        self.run_until(now_ms);
    }

    fn follow(&mut self, claim: ClaimKey, from: u64) {
        if self.running.contains_key(&claim) {
            self.following.insert(claim);
            return;
        }
        if let Some(record) = self.spool.get(&claim) {
            self.events.extend(chunk(record, from));
        }
        self.events.push_back(Event::Ended { claim });
    }

    /// Ends what ends by then, in the order of time.
    fn run_until(&mut self, now_ms: u64) {
        while let Some((ends_ms, claim)) = self.running.iter().map(|(claim, run)| (run.ends_ms, *claim)).min()
            && ends_ms <= now_ms
        {
            let run = self.running.remove(&claim).expect("it was just found");
            self.finish(record(claim, run.end, Some(run.started_ms), ends_ms, run.stdout));
        }
    }

    fn finish(&mut self, record: ExitRecord) {
        if self.following.remove(&record.claim) {
            self.events.extend(chunk(&record, 0));
            self.events.push_back(Event::Ended { claim: record.claim });
        }
        self.spool.insert(record.claim, record.clone());
        self.events.push_back(Event::Exited(Box::new(record)));
    }
}

fn record(claim: ClaimKey, end: End, started_ms: Option<u64>, ended_ms: u64, stdout: Vec<u8>) -> ExitRecord {
    let len = stdout.len() as u64;
    ExitRecord {
        claim,
        end,
        started_ms,
        ended_ms,
        usage: Usage::default(),
        stdout: Captured {
            bytes_total: len,
            head_len: len,
            body: Body::Inline(stdout),
            ..Captured::default()
        },
        stderr: Captured::default(),
        leftovers_killed: 0,
    }
}

/// What was printed from an offset on, if anything.
fn chunk(record: &ExitRecord, from: u64) -> Option<Event> {
    let Body::Inline(bytes) = &record.stdout.body else { return None };
    let rest = bytes.get(from as usize..).filter(|rest| !rest.is_empty())?;
    Some(Event::Chunk { claim: record.claim, stream: Stream::Stdout, from, bytes: rest.to_vec() })
}

#[cfg(test)]
mod tests;
