//! `retry`: a job that has ended back to pending, a backoff ended now.

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::store::{Retried, RetryScope};

use crate::changed::How;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::target::{Target, store_with_jobs};
use crate::terminal::complain;

/// Run jobs again: ended ones from the start, failed ones without waiting
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl retry job1\n  queuectl retry last\n  \
    queuectl retry --state failed --queue mail")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    how: How,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let reader = store_with_jobs(place).await?;
    let ids = arguments.target.resolve(&reader).await?;
    let refused = Some(Exit::Refused).filter(|_| !arguments.target.is_broad());
    retry(place, &ids, RetryScope::Any, refused, arguments.how).await
}

/// Retries these. `refused` is the exit code if one of them was in a state that does not allow it; `None` passes such
/// jobs over.
pub async fn retry(
    place: &Place,
    ids: &[JobId],
    scope: RetryScope,
    refused: Option<Exit>,
    how: How,
) -> Result<Exit, Failure> {
    let client = place.open().await?;
    let (mut exit, mut changed) = (Exit::Done, how.begin());
    for (id, result) in ids.iter().zip(client.retry(ids, scope).await?) {
        match result {
            Retried::Revived { from } => {
                let line = format!("Job {id} is pending again (it was {from}); attempts reset to 0");
                changed.tell(id, &line)?;
            }
            Retried::Hastened => {
                changed.tell(id, &format!("Job {id} is due now; its attempts are kept"))?;
            }
            Retried::Refused(shown) => {
                let Some(refused) = refused else { continue };
                let why = match scope {
                    RetryScope::DeadOnly => "only dead jobs are in the dead letter queue",
                    RetryScope::Any => "only jobs that have ended or wait for a retry can be retried",
                };
                complain(&format!(
                    "Error: job {id} is {shown}; {why}\nHint: `queuectl show {id}` tells more"
                ));
                exit = refused;
            }
            Retried::Absent => {
                complain(&format!(
                    "Error: there is no job `{id}`\nHint: `queuectl list` shows the jobs there are"
                ));
                exit = Exit::NotFound;
            }
        }
    }
    changed.end(&client).await?;
    Ok(exit)
}
