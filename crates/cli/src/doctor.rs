//! `doctor`: what is amiss with the store, and what to do about it.

use std::path::{Path, PathBuf};

use clap::Args;
use queuectl::core::store::StoreError;
use queuectl::json::to_line;
use queuectl::view::{DoctorView, Finding, SalvageView};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::terminal::{clean, print, print_line};

/// Look for what is amiss: damage, file modes, space, lost processes, stray outputs, the clock
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl doctor\n  queuectl doctor --json\n  \
    queuectl doctor --salvage saved.db\n\n\
    Exit codes: 0 no problem (there may be warnings), 1 a problem was found, or not everything was saved")]
pub struct Arguments {
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Save what is whole of a damaged database into this new file; the old one is not touched
    #[arg(long, value_name = "NEW")]
    salvage: Option<PathBuf>,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    if let Some(new) = &arguments.salvage {
        return salvage(place, new, arguments.json).await;
    }
    let version = queuectl::VERSION;
    let view = match examine(place, version).await {
        Ok(Some(view)) => view,
        Ok(None) => {
            let message = "there is no database yet; the first enqueue makes it".to_owned();
            DoctorView::new(place.name(), vec![Finding::ok("store", message)])
        }
        // A store that cannot be opened is what the doctor is called for.
        Err(failure) => {
            let hint =
                failure.hint.unwrap_or_else(|| "`queuectl restore DIR --force` brings a backup".to_owned());
            DoctorView::new(place.name(), vec![Finding::problem("store", failure.message, &hint)])
        }
    };
    if arguments.json {
        print_line(&to_line(&view))?;
    } else {
        let mut text = format!("{}\n", clean(&view.store));
        for finding in &view.findings {
            text.push_str(&format!("  {:<8} {}\n", finding.level, clean(&finding.message)));
            if let Some(hint) = &finding.hint {
                text.push_str(&format!("           {}\n", clean(hint)));
            }
        }
        print(&text)?;
    }
    Ok(if view.healthy { Exit::Done } else { Exit::No })
}

/// What is whole of a damaged database, in a new one.
async fn salvage(place: &Place, new: &Path, json: bool) -> Outcome {
    if !std::fs::metadata(&place.path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Err(Failure::new(Exit::Unavailable, format!("there is no database at {}", place.name()))
            .hint("--db FILE or QUEUECTL_DB names the damaged one"));
    }
    let living = queuectl::living(&place.path)?;
    if !living.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            format!("workers are running on the store ({}); nothing was salvaged", living.join(", ")),
        )
        .hint("`queuectl worker stop` first, so that nobody writes to the damaged file meanwhile"));
    }
    let report = queuectl::salvage(&place.path, new).await.map_err(|error| match error {
        // The usual advice names what has just failed.
        StoreError::Damaged { .. } => Failure::new(Exit::Unavailable, error.to_string())
            .hint("keep the file; a backup of it is what is left, with `queuectl restore`"),
        error => error.into(),
    })?;
    let to = std::path::absolute(new).unwrap_or_else(|_| new.to_owned());
    let view = SalvageView::new(place.name(), to.display().to_string(), report);
    if json {
        print_line(&to_line(&view))?;
    } else {
        print(&told(&view))?;
    }
    Ok(if view.complete { Exit::Done } else { Exit::No })
}

fn told(view: &SalvageView) -> String {
    let mut text = format!(
        "Saved {} jobs with {} attempts and {} output files to {}\n",
        view.jobs,
        view.attempts,
        view.outputs,
        clean(&view.to)
    );
    if view.buried > 0 {
        text.push_str(&format!(
            "{} of them are dead, for they cannot be run as enqueued, or may have run since: `queuectl dlq list` on the new \
             one; `queuectl show ID` tells why.\n",
            view.buried
        ));
    }
    text.push_str(&not_saved(view));
    if view.outputs_missing > 0 {
        text.push_str(&format!("{} output files are missing.\n", view.outputs_missing));
    }
    if !view.gaps.is_empty() {
        text.push_str(&format!("Not all may be there of: {}.\n", view.gaps.join(", ")));
    }
    text.push_str(&format!(
        "{} is as it was. Jobs that were running are pending again. `queuectl --db {} worker start` goes on.\n",
        clean(&view.from),
        clean(&view.to)
    ));
    text
}

/// Which jobs were not saved, as far as that is known.
fn not_saved(view: &SalvageView) -> String {
    let ids = clean(&view.lost_ids.join(", "));
    match view.lost {
        Some(0) => String::new(),
        Some(lost) => {
            let ids = match view.lost_ids.len() as u64 {
                0 => "; their ids are lost too".to_owned(),
                named if named < lost => format!(": {ids}, ..."),
                _ => format!(": {ids}"),
            };
            format!("Not saved: {lost} jobs, unreadable or not what was enqueued{ids}\n")
        }
        None if ids.is_empty() => "Whether there were more jobs, nobody can tell.\n".to_owned(),
        None => format!(
            "Not saved, for they are not what was enqueued: {ids}. Whether there were more jobs, nobody can tell.\n"
        ),
    }
}

async fn examine(place: &Place, version: &str) -> Result<Option<DoctorView>, Failure> {
    let Some(client) = place.open_existing().await? else { return Ok(None) };
    Ok(Some(client.examine(version).await?))
}
