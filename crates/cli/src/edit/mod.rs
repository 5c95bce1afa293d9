//! `edit`: changes waiting jobs, by `--set` or in an editor.

mod document;
mod editor;

use std::collections::HashSet;

use clap::Args;
use queuectl::Client;
use queuectl::core::id::JobId;
use queuectl::core::store::{EditOne, EditRefusal, Edited};
use queuectl::request::{EDITABLE, parse_edit};

use crate::changed::{Changed, How};
use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, enqueuer};
use crate::target::{Target, store_with_jobs};
use crate::terminal::complain;

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
    #[command(flatten)]
    how: How,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let mut fields = Vec::new();
    for set in &arguments.set {
        let (field, value) = set.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--set takes FIELD=VALUE, not `{set}`"))
                .hint(format!("the fields are: {}", EDITABLE.join(", ")))
        })?;
        if fields.iter().any(|(known, _)| *known == field) {
            return Err(Failure::usage(format!("`{field}` is set twice")).hint("keep one"));
        }
        fields.push((field, serde_json::Value::from(value)));
    }
    let edit = parse_edit(fields, &(enqueuer().time_zone)()).map_err(|error| {
        Failure::from(error).hint(format!("nothing was changed; the fields are: {}", EDITABLE.join(", ")))
    })?;
    let reader = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&reader).await?;
    if arguments.set.is_empty() {
        return editor::edit(place, &reader, ids, arguments.target.is_broad(), arguments.how).await;
    }
    let edits: Vec<EditOne> =
        ids.into_iter().map(|id| EditOne { id, edit: edit.clone(), seen: None }).collect();
    let client = place.open().await?;
    let mut changed = arguments.how.begin();
    if arguments.target.is_broad() {
        change_waiting(&client, edits, &mut changed).await?;
    } else {
        change(&client, &edits, &mut changed).await?;
    }
    changed.end(&client).await?;
    Ok(Exit::Done)
}

/// Makes all of these changes or none.
async fn change(client: &Client, edits: &[EditOne], changed: &mut Changed) -> Result<(), Failure> {
    let most = queuectl::core::limits::ENQUEUE_JOBS_MAX;
    if edits.len() > most {
        let what = format!("{} jobs are named; at most {most} are changed at once", edits.len());
        return Err(Failure::usage(what).hint("--queue, --state or --tag select any number"));
    }
    match client.edit(edits).await? {
        Edited::All => tell(edits, changed),
        Edited::Refused(refused) => {
            let why = |refusal: &EditRefusal| match refusal {
                EditRefusal::State(shown) => format!("is {shown}"),
                EditRefusal::Changed => "was changed or started meanwhile".to_owned(),
                EditRefusal::Spent(1) => {
                    "has had 1 attempt already, and max_retries would allow no other".to_owned()
                }
                EditRefusal::Spent(n) => {
                    format!("has had {n} attempts already, and max_retries would allow no other")
                }
                EditRefusal::Absent => "was deleted meanwhile".to_owned(),
            };
            let jobs: Vec<String> =
                refused.iter().map(|(id, refusal)| format!("{id} {}", why(refusal))).collect();
            let failure = Failure::new(Exit::Refused, format!("nothing was changed: {}", jobs.join(", ")));
            Err(failure.hint("only waiting jobs can be changed; --state pending or failed selects them"))
        }
    }
}

/// Changes those of these that wait, in steps; the others are passed over, as nobody named them.
async fn change_waiting(client: &Client, edits: Vec<EditOne>, changed: &mut Changed) -> Result<(), Failure> {
    let mut passed_over = 0;
    for step in edits.chunks(queuectl::core::limits::CHANGE_BATCH_MAX) {
        let mut step = step.to_vec();
        // Others may start while this goes on; each turn has fewer left.
        while let Edited::Refused(refused) = client.edit(&step).await? {
            let refused: HashSet<JobId> = refused.into_iter().map(|(id, _)| id).collect();
            passed_over += refused.len();
            step.retain(|one| !refused.contains(&one.id));
        }
        tell(&step, changed)?;
    }
    if passed_over > 0 {
        let jobs = if passed_over == 1 { "job that does" } else { "jobs that do" };
        complain(&format!("Note: {passed_over} {jobs} not wait stay as they are"));
    }
    Ok(())
}

fn tell(edits: &[EditOne], changed: &mut Changed) -> Result<(), Failure> {
    edits.iter().try_for_each(|one| changed.tell(&one.id, &format!("Changed job {}", one.id)))
}
