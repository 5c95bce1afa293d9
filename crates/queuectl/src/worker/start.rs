//! From a claim to the order for the keeper: the argv, the environment, the directory.

use std::collections::BTreeMap;

use queuectl_core::claim::CLAIM_MARK;
use queuectl_core::command::Command;
use queuectl_core::environment::Environment;
use queuectl_core::job::Leftovers;
use queuectl_core::store::Claim;
use queuectl_exec::protocol;
use queuectl_exec::texts::Texts;

/// Variables of ours begin so; a worker's own never reach its jobs.
pub const OUR_PREFIX: &str = "QUEUECTL_";
/// By these a service manager speaks with the worker, and with nobody else.
const MANAGERS: [&[u8]; 3] = [b"NOTIFY_SOCKET", b"WATCHDOG_PID", b"WATCHDOG_USEC"];
/// What every job is told about itself. Its mark is the keeper's to set.
const JOB_ID: &str = "QUEUECTL_JOB_ID";
const ATTEMPT: &str = "QUEUECTL_ATTEMPT";
const QUEUE: &str = "QUEUECTL_QUEUE";
const SLOT: &str = "QUEUECTL_SLOT";
const DATABASE: &str = "QUEUECTL_DB";

/// What a worker lends its jobs.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The worker's environment, without what is not for its jobs.
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a job runs that names no directory.
    home: Vec<u8>,
    /// `QUEUECTL_DB` for jobs: the absolute path of an embedded store.
    database: Option<Vec<u8>>,
    /// What the last job's environment had in common with others that bring the same: most do.
    common: Option<(Environment, Texts)>,
}

impl Surroundings {
    pub fn new(
        environment: Vec<(Vec<u8>, Vec<u8>)>,
        home: Vec<u8>,
        database: Option<Vec<u8>>,
    ) -> Surroundings {
        let lent = |(name, _): &(Vec<u8>, Vec<u8>)| {
            !name.starts_with(OUR_PREFIX.as_bytes()) && !MANAGERS.contains(&name.as_slice())
        };
        let environment = environment.into_iter().filter(lent).collect();
        Surroundings { environment, home, database, common: None }
    }

    /// The order to run a claim in a slot.
    pub fn start_request(&mut self, claim: &Claim, slot: u32) -> protocol::Start {
        let spec = &claim.job.spec;
        let argv = match &spec.command {
            Some(Command::Argv(words)) => words.iter().map(Vec::as_slice).collect(),
            Some(Command::Shell(line)) => {
                spec.shell.iter().map(String::as_bytes).chain([line.as_bytes()]).collect()
            }
            None => Texts::default(),
        };
        protocol::Start {
            claim: claim.token.into(),
            argv,
            env: self.environment(claim, slot),
            dir: spec.dir.clone().unwrap_or_else(|| self.home.clone()),
            stdin: spec.stdin.clone(),
            timeout_ms: spec.timeout.map(|timeout| timeout.as_millis() as u64),
            kill_grace_ms: spec.kill_grace.as_millis() as u64,
            output_max: spec.output_max,
            leftovers: match spec.leftovers {
                Leftovers::Kill => protocol::Leftovers::Kill,
                Leftovers::Keep => protocol::Leftovers::Keep,
            },
        }
    }

    /// The worker's variables, then the job's, then ours, of which each wins over those before.
    fn environment(&mut self, claim: &Claim, slot: u32) -> Texts {
        let spec = &claim.job.spec;
        let mut all = self.common(&spec.environment).clone();
        let mut ours = |name: &str, value: &[u8]| all.push(&[name.as_bytes(), b"=", value]);
        ours(JOB_ID, claim.job.id.as_str().as_bytes());
        ours(ATTEMPT, claim.attempt.to_string().as_bytes());
        ours(QUEUE, spec.queue.as_str().as_bytes());
        ours(SLOT, slot.to_string().as_bytes());
        if let Some(database) = &self.database {
            ours(DATABASE, database);
        }
        all
    }

    /// All but ours, for every job that brings this environment.
    fn common(&mut self, brought: &Environment) -> &Texts {
        if self.common.as_ref().is_none_or(|(of, _)| of != brought) {
            let worker = self.environment.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
            let both: BTreeMap<&[u8], &[u8]> = worker.chain(brought.iter()).collect();
            let ours = [JOB_ID, ATTEMPT, QUEUE, SLOT, CLAIM_MARK].map(str::as_bytes);
            let set =
                |name: &[u8]| ours.contains(&name) || self.database.is_some() && name == DATABASE.as_bytes();
            let mut texts = Texts::default();
            for (name, value) in both.into_iter().filter(|(name, _)| !set(name)) {
                texts.push(&[name, b"=", value]);
            }
            self.common = Some((brought.clone(), texts));
        }
        &self.common.as_ref().expect("just set").1
    }
}

#[cfg(test)]
mod tests;
