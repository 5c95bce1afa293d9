//! The feed of `top`: reads the store off the drawing's path, and does what keys ask for.
//!
//! Two loops look at the store when it rings and once a second: one at the queue as a whole, one at the jobs of the
//! view. Each reads bounded pages, and rests in proportion to what a look took, so that a slow store is not made slower.

use std::time::Duration;

use queuectl::Client;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::limits::{
    PAGE_ROWS_MAX, TOP_ATTEMPTS_MAX, TOP_JOBS_MAX, TOP_LOOK_INTERVAL, TOP_LOOK_INTERVAL_MIN, TOP_NEWS_MAX,
    TOP_REST_FACTOR, TOP_RUNNING_MAX, TOP_SEARCHED_MAX,
};
use queuectl::core::query::Filter;
use queuectl::core::queue::QueueName;
use queuectl::core::state::Shown;
use queuectl::core::store::{Cancelled, Retried, RetryScope};
use queuectl::view::{Facts, JobDetailView};
use queuectl::{Selector, SelectorError};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::follow;
use super::seen::{JobSeen, JobsPage, News, Note, Overview, View};
use super::state::{Effect, Paused};
use crate::exit::Failure;
use crate::place::Place;
use crate::terminal::clean_lines;

/// A look because of a ring is followed by another so soon: a claim, which rings nobody, often follows what did ring.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// The store as the tasks see it: `None` until it comes into being.
pub type Store = watch::Receiver<Option<Client>>;

pub struct Feed {
    place: Place,
    store: Store,
    view: watch::Sender<View>,
    news: mpsc::Sender<News>,
    following: Option<AbortHandle>,
}

impl Feed {
    pub fn start(place: Place, client: Option<Client>) -> (Feed, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(TOP_NEWS_MAX);
        let (opened, store) = watch::channel(client);
        let (view, views) = watch::channel(View::default());
        tokio::spawn(open(place.clone(), opened, news.clone()));
        tokio::spawn(look_at_all(store.clone(), news.clone()));
        tokio::spawn(look_at_jobs(store.clone(), views, news.clone()));
        (Feed { place, store, view, news, following: None }, receiver)
    }

    /// Sees to what a key asked for; what comes of it is news.
    pub fn ask(&mut self, effect: Effect) {
        match effect {
            Effect::Look(view) => {
                self.view.send_replace(view);
            }
            Effect::Follow(job) => {
                if let Some(before) = self.following.take() {
                    before.abort();
                }
                let task = follow::follow(self.store.clone(), job, self.news.clone());
                self.following = Some(tokio::spawn(task).abort_handle());
            }
            asked => {
                tokio::spawn(answer(self.place.clone(), self.store.clone(), asked, self.news.clone()));
            }
        }
    }
}

/// Waits for the store and gives it; `None` when `top` ends first.
pub async fn opened(store: &mut Store) -> Option<Client> {
    store.wait_for(Option::is_some).await.ok().and_then(|client| client.clone())
}

/// Looks for a store that is not there yet.
async fn open(place: Place, opened: watch::Sender<Option<Client>>, news: mpsc::Sender<News>) {
    while opened.borrow().is_none() {
        match place.open_existing().await {
            Ok(Some(client)) => {
                opened.send_replace(Some(client));
            }
            Ok(None) => sleep(TOP_LOOK_INTERVAL).await,
            Err(failure) => {
                if tell_trouble(&news, failure).await.is_err() {
                    return;
                }
                sleep(TOP_LOOK_INTERVAL).await;
            }
        }
    }
    // The others keep their client as long as somebody could give them another.
    opened.closed().await;
}

async fn look_at_all(mut store: Store, news: mpsc::Sender<News>) {
    let Some(client) = opened(&mut store).await else { return };
    let mut changes = client.changes().await.ok();
    loop {
        let begun = Instant::now();
        let told = match overview(&client).await {
            Ok(overview) => news.send(News::Overview(Box::new(overview))).await,
            Err(failure) => tell_trouble(&news, failure).await,
        };
        if told.is_err() {
            return;
        }
        rest(begun, changes.as_mut()).await;
    }
}

async fn look_at_jobs(mut store: Store, mut wanted: watch::Receiver<View>, news: mpsc::Sender<News>) {
    let Some(client) = opened(&mut store).await else { return };
    let mut changes = client.changes().await.ok();
    loop {
        let view = wanted.borrow_and_update().clone();
        let begun = Instant::now();
        let told = match jobs(&client, view).await {
            Ok(page) => news.send(News::Jobs(page)).await,
            Err(failure) => tell_trouble(&news, failure).await,
        };
        if told.is_err() {
            return;
        }
        tokio::select! {
            () = rest(begun, changes.as_mut()) => {}
            asked = wanted.changed() => if asked.is_err() { return },
        }
    }
}

async fn tell_trouble(
    news: &mpsc::Sender<News>,
    failure: Failure,
) -> Result<(), mpsc::error::SendError<News>> {
    news.send(News::Trouble(clean_lines(&failure.message))).await
}

/// Waits until it is time for another look.
async fn rest(begun: Instant, changes: Option<&mut queuectl::Changes>) {
    sleep((begun.elapsed() * TOP_REST_FACTOR).max(TOP_LOOK_INTERVAL_MIN)).await;
    match changes {
        // A ring during the rest is not lost. Without one there may still be what nobody rings for.
        Some(changes) => {
            if changes.wait(TOP_LOOK_INTERVAL.saturating_sub(begun.elapsed())).await {
                sleep(SECOND_LOOK.saturating_sub(begun.elapsed())).await;
            }
        }
        None => sleep(TOP_LOOK_INTERVAL.saturating_sub(begun.elapsed())).await,
    }
}

async fn overview(client: &Client) -> Result<Overview, Failure> {
    let (counts, queues) = (client.counts().await?, client.queues().await?);
    let workers = client.live_workers().await?;
    let running = Filter { shown: Some(Shown::Processing), ..Filter::default() };
    let running = if counts.iter().any(|count| count.shown == Shown::Processing) {
        client.newest(&running, None, TOP_RUNNING_MAX).await?
    } else {
        Vec::new()
    };
    let settings = client.settings().await?;
    let facts = Facts::new(client.now().await?, &queues, &counts, workers.clone(), settings);
    Ok(Overview::new(facts.now, &counts, &queues, &workers, &running, &facts))
}

/// The newest jobs that the view means.
async fn jobs(client: &Client, view: View) -> Result<JobsPage, Failure> {
    let facts = client.facts().await?;
    let filter = Filter { shown: view.shown, queue: view.queue.clone(), ..Filter::default() };
    let (mut found, more) = if view.text.trim().is_empty() {
        // To read all of a queue or state only to find that there are no more would be a waste.
        let there = usize::try_from(client.count(&filter).await?).unwrap_or(usize::MAX);
        let rows = there.min(TOP_JOBS_MAX);
        let jobs = if rows == 0 { Vec::new() } else { client.newest(&filter, None, rows).await? };
        (jobs, there > rows)
    } else {
        search(client, &filter, &view).await?
    };
    found.truncate(TOP_JOBS_MAX);
    let jobs = found.iter().map(|job| JobSeen::new(job, &facts)).collect();
    Ok(JobsPage { view, jobs, more })
}

/// The newest jobs with these words among the newest of all, and the one of this id, however old; and whether there are
/// more to look through.
async fn search(client: &Client, filter: &Filter, view: &View) -> Result<(Vec<Job>, bool), Failure> {
    let (mut found, mut looked, mut after) = (Vec::new(), 0, None);
    let more = loop {
        let page = client.newest(filter, after, PAGE_ROWS_MAX).await?;
        looked += page.len();
        after = page.last().map(|job| job.seq);
        let last = page.len() < PAGE_ROWS_MAX;
        found.extend(page.into_iter().filter(|job| view.has_words(job)));
        if last || looked >= TOP_SEARCHED_MAX || found.len() >= TOP_JOBS_MAX {
            break !last;
        }
    };
    if more && let Some(job) = named(client, view.text.trim()).await? {
        let meant = filter.matches(&job, client.now().await?);
        if meant && found.iter().all(|other| other.id != job.id) {
            found.truncate(TOP_JOBS_MAX - 1);
            found.push(job);
        }
    }
    Ok((found, more))
}

/// The job with this id, or whose id alone begins so.
async fn named(client: &Client, word: &str) -> Result<Option<Job>, Failure> {
    match client.select(&Selector::Id(word.to_owned())).await {
        Ok(ids) => match ids.first() {
            Some(id) => Ok(client.job(id).await?),
            None => Ok(None),
        },
        Err(SelectorError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Does what was asked for and tells what came of it.
async fn answer(place: Place, mut store: Store, asked: Effect, news: mpsc::Sender<News>) {
    let told = match asked {
        Effect::Details(job) => match details(&mut store, &job).await {
            Ok(lines) => News::Details(job, lines),
            Err(failure) => News::Details(job, vec![clean_lines(&failure.message)]),
        },
        asked => News::Did(
            change(&place, asked)
                .await
                .unwrap_or_else(|failure| Note { text: clean_lines(&failure.message), refused: true }),
        ),
    };
    // `top` may have ended.
    let _ = news.send(told).await;
}

async fn details(store: &mut Store, id: &JobId) -> Result<Vec<String>, Failure> {
    let Some(client) = opened(store).await else { return Ok(Vec::new()) };
    let Some(job) = client.job(id).await? else {
        return Err(SelectorError::Nothing(id.to_string()).into());
    };
    let mut attempts = Vec::new();
    for number in job.runs.saturating_sub(TOP_ATTEMPTS_MAX)..job.runs {
        attempts.extend(client.attempt(id, number + 1).await?);
    }
    let text = crate::show::render(&JobDetailView::new(&job, &attempts, client.now().await?), false);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !job.state.is_terminal() {
        lines.push(String::new());
        lines.extend(
            client.explain(&job).await?.reasons.iter().map(|reason| crate::terminal::clean(&reason.message)),
        );
    }
    Ok(lines)
}

async fn change(place: &Place, asked: Effect) -> Result<Note, Failure> {
    let client = place.open().await?;
    let done = |text: String| Note { text, refused: false };
    let refused = |text: String| Note { text, refused: true };
    Ok(match asked {
        Effect::SetPaused(queue, paused) => {
            client.set_paused(&queue, paused == Paused::Yes).await?;
            done(told_paused(&queue, paused))
        }
        Effect::Cancel(id) => match client.cancel(std::slice::from_ref(&id)).await?.first() {
            Some(Cancelled::Now) => done(format!("Cancelled job {id}")),
            Some(Cancelled::Requested { .. }) => done(format!("Cancelling job {id}: its worker ends it")),
            Some(Cancelled::Ended(state)) => refused(format!("Job {id} is {state} already")),
            Some(Cancelled::Absent) | None => refused(format!("Job {id} was deleted meanwhile")),
        },
        Effect::Retry(id) => match client.retry(std::slice::from_ref(&id), RetryScope::Any).await?.first() {
            Some(Retried::Revived { .. }) => done(format!("Job {id} is pending again; attempts reset to 0")),
            Some(Retried::Hastened) => done(format!("Job {id} is due now; its attempts are kept")),
            Some(Retried::Refused(shown)) => refused(format!(
                "Job {id} is {shown}; only jobs that have ended or wait for a retry can be retried"
            )),
            Some(Retried::Absent) | None => refused(format!("Job {id} was deleted meanwhile")),
        },
        // These change nothing in the store and do not come here.
        Effect::Look(_)
        | Effect::Follow(_)
        | Effect::Details(_)
        | Effect::Redraw
        | Effect::Suspend
        | Effect::Quit(_) => done(String::new()),
    })
}

fn told_paused(queue: &QueueName, paused: Paused) -> String {
    match paused {
        Paused::Yes => format!("Queue {queue} is paused; what runs in it goes on"),
        Paused::No => format!("Queue {queue} is active"),
    }
}
