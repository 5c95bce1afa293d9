//! `doctor`: what is amiss with the store, and what to do about it.

use clap::Args;
use queuectl::json::to_line;
use queuectl::view::{DoctorView, Finding};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::terminal::{clean, print, print_line};

/// Look for what is amiss: damage, file modes, space, lost processes, stray outputs, the clock
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl doctor\n  queuectl doctor --json\n\n\
    Exit codes: 0 no problem (there may be warnings), 1 a problem was found")]
pub struct Arguments {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: &Arguments) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
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

async fn examine(place: &Place, version: &str) -> Result<Option<DoctorView>, Failure> {
    let Some(client) = place.open_existing().await? else { return Ok(None) };
    Ok(Some(client.examine(version).await?))
}
