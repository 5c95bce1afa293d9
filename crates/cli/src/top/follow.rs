//! What the marked job prints: the end of its last attempt, then live, for as long as it is marked.

use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::limits::{
    TOP_DRAW_INTERVAL_MIN, TOP_LIVE_BYTES_MAX, TOP_LOOK_INTERVAL, TOP_OUTPUT_BYTES_MAX,
};
use queuectl::core::outcome::{Output, Stream};
use queuectl::core::store::Attempt;
use queuectl::{Client, Live, Piece};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::feed::{Store, opened};
use super::seen::News;
use super::tail::Said;
use crate::escapes::Filter;
use crate::exit::Failure;
use crate::terminal::{clean, clean_lines};

/// Follows a job until the task is ended or `top` is.
pub async fn follow(mut store: Store, id: JobId, news: mpsc::Sender<News>) {
    let Some(client) = opened(&mut store).await else { return };
    let mut voice =
        Voice { id, news, said: Vec::new(), bytes: 0, stdout: new_filter(), stderr: new_filter() };
    loop {
        let lived = live(&client, &mut voice).await;
        match lived {
            Ok(Some(())) => {}
            Ok(None) => return,
            Err(failure) => {
                voice.remark(&clean_lines(&failure.message));
                if voice.flush().await.is_none() {
                    return;
                }
                sleep(TOP_LOOK_INTERVAL).await;
            }
        }
    }
}

/// Tells of a job until it has ended, and waits until it is brought back. `None` if nobody listens or it is deleted.
async fn live(client: &Client, voice: &mut Voice) -> Result<Option<()>, Failure> {
    let Some(job) = client.job(&voice.id).await? else {
        voice.remark("[the job was deleted]");
        voice.flush().await;
        return Ok(None);
    };
    voice.said = vec![Said::Clear];
    if job.claim.is_none() && job.runs > 0 {
        last_attempt(client, &job, voice).await?;
    }
    let mut follower = client.follow(voice.id.clone(), job.runs).await?;
    // The first change tells what is known.
    let mut number = None;
    loop {
        if voice.flush().await.is_none() {
            return Ok(None);
        }
        let flush_at = Instant::now() + TOP_DRAW_INTERVAL_MIN;
        let mut over = false;
        while let Ok(live) = timeout_at(flush_at, follower.next()).await {
            match live? {
                Some(Live::Output(piece)) => voice.hear(piece),
                Some(Live::Changed(job)) => {
                    let running = job.claim.is_some().then_some(job.runs + 1);
                    if running.is_some() && number != running {
                        number = running;
                        voice.remark(&format!("[attempt {}]", job.runs + 1));
                    }
                }
                Some(Live::AttemptEnded(attempt)) => voice.end(&attempt),
                Some(Live::Ended(_)) => {}
                Some(Live::Deleted) => voice.remark("[the job was deleted]"),
                None => {
                    over = true;
                    break;
                }
            }
            if voice.bytes >= TOP_LIVE_BYTES_MAX {
                // The keeper drops what we do not take.
                tokio::time::sleep_until(flush_at).await;
                break;
            }
        }
        if over {
            break;
        }
    }
    if voice.flush().await.is_none() {
        return Ok(None);
    }
    loop {
        match client.job(&voice.id).await? {
            None => return Ok(None),
            Some(job) if !job.state.is_terminal() => return Ok(Some(())),
            Some(_) => sleep(TOP_LOOK_INTERVAL).await,
        }
    }
}

/// The end of what the last attempt printed.
async fn last_attempt(client: &Client, job: &Job, voice: &mut Voice) -> Result<(), Failure> {
    let Some(attempt) = client.attempt(&job.id, job.runs).await? else { return Ok(()) };
    voice.remark(&format!("[attempt {}]", attempt.number));
    for (stream, output) in [(Stream::Stdout, &attempt.stdout), (Stream::Stderr, &attempt.stderr)] {
        let (client, output) = (client.clone(), output.clone());
        // A file may be long, and its end is found by reading.
        let read = tokio::task::spawn_blocking(move || end_of(&client, stream, &output)).await;
        let pieces = read.map_err(|_| Failure::new(crate::exit::Exit::Internal, "a reader broke off"))??;
        for piece in pieces {
            voice.hear(piece);
        }
    }
    voice.end(&attempt);
    Ok(())
}

fn end_of(client: &Client, stream: Stream, output: &Output) -> Result<Vec<Piece>, queuectl::Error> {
    let from = output.bytes_total.saturating_sub(TOP_OUTPUT_BYTES_MAX);
    let mut pieces = client.pieces(stream, output, from)?;
    let mut found = Vec::new();
    while let Some(piece) = pieces.next_piece()? {
        found.push(piece);
    }
    Ok(found)
}

/// Collects what is to be told until it is told.
struct Voice {
    id: JobId,
    news: mpsc::Sender<News>,
    said: Vec<Said>,
    /// Bytes since it was told.
    bytes: usize,
    stdout: Filter,
    stderr: Filter,
}

fn new_filter() -> Filter {
    Filter::new(false)
}

impl Voice {
    fn hear(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(stream, bytes) => {
                self.bytes += bytes.len();
                let filter = match stream {
                    Stream::Stdout => &mut self.stdout,
                    Stream::Stderr => &mut self.stderr,
                };
                let text = filter.pass(&bytes);
                self.said.push(Said::Text(String::from_utf8_lossy(&text).into_owned()));
            }
            Piece::Gap(_, bytes) => self.remark(&format!("[{bytes} bytes are left out]")),
        }
    }

    fn end(&mut self, attempt: &Attempt) {
        (self.stdout, self.stderr) = (new_filter(), new_filter());
        self.remark(&format!("[attempt {}: {}]", attempt.number, clean(&attempt.outcome.describe())));
    }

    fn remark(&mut self, text: &str) {
        self.said.push(Said::Remark(text.to_owned()));
    }

    /// Tells what was collected; `None` if nobody listens any more.
    async fn flush(&mut self) -> Option<()> {
        self.bytes = 0;
        if self.said.is_empty() {
            return Some(());
        }
        let said = std::mem::take(&mut self.said);
        self.news.send(News::Output(self.id.clone(), said)).await.ok()
    }
}
