//! `run`: enqueues one job, sees it run, and exits with its code.

use std::time::Duration;

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::outcome::Stream;
use queuectl::core::queue::QueueName;
use queuectl::core::state::State;
use queuectl::core::store::StopMode;
use queuectl::{Client, Live, Piece, Worker, WorkerReport};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::add::What;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::{Place, enqueuer};
use crate::terminal::{complain, complain_bytes, print_bytes};
use crate::worker;

/// A job that has not started by then is told to be waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// Enqueue a job, see it run, exit with its code
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  queuectl run 'echo hello'\n  queuectl run -r 3 -- rsync -a src/ dest/")]
pub struct Arguments {
    #[command(flatten)]
    what: What,
}

/// The worker that this process runs for the job, if no other takes its queue.
struct OwnWorker {
    stop: watch::Sender<Option<StopMode>>,
    task: JoinHandle<Result<WorkerReport, queuectl::Error>>,
}

pub async fn run(place: &Place, arguments: Arguments, umask: u32) -> Outcome {
    watch_one(place, arguments, umask).await.map_err(ours)
}

async fn watch_one(place: &Place, arguments: Arguments, umask: u32) -> Outcome {
    let mut request = arguments.what.request()?;
    // One attempt unless more are asked for: whoever watches wants the answer.
    request.max_retries = request.max_retries.or(Some(1));
    let mut interrupt = listen_to(SignalKind::interrupt())?;
    let mut terminate = listen_to(SignalKind::terminate())?;
    let mut hangup = listen_to(SignalKind::hangup())?;
    let client = place.open().await?;
    let ids = client.enqueue(vec![request], &enqueuer()).await?;
    let id = ids.into_iter().next().expect("one request gives one id");
    let Some(job) = client.job(&id).await? else {
        return Err(Failure::new(Exit::RunFailed, format!("job {id} was deleted")));
    };
    let own = start_own(&client, &job.spec.queue, &id, umask).await?;
    let mut follower = client.follow(id.clone(), 0).await?;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let (mut started, mut signalled, mut unheard) = (false, None, false);
    let end = loop {
        tokio::select! {
            live = follower.next() => match live? {
                Some(Live::Output(piece)) => {
                    started = true;
                    if !unheard && let Err(failure) = show(piece) {
                        if failure.exit != Exit::Done {
                            return Err(failure);
                        }
                        // Nobody reads any more. A job of another worker goes on without a watcher; one of our own
                        // worker must not be broken off, so it is awaited in silence.
                        if own.is_none() {
                            return Err(failure);
                        }
                        unheard = true;
                    }
                }
                Some(Live::Changed(job)) => started |= job.state != State::Pending,
                Some(Live::Ended(job)) => break Some(job),
                Some(Live::AttemptEnded(_)) => {}
                Some(Live::Deleted) | None => break None,
            },
            () = &mut patience, if !started => {
                started = true;
                explain_wait(&client, &id, own.is_some()).await?;
            }
            _ = interrupt.recv() => { signalled = Some(Exit::Interrupted); cancel(&client, &id).await?; }
            _ = terminate.recv() => { signalled = Some(Exit::Job(143)); cancel(&client, &id).await?; }
            _ = hangup.recv() => {
                // The job goes on without a watcher, and without this worker.
                if let Some(own) = own {
                    let _ = own.stop.send(Some(StopMode::HandOver));
                    let _ = own.task.await;
                }
                return Ok(Exit::Job(129));
            }
        }
    };
    if let Some(own) = own {
        let _ = own.stop.send(Some(StopMode::Drain));
        match own.task.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::new(Exit::Internal, format!("the worker broke off: {error}"))),
        }
    }
    match end {
        _ if unheard && signalled.is_none() => Err(Failure::closed_stdout()),
        None => Err(Failure::new(Exit::RunFailed, format!("job {id} was deleted"))),
        Some(job) => Ok(signalled.unwrap_or_else(|| exit_of(&job))),
    }
}

/// What this program cannot do must not look like the job's own failure.
fn ours(mut failure: Failure) -> Failure {
    if failure.exit == Exit::Unavailable {
        failure.exit = Exit::RunFailed;
    }
    failure
}

fn listen_to(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}")))
}

async fn start_own(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    umask: u32,
) -> Result<Option<OwnWorker>, Failure> {
    if client.is_served(queue).await? {
        return Ok(None);
    }
    let mut options = worker::options(umask)?;
    options.only = Some(id.clone());
    let registered = Worker::register(client.clone(), options).await?;
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(registered.run(stopped));
    Ok(Some(OwnWorker { stop, task }))
}

fn show(piece: Piece) -> Result<(), Failure> {
    match piece {
        Piece::Bytes(Stream::Stdout, bytes) => print_bytes(&bytes),
        Piece::Bytes(Stream::Stderr, bytes) => {
            complain_bytes(&bytes);
            Ok(())
        }
        Piece::Gap(_, bytes) => {
            complain(&format!("[... {bytes} bytes were not kept ...]"));
            Ok(())
        }
    }
}

async fn cancel(client: &Client, id: &JobId) -> Result<(), Failure> {
    client.cancel(std::slice::from_ref(id)).await?;
    Ok(())
}

/// Says why nothing happens yet.
async fn explain_wait(client: &Client, id: &JobId, own: bool) -> Result<(), Failure> {
    let Some(job) = client.job(id).await?.filter(|job| job.state == State::Pending) else { return Ok(()) };
    let reasons = client.explain(&job).await?.reasons;
    // The slot of our own worker waits for nobody else.
    let ours = |code: &str| own && ["no_worker", "slots_busy", "others_first", "next"].contains(&code);
    for reason in reasons.iter().filter(|reason| !ours(reason.code)) {
        let hint = reason.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        complain(&format!("Job {id} waits: {}{hint}", reason.message));
    }
    Ok(())
}

/// The job's code; 125 if it has none of its own.
fn exit_of(job: &Job) -> Exit {
    match (job.state, job.exit_code) {
        (State::Cancelled, _) => Exit::Interrupted,
        (State::Completed, Some(code)) => Exit::Job(code as u8),
        (_, Some(code)) => {
            // A plain exit speaks for itself; what a code alone cannot tell is said.
            let plain = format!("exit code {code}");
            if let Some(error) = job.last_error.as_deref().filter(|error| !error.starts_with(&plain)) {
                complain(&format!("Error: job {} failed: {error}", job.id));
            }
            Exit::Job(code as u8)
        }
        (_, None) => {
            let why = job.last_error.as_deref().unwrap_or("it has no exit code");
            complain(&format!("Error: job {} is {}: {why}", job.id, job.state));
            Exit::RunFailed
        }
    }
}
