//! From the record of an attempt that has ended to its settle: the outcome, what it does to the job, its hook.

use std::time::Duration;

use queuectl_core::command::Command;
use queuectl_core::id::JobId;
use queuectl_core::job::{Due, NewJob};
use queuectl_core::limits::LAST_ERROR_CHARS_MAX;
use queuectl_core::outcome::{Interruption, Outcome, Output, OutputBody, Usage};
use queuectl_core::queue::QueueName;
use queuectl_core::settings::Settings;
use queuectl_core::settle::{Patch, Tally, decide};
use queuectl_core::state::State;
use queuectl_core::store::{AttemptRecord, Claim, Settle};
use queuectl_exec::protocol::{self, Body, Captured, End, ExitRecord, StopReason};

/// What is known when an attempt is settled.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub record: &'a ExitRecord,
    pub stderr_tail: &'a str,
    /// Milliseconds of the boot-time clock that the record was written by.
    pub now: u64,
    pub random: u64,
}

/// The settle of an attempt that a keeper has recorded.
pub fn settle_for(claim: &Claim, facts: &Facts<'_>, settings: &Settings) -> Settle {
    let record = facts.record;
    let ago = |then: u64| Duration::from_millis(facts.now.saturating_sub(then));
    let attempt = AttemptRecord {
        started_ago: record.started_ms.map(ago),
        ended_ago: ago(record.ended_ms),
        outcome: outcome_of(&record.end),
        usage: Usage {
            cpu_user: Duration::from_millis(record.usage.cpu_user_ms),
            cpu_system: Duration::from_millis(record.usage.cpu_system_ms),
            max_rss_kib: record.usage.max_rss_kib,
        },
        stdout: output_of(&record.stdout),
        stderr: output_of(&record.stderr),
        leftovers_killed: record.leftovers_killed,
    };
    settle_attempt(claim, attempt, facts.stderr_tail, facts.random, settings)
}

/// The settle of an attempt that nobody has recorded: its keeper died, and a sweep found the rest of it dead.
pub fn settle_interrupted(claim: &Claim, cause: Interruption, settings: &Settings) -> Settle {
    let attempt = AttemptRecord {
        started_ago: None,
        ended_ago: Duration::ZERO,
        outcome: Outcome::Interrupted(cause),
        usage: Usage::default(),
        stdout: Output::default(),
        stderr: Output::default(),
        leftovers_killed: 0,
    };
    settle_attempt(claim, attempt, "", 0, settings)
}

fn settle_attempt(
    claim: &Claim,
    attempt: AttemptRecord,
    stderr_tail: &str,
    random: u64,
    settings: &Settings,
) -> Settle {
    let tally = Tally { attempts: claim.job.attempts, interruptions: claim.job.interruptions };
    let patch = decide(&claim.job.spec, tally, &attempt.outcome, stderr_tail, random);
    let inserts = hook_for(claim, &patch, settings).into_iter().collect();
    Settle { claim: claim.token, patch, attempt, inserts }
}

fn outcome_of(end: &End) -> Outcome {
    match end {
        End::Exited { code } => Outcome::Exited { code: *code },
        End::Signaled { signal } => Outcome::Signaled { signal: *signal },
        End::TimedOut => Outcome::TimedOut,
        End::CouldNotStart { message, .. } => Outcome::CouldNotStart { message: message.clone() },
        End::Stopped { reason: StopReason::Cancelled } => Outcome::Cancelled,
        End::Stopped { reason: StopReason::WorkerStopping } => Outcome::Interrupted(Interruption::Stop),
        End::Interrupted { cause: protocol::Interruption::Shutdown } => {
            Outcome::Interrupted(Interruption::Shutdown)
        }
        End::Interrupted { .. } => Outcome::Interrupted(Interruption::Crash),
    }
}

fn output_of(captured: &Captured) -> Output {
    Output {
        bytes_total: captured.bytes_total,
        bytes_dropped: captured.bytes_dropped,
        head_len: captured.head_len,
        sha256: captured.sha256,
        body: match &captured.body {
            Body::Inline(bytes) => OutputBody::Inline(bytes.clone()),
            Body::File { name, len } => OutputBody::File { name: name.clone(), len: *len },
        },
    }
}

/// The job that `on-dead` asks for, its id made from the claim so that no repetition inserts it twice.
fn hook_for(claim: &Claim, patch: &Patch, settings: &Settings) -> Option<NewJob> {
    let job = &claim.job;
    if patch.to() != State::Dead || job.spec.queue == QueueName::hooks() {
        return None;
    }
    let line = settings.for_queue(&job.spec.queue).on_dead?;
    let hooks = QueueName::hooks();
    let mut spec = settings.for_queue(&hooks).spec(hooks);
    spec.command = Some(Command::shell(line).ok()?);
    spec.dir.clone_from(&job.spec.dir);
    spec.environment = job.spec.environment.clone();
    let attempts = job.attempts + u32::from(patch.charged);
    let shown = |command: &Command| command.display();
    let facts = [
        ("QUEUECTL_DEAD_ID", job.id.to_string()),
        ("QUEUECTL_DEAD_QUEUE", job.spec.queue.to_string()),
        ("QUEUECTL_DEAD_COMMAND", job.spec.command.as_ref().map(shown).unwrap_or_default()),
        ("QUEUECTL_DEAD_ATTEMPTS", attempts.to_string()),
        ("QUEUECTL_DEAD_EXIT_CODE", patch.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("QUEUECTL_DEAD_ERROR", patch.last_error.clone().unwrap_or_default()),
    ];
    for (name, value) in facts {
        // The facts hold no NUL; one too long for the environment is left out rather than the hook.
        let _ = spec.environment.set(name, value);
    }
    let id = JobId::from_store(format!("dead-{}", claim.token));
    Some(NewJob { id, generated: false, spec, due: Due::Now })
}

/// The last line that is not blank, made printable, for `last_error`.
pub fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // Whole sequences: without its first byte one would be read as text.
    let line = anstream::adapter::strip_str(line).to_string();
    line.chars().filter(|c| !c.is_control()).take(LAST_ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
