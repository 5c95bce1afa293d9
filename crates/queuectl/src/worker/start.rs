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

/// The worker's variables without ours, then the job's, then ours. Copied once it is known which they are.
fn environment(claim: &Claim, slot: u32, surroundings: &Surroundings) -> Vec<(Vec<u8>, Vec<u8>)> {
    let spec = &claim.job.spec;
    let (attempt, slot, mark) = (claim.attempt.to_string(), slot.to_string(), claim.token.to_string());
    let inherited = surroundings.environment.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let mut variables: BTreeMap<&[u8], &[u8]> = inherited
        .filter(|(name, _)| !name.starts_with(OUR_PREFIX.as_bytes()) && !MANAGERS.contains(name))
        .collect();
    variables.extend(spec.environment.iter());
    let mut ours = |name: &'static str, value| variables.insert(name.as_bytes(), value);
    ours("QUEUECTL_JOB_ID", claim.job.id.as_str().as_bytes());
    ours("QUEUECTL_ATTEMPT", attempt.as_bytes());
    ours("QUEUECTL_QUEUE", spec.queue.as_str().as_bytes());
    ours("QUEUECTL_SLOT", slot.as_bytes());
    ours(queuectl_core::claim::CLAIM_MARK, mark.as_bytes());
    if let Some(database) = &surroundings.database {
        ours("QUEUECTL_DB", database);
    }
    variables.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[cfg(test)]
mod tests;
