//! `explain`: why a job is where it is, and what can be done about it.

use clap::Args;
use queuectl::json::to_line;

use crate::exit::Outcome;
use crate::place::Place;
use crate::target::{Target, each, store_with_jobs};
use crate::terminal::clean;

/// Why a job does not run, or what became of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl explain job1\n  queuectl explain last --json")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// One JSON object; an array of several
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let client = store_with_jobs(place).await?;
    client.settle_dead().await;
    let ids = arguments.target.resolve(&client).await?;
    each(&client, &ids, arguments.json, async |job| {
        let view = client.explain(job).await?;
        if arguments.json {
            return Ok(to_line(&view));
        }
        let mut text = format!("Job {} is {}:\n", view.id, view.state);
        for reason in &view.reasons {
            text.push_str(&format!("  - {}\n", clean(&reason.message)));
            if let Some(hint) = &reason.hint {
                text.push_str(&format!("    {}\n", clean(hint)));
            }
        }
        Ok(text)
    })
    .await
}
