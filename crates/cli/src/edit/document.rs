//! The document that an editor shows: one TOML table a job, and what was changed in it.

use std::collections::BTreeMap;

use queuectl::core::command::Command;
use queuectl::core::duration::format_duration;
use queuectl::core::edit::Edit;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::store::EditOne;
use queuectl::request::parse_edit;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::exit::Failure;
use crate::place::enqueuer;

const HEAD: &str = "\
# Waiting jobs, one table each. Change values, save, leave the editor; tables that you delete stay as they are.
# run_at: a date, epoch seconds, \"+5m\", or \"now\". timeout: seconds, \"5m\", or \"none\".
";

/// The document of these jobs.
pub fn write(jobs: &[Job]) -> String {
    let mut text = HEAD.to_owned();
    for job in jobs {
        let mut document = Table::new();
        document.insert(job.id.to_string(), Value::Table(fields(job)));
        text.push('\n');
        text.push_str(&document.to_string());
    }
    text
}

fn fields(job: &Job) -> Table {
    let spec = &job.spec;
    let mut fields = Table::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    match &spec.command {
        Some(Command::Shell(line)) => put("command", Value::from(line.as_str())),
        // Arguments that are no text cannot be shown, and so not be changed here.
        Some(Command::Argv(words)) => {
            let words: Option<Vec<Value>> =
                words.iter().map(|word| std::str::from_utf8(word).ok().map(Value::from)).collect();
            if let Some(words) = words {
                put("args", Value::Array(words));
            }
        }
        None => {}
    }
    put("queue", Value::from(spec.queue.as_str()));
    put("priority", Value::from(i64::from(spec.priority)));
    put("max_retries", Value::from(i64::from(spec.max_retries)));
    put("timeout", Value::from(spec.timeout.map_or("none".to_owned(), format_duration)));
    let due = job.run_at.or(Some(job.due_at).filter(|_| job.retrying));
    put("run_at", Value::from(due.map_or("now".to_owned(), |at| at.to_string())));
    fields
}

/// What was changed, against these jobs.
pub fn read(text: &str, jobs: &[Job]) -> Result<Vec<EditOne>, Failure> {
    let document: Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::usage(format!("the document is not valid TOML: {}", error.to_string().trim_end()))
    })?;
    let known: BTreeMap<&str, &Job> = jobs.iter().map(|job| (job.id.as_str(), job)).collect();
    let mut edits = Vec::new();
    for (id, table) in document {
        let job = known.get(id.as_str()).ok_or_else(|| {
            Failure::usage(format!(
                "the document has a table `{id}`, which is none of the jobs that were opened"
            ))
        })?;
        let Value::Table(table) = table else {
            return Err(Failure::usage(format!("`{id}` is to be a table of fields")));
        };
        let before = fields(job);
        let changed = table.into_iter().filter(|(name, value)| before.get(name) != Some(value));
        let changed: Vec<(String, Json)> = changed.map(|(name, value)| (name, json(value))).collect();
        let edit = parse_edit(
            changed.iter().map(|(name, value)| (name.as_str(), value.clone())),
            &(enqueuer().time_zone)(),
        );
        let edit = edit.map_err(|error| Failure::usage(format!("job {id}: {error}")))?;
        if edit != Edit::default() {
            edits.push(EditOne { id: JobId::from_store(id), edit, seen: Some(job.updated_at) });
        }
    }
    Ok(edits)
}

fn json(value: Value) -> Json {
    match value {
        Value::Datetime(date) => Json::from(date.to_string()),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}
