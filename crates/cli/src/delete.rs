//! `delete`: jobs with all that is known of them, for good.

use clap::Args;
use queuectl::core::state::State;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::render::counted;
use crate::target::{Target, store_with_jobs};
use crate::terminal::{complain, print, print_line};

/// Delete jobs that are not running, with their attempts and output
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl delete job1 job2\n  queuectl delete --state completed --queue mail\n  \
    queuectl delete all"
)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print the ids of deleted jobs only
    #[arg(long)]
    quiet: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let reader = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&reader).await?;
    let broad = arguments.target.is_broad();
    let client = place.open().await?;
    if !broad {
        // Named one by one, they are all deleted or none is.
        let states = client.states(&ids).await?;
        let running = ids.iter().zip(states).filter(|(_, state)| *state == Some(State::Processing));
        let running: Vec<&str> = running.map(|(id, _)| id.as_str()).collect();
        if !running.is_empty() {
            return Err(Failure::new(
                Exit::Refused,
                format!("running: {}; nothing was deleted", running.join(", ")),
            )
            .hint("`queuectl cancel` ends a running job; then it can be deleted"));
        }
    }
    let deleted = client.delete(&ids).await?;
    if arguments.quiet {
        print(&deleted.deleted.iter().map(|id| format!("{id}\n")).collect::<String>())?;
    } else if let [id] = deleted.deleted.as_slice() {
        print_line(&format!("Deleted job {id}"))?;
    } else {
        print_line(&format!("Deleted {}", counted(deleted.deleted.len() as u64, "job")))?;
    }
    if deleted.running.is_empty() {
        return Ok(Exit::Done);
    }
    complain(&format!("Note: {} left alone", counted(deleted.running.len() as u64, "running job")));
    // What was named and started in this very moment is a refusal; of many, it is just not among them.
    Ok(if broad { Exit::Done } else { Exit::Refused })
}
