//! `retry`: a job that has ended back to pending, a backoff ended now.

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::store::{Retried, RetryScope};

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::target::{resolve, store_with_jobs};
use crate::terminal::{complain, print_line};

/// Run jobs again: ended ones from the start, failed ones without waiting
#[derive(Debug, Args)]
pub struct Arguments {
    /// Ids, beginnings of generated ones, or `last`
    #[arg(required = true)]
    jobs: Vec<String>,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let reader = store_with_jobs(place).await?;
    let ids = resolve(&reader, &arguments.jobs).await?;
    retry(place, &ids, RetryScope::Any, Exit::Refused).await
}

/// Retries these; `refused` is the exit code if one of them was in a state that does not allow it.
pub async fn retry(place: &Place, ids: &[JobId], scope: RetryScope, refused: Exit) -> Result<Exit, Failure> {
    let client = place.open().await?;
    let mut exit = Exit::Done;
    for (id, result) in ids.iter().zip(client.retry(ids, scope).await?) {
        match result {
            Retried::Revived { from } => {
                print_line(&format!("Job {id} is pending again (it was {from}); attempts reset to 0"))?;
            }
            Retried::Hastened => print_line(&format!("Job {id} is due now; its attempts are kept"))?,
            Retried::Refused(shown) => {
                let why = match scope {
                    RetryScope::DeadOnly => "only dead jobs are in the dead letter queue",
                    RetryScope::Any => "only jobs that have ended or wait for a retry can be retried",
                };
                complain(&format!("Error: job {id} is {shown}; {why}"));
                exit = refused;
            }
            Retried::Absent => {
                complain(&format!("Error: there is no job `{id}`"));
                exit = Exit::NotFound;
            }
        }
    }
    Ok(exit)
}
