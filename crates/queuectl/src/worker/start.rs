//! From a claim to the order for the keeper: the argv, the environment, the directory.

use std::collections::BTreeMap;

use queuectl_core::command::Command;
use queuectl_core::job::Leftovers;
use queuectl_core::store::Claim;
use queuectl_exec::protocol;

/// Variables of ours begin so; a worker's own never reach its jobs.
pub const OUR_PREFIX: &str = "QUEUECTL_";
/// By these a service manager speaks with the worker, and with nobody else.
const MANAGERS: [&[u8]; 3] = [b"NOTIFY_SOCKET", b"WATCHDOG_PID", b"WATCHDOG_USEC"];

/// What a worker lends its jobs.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The worker's environment.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a job runs that names no directory.
    pub home: Vec<u8>,
    /// `QUEUECTL_DB` for jobs: the absolute path of an embedded store.
    pub database: Option<Vec<u8>>,
}

/// The order to run a claim in a slot.
pub fn start_request(claim: &Claim, slot: u32, surroundings: &Surroundings) -> protocol::Start {
    let spec = &claim.job.spec;
    let argv = match &spec.command {
        Some(Command::Argv(words)) => words.clone(),
        Some(Command::Shell(line)) => {
            let shell = spec.shell.iter().map(|word| word.clone().into_bytes());
            shell.chain([line.clone().into_bytes()]).collect()
        }
        None => Vec::new(),
    };
    protocol::Start {
        claim: claim.token.into(),
        argv,
        env: environment(claim, slot, surroundings),
        dir: spec.dir.clone().unwrap_or_else(|| surroundings.home.clone()),
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

/// The worker's variables without ours, then the job's, then ours.
fn environment(claim: &Claim, slot: u32, surroundings: &Surroundings) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut variables: BTreeMap<Vec<u8>, Vec<u8>> = surroundings
        .environment
        .iter()
        .filter(|(name, _)| !name.starts_with(OUR_PREFIX.as_bytes()) && !MANAGERS.contains(&name.as_slice()))
        .cloned()
        .collect();
    let spec = &claim.job.spec;
    variables.extend(spec.environment.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
    let mut ours = |name: &str, value: Vec<u8>| variables.insert(name.as_bytes().to_vec(), value);
    ours("QUEUECTL_JOB_ID", claim.job.id.as_str().into());
    ours("QUEUECTL_ATTEMPT", claim.attempt.to_string().into());
    ours("QUEUECTL_QUEUE", spec.queue.as_str().into());
    ours("QUEUECTL_SLOT", slot.to_string().into());
    ours(queuectl_core::claim::CLAIM_MARK, claim.token.to_string().into());
    if let Some(database) = &surroundings.database {
        ours("QUEUECTL_DB", database.clone());
    }
    variables.into_iter().collect()
}

#[cfg(test)]
mod tests;
