//! How a [`JobSpec`] is kept: the fields that SQL never looks at, as one JSON text. The only use of serde here.
//!
//! Fields are only ever added, each with a default, so that older and newer binaries read each other's jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::command::Command;
use crate::environment::Environment;
use crate::id::JobId;
use crate::job::{JobSpec, Leftovers};
use crate::queue::QueueName;
use crate::retry::{Backoff, ExitRules, RetryPolicy};

/// Bytes as text where they are UTF-8, else as hexadecimal digits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CommandRow {
    Shell(String),
    Argv(Vec<Bytes>),
}

#[derive(Debug, Serialize, Deserialize)]
struct SpecRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<CommandRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    max_retries: u32,
    backoff: String,
    backoff_base: f64,
    backoff_max_ms: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    backoff_jitter: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ok_codes: Vec<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    no_retry_on: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    kill_grace_ms: u64,
    crash_limit: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    at_most_once: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    keep_leftovers: bool,
    output_max: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dir: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdin: Option<Bytes>,
    shell: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The columns of a spec that SQL looks at, beside its JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecColumns {
    pub kind: String,
    pub queue: QueueName,
    pub priority: i32,
}

/// The cold fields as JSON. The environment has a table of its own: see [`encode_environment`].
pub fn encode_spec(spec: &JobSpec) -> String {
    let row = SpecRow {
        command: spec.command.as_ref().map(|command| match command {
            Command::Shell(line) => CommandRow::Shell(line.clone()),
            Command::Argv(words) => CommandRow::Argv(words.iter().map(|word| to_bytes(word)).collect()),
        }),
        payload: spec.payload.clone(),
        max_retries: spec.max_retries,
        backoff: spec.retry.backoff.as_str().to_owned(),
        backoff_base: spec.retry.base,
        backoff_max_ms: millis(spec.retry.max),
        backoff_jitter: spec.retry.jitter,
        ok_codes: spec.exits.ok_codes.clone(),
        no_retry_on: spec.exits.no_retry_on.clone(),
        timeout_ms: spec.timeout.map(millis),
        kill_grace_ms: millis(spec.kill_grace),
        crash_limit: spec.crash_limit,
        at_most_once: spec.at_most_once,
        keep_leftovers: spec.leftovers == Leftovers::Keep,
        output_max: spec.output_max,
        tags: spec.tags.clone(),
        dir: spec.dir.as_deref().map(to_bytes),
        stdin: spec.stdin.as_deref().map(to_bytes),
        shell: spec.shell.clone(),
    };
    serde_json::to_string(&row).expect("plain data without maps of odd keys")
}

/// Reads a spec back, without its environment.
pub fn decode_spec(columns: SpecColumns, text: &str) -> Result<JobSpec, StoreError> {
    let damaged = |what: String| StoreError::Damaged { what };
    let row: SpecRow =
        serde_json::from_str(text).map_err(|e| damaged(format!("a job's options do not parse: {e}")))?;
    let command = match row.command {
        None => None,
        Some(CommandRow::Shell(line)) => Some(Command::Shell(line)),
        Some(CommandRow::Argv(words)) => {
            Some(Command::Argv(words.into_iter().map(from_bytes).collect::<Result<_, _>>()?))
        }
    };
    let backoff = Backoff::parse(&row.backoff)
        .ok_or_else(|| damaged(format!("`{}` is no kind of backoff", row.backoff)))?;
    Ok(JobSpec {
        kind: columns.kind,
        command,
        payload: row.payload,
        queue: columns.queue,
        priority: columns.priority,
        max_retries: row.max_retries,
        retry: RetryPolicy {
            backoff,
            base: row.backoff_base,
            max: Duration::from_millis(row.backoff_max_ms),
            jitter: row.backoff_jitter,
        },
        exits: ExitRules { ok_codes: row.ok_codes, no_retry_on: row.no_retry_on },
        timeout: row.timeout_ms.map(Duration::from_millis),
        kill_grace: Duration::from_millis(row.kill_grace_ms),
        crash_limit: row.crash_limit,
        at_most_once: row.at_most_once,
        leftovers: if row.keep_leftovers { Leftovers::Keep } else { Leftovers::Kill },
        output_max: row.output_max,
        tags: row.tags,
        environment: Environment::default(),
        dir: row.dir.map(from_bytes).transpose()?,
        stdin: row.stdin.map(from_bytes).transpose()?,
        shell: row.shell,
    })
}

/// SHA-256 over what is stored of a job and decides what is executed: its texts as they are stored, so that a later
/// queuectl, which knows more fields, comes to the same. It belongs to one id: no job runs what another was given.
pub fn digest_spec(
    id: &JobId,
    kind: &str,
    command: Option<&str>,
    spec: &str,
    environment: &Environment,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [id.as_str(), kind, command.unwrap_or_default(), spec] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(environment.digest());
    hash.finalize().into()
}

/// An environment as JSON: an array of pairs, sorted by name.
pub fn encode_environment(environment: &Environment) -> String {
    let pairs: Vec<(Bytes, Bytes)> =
        environment.iter().map(|(name, value)| (to_bytes(name), to_bytes(value))).collect();
    serde_json::to_string(&pairs).expect("plain data")
}

/// Reads an environment back.
pub fn decode_environment(text: &str) -> Result<Environment, StoreError> {
    let damaged = |e: String| StoreError::Damaged { what: format!("an environment does not parse: {e}") };
    let pairs: Vec<(Bytes, Bytes)> = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    let mut environment = Environment::default();
    for (name, value) in pairs {
        environment.set(from_bytes(name)?, from_bytes(value)?).map_err(|e| damaged(e.to_string()))?;
    }
    Ok(environment)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_bytes(bytes: &[u8]) -> Bytes {
    match std::str::from_utf8(bytes) {
        Ok(text) => Bytes::Text(text.to_owned()),
        Err(_) => Bytes::Hex { hex: bytes.iter().map(|b| format!("{b:02x}")).collect() },
    }
}

fn from_bytes(bytes: Bytes) -> Result<Vec<u8>, StoreError> {
    match bytes {
        Bytes::Text(text) => Ok(text.into_bytes()),
        Bytes::Hex { hex } => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let byte = |pair: &[u8]| match *pair {
                [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
                _ => None,
            };
            let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
            bytes.ok_or_else(|| StoreError::Damaged { what: format!("`{hex}` is not hexadecimal") })
        }
    }
}
