//! `cancel`: a waiting job at once, a running one through its worker.

use clap::Args;
use queuectl::core::store::Cancelled;

use crate::exit::{Exit, Outcome};
use crate::place::Place;
use crate::target::{resolve, store_with_jobs};
use crate::terminal::{complain, print_line};

/// Cancel jobs
#[derive(Debug, Args)]
pub struct Arguments {
    /// Ids, beginnings of generated ones, `last`, or `all`
    #[arg(required = true)]
    jobs: Vec<String>,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let reader = store_with_jobs(place).await?;
    let ids = resolve(&reader, &arguments.jobs).await?;
    let several = arguments.jobs.iter().any(|word| word == "all");
    let client = place.open().await?;
    let mut exit = Exit::Done;
    for (id, result) in ids.iter().zip(client.cancel(&ids).await?) {
        match result {
            Cancelled::Now => print_line(&format!("Cancelled job {id}"))?,
            Cancelled::Requested { .. } => {
                print_line(&format!("Cancelling job {id}: it is running, its worker ends it"))?;
            }
            // Of all jobs, those that have ended need no cancelling.
            Cancelled::Ended(_) if several => {}
            Cancelled::Ended(state) => {
                complain(&format!("Error: job {id} is {state} already; there is nothing to cancel"));
                exit = Exit::Refused;
            }
            Cancelled::Absent => {
                complain(&format!("Error: job {id} was deleted meanwhile"));
                exit = Exit::NotFound;
            }
        }
    }
    Ok(exit)
}
