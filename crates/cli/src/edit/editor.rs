//! Opens the editor, and loses nothing of what was written in it.

use std::io::Write;
use std::process::Command;

use queuectl::Client;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::state::State;

use super::{change, document};
use crate::changed::How;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, variable};
use crate::terminal::complain;

/// Jobs in one document.
const JOBS_MAX: usize = 1_000;

/// `broad`: nobody named them one by one, so those that do not wait are left out.
pub async fn edit(place: &Place, reader: &Client, ids: Vec<JobId>, broad: bool, how: How) -> Outcome {
    let waits = |job: &Job| matches!(job.state, State::Pending | State::Blocked);
    let mut jobs: Vec<Job> = Vec::new();
    for id in &ids {
        jobs.extend(reader.job(id).await?.filter(|job| !broad || waits(job)));
    }
    if jobs.is_empty() {
        complain("None of these jobs waits; nothing can be changed.");
        return Ok(Exit::Done);
    }
    if let Some(job) = jobs.iter().find(|job| !waits(job)) {
        return Err(Failure::new(Exit::Refused, format!("job {} is {}", job.id, job.state))
            .hint("only waiting jobs can be changed; --state pending selects them"));
    }
    let unusable = |error: std::io::Error| {
        Failure::new(Exit::Unavailable, format!("cannot use a temporary file: {error}"))
    };
    if jobs.len() > JOBS_MAX {
        return Err(Failure::usage(format!(
            "{} jobs are meant; at most {JOBS_MAX} fit one document",
            jobs.len()
        ))
        .hint("narrow them down, or use --set"));
    }
    let mut file =
        tempfile::Builder::new().prefix("queuectl-").suffix(".toml").tempfile().map_err(unusable)?;
    file.write_all(document::write(&jobs).as_bytes()).map_err(unusable)?;
    if let Err(failure) = open_editor(file.path()) {
        // Nothing was written that would be lost.
        let untouched = std::fs::read_to_string(file.path()).is_ok_and(|text| text == document::write(&jobs));
        return Err(if untouched { failure } else { keep(file, failure) });
    }
    let Ok(text) = std::fs::read_to_string(file.path()) else {
        return Err(keep(file, Failure::usage("the document is not UTF-8 any more; nothing was changed")));
    };
    let edits = match document::read(&text, &jobs) {
        Ok(edits) => edits,
        Err(failure) => return Err(keep(file, failure)),
    };
    if edits.is_empty() {
        complain("Nothing was changed.");
        return Ok(Exit::Done);
    }
    let client = place.open().await?;
    let mut changed = how.begin();
    if let Err(failure) = change(&client, &edits, &mut changed).await {
        return Err(keep(file, failure));
    }
    changed.end(&client).await?;
    Ok(Exit::Done)
}

/// What a person has written stays, and he is told where.
fn keep(file: tempfile::NamedTempFile, failure: Failure) -> Failure {
    match file.keep() {
        Ok((_, path)) => failure.hint(format!("what you wrote is in {}", path.display())),
        Err(_) => failure,
    }
}

fn open_editor(path: &std::path::Path) -> Result<(), Failure> {
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".into());
    // An editor is named with its options, as a shell line.
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{} \"$1\"", editor.to_string_lossy()))
        .arg("sh")
        .arg(path)
        .status();
    let shown = editor.to_string_lossy().into_owned();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            Exit::No,
            format!("the editor `{shown}` failed ({status}); nothing was changed"),
        )
        .hint("EDITOR names another one; --set needs none")),
        Err(error) => {
            Err(Failure::new(Exit::Unavailable, format!("cannot start the editor `{shown}`: {error}"))
                .hint("EDITOR names another one; --set needs none"))
        }
    }
}
