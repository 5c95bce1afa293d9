//! `edit`: changes waiting jobs, by `--set` or in an editor.

mod document;
mod editor;

use clap::Args;
use queuectl::core::store::{EditOne, EditRefusal, Edited};
use queuectl::request::{EDITABLE, parse_edit};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, enqueuer};
use crate::target::{Target, store_with_jobs};
use crate::terminal::print_line;

/// Change waiting jobs: with --set, or in your editor
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl edit job1 --set priority=10\n  \
    queuectl edit --queue mail --set queue=slow --set timeout=5m\n  queuectl edit last:3\n\n\
    Fields: command, queue, priority, max_retries, timeout, run_at, delay")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// A change (repeatable); without any, $VISUAL or $EDITOR opens
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let mut changes = Vec::new();
    for set in &arguments.set {
        let (field, value) = set.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--set takes FIELD=VALUE, not `{set}`"))
                .hint(format!("the fields are: {}", EDITABLE.join(", ")))
        })?;
        if changes.iter().any(|(known, _)| *known == field) {
            return Err(Failure::usage(format!("`{field}` is set twice")).hint("keep one"));
        }
        changes.push((field, serde_json::Value::from(value)));
    }
    let edit = parse_edit(changes, &enqueuer().time_zone)?;
    let reader = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&reader).await?;
    if arguments.set.is_empty() {
        return editor::edit(place, &reader, ids).await;
    }
    let edits: Vec<EditOne> =
        ids.into_iter().map(|id| EditOne { id, edit: edit.clone(), seen: None }).collect();
    change(place, edits).await.map_err(|refused| refused.failure)
}

/// A change that was not made, and the jobs that are why.
struct Refused {
    failure: Failure,
}

/// Makes all of these changes or none.
async fn change(place: &Place, edits: Vec<EditOne>) -> Result<Exit, Refused> {
    let stop = |failure: Failure| Refused { failure };
    let most = queuectl::core::limits::ENQUEUE_JOBS_MAX;
    if edits.len() > most {
        let what = format!("{} jobs are meant; at most {most} are changed at once", edits.len());
        return Err(stop(Failure::usage(what).hint("narrow them down with --queue or --tag")));
    }
    let client = place.open().await.map_err(stop)?;
    match client.edit(&edits).await.map_err(|error| stop(error.into()))? {
        Edited::All => {
            for one in &edits {
                print_line(&format!("Changed job {}", one.id)).map_err(stop)?;
            }
            Ok(Exit::Done)
        }
        Edited::Refused(refused) => {
            let why = |refusal: &EditRefusal| match refusal {
                EditRefusal::State(shown) => format!("is {shown}"),
                EditRefusal::Changed => "was changed or started meanwhile".to_owned(),
                EditRefusal::Absent => "was deleted meanwhile".to_owned(),
            };
            let jobs: Vec<String> =
                refused.iter().map(|(id, refusal)| format!("{id} {}", why(refusal))).collect();
            let failure = Failure::new(Exit::Refused, format!("nothing was changed: {}", jobs.join(", ")));
            Err(stop(
                failure.hint("only waiting jobs can be changed; --state pending or failed selects them"),
            ))
        }
    }
}
