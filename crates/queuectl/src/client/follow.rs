//! Watching a job: its states as they change, and what it prints while it prints it.
//!
//! Live output comes from the socket of the keeper that runs the attempt; what was missed comes from the store. Both
//! count offsets in the whole stream, so nothing is shown twice.

use std::path::PathBuf;
use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::id::JobId;
use queuectl_core::job::Job;
use queuectl_core::outcome::Stream;
use queuectl_core::state::State;
use queuectl_core::store::{Attempt, Listener, StoreResult, Topic};
use queuectl_exec::protocol::{self, Event, PROTOCOL_VERSION, Request};
use queuectl_exec::{rundir, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Client, OutputPieces};

/// How often a follower looks at the job even if nobody rang.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often it asks a keeper that has been handed the claim but does not know it yet.
const KEEPER_INTERVAL: Duration = Duration::from_millis(10);

/// A piece of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Stream, Vec<u8>),
    /// So many bytes were printed but not kept.
    Gap(Stream, u64),
}

/// What a follower has seen.
#[derive(Debug)]
pub enum Live {
    /// The job as it is now: at first, and whenever its state or attempt has changed.
    Changed(Box<Job>),
    Output(Piece),
    /// An attempt has ended and all of its output was told.
    AttemptEnded(Box<Attempt>),
    /// The job is in a terminal state; nothing follows.
    Ended(Box<Job>),
    /// The job was deleted; nothing follows.
    Deleted,
}

/// What is to be told next.
enum Ready {
    Live(Live),
    /// All of these, read as they are told.
    Pieces(OutputPieces),
}

/// Follows one job. [`Follower::next`] is safe to drop and call again.
pub struct Follower {
    client: Client,
    id: JobId,
    listener: Box<dyn Listener>,
    /// Events that are known and not told yet.
    ready: std::collections::VecDeque<Ready>,
    /// The last attempt that was told in full.
    told: u32,
    seen: Option<(State, u32, Option<ClaimToken>)>,
    stream: Option<Feed>,
    over: bool,
}

/// The connection to the keeper that runs the attempt, and how far it has told each stream.
struct Feed {
    claim: ClaimToken,
    connection: Option<(UnixStream, wire::FrameDecoder)>,
    stdout: u64,
    stderr: u64,
    ended: bool,
}

impl Client {
    /// Follows a job from the attempt after `told` on (0: from its first).
    pub async fn follow(&self, id: JobId, told: u32) -> StoreResult<Follower> {
        let listener = self.store.listen(Topic::Outcome).await?;
        Ok(Follower {
            client: self.clone(),
            id,
            listener,
            ready: std::collections::VecDeque::new(),
            told,
            seen: None,
            stream: None,
            over: false,
        })
    }
}

impl Follower {
    /// The next thing that happens; `None` after the end.
    pub async fn next(&mut self) -> Result<Option<Live>, crate::Error> {
        loop {
            match self.ready.front_mut() {
                Some(Ready::Pieces(pieces)) => {
                    let piece = pieces.next_piece();
                    if !matches!(piece, Ok(Some(_))) {
                        self.ready.pop_front();
                    }
                    match piece? {
                        Some(piece) => return Ok(Some(Live::Output(piece))),
                        None => continue,
                    }
                }
                Some(Ready::Live(_)) => {
                    if let Some(Ready::Live(live)) = self.ready.pop_front() {
                        return Ok(Some(live));
                    }
                }
                None => {}
            }
            if self.over {
                return Ok(None);
            }
            self.look().await?;
            if !self.ready.is_empty() || self.over {
                continue;
            }
            self.wait().await;
        }
    }

    /// Compares the job with what was told.
    async fn look(&mut self) -> Result<(), crate::Error> {
        let Some(job) = self.client.store.get(&self.id).await? else {
            self.over = true;
            self.ready.push_back(Ready::Live(Live::Deleted));
            return Ok(());
        };
        if job.runs > self.told {
            self.tell_ended(&job).await?;
            if self.told < job.runs {
                return Ok(());
            }
        }
        let now = (job.state, job.runs, job.claim);
        if self.seen != Some(now) {
            self.seen = Some(now);
            self.ready.push_back(Ready::Live(Live::Changed(Box::new(job.clone()))));
        }
        if job.state.is_terminal() {
            self.over = true;
            self.ready.push_back(Ready::Live(Live::Ended(Box::new(job))));
            return Ok(());
        }
        match (job.claim, &self.stream) {
            (Some(claim), Some(feed)) if feed.claim == claim => {}
            (Some(claim), _) => {
                self.stream = Some(Feed { claim, connection: None, stdout: 0, stderr: 0, ended: false });
            }
            (None, _) => self.stream = None,
        }
        if let (Some(feed), Some(owner)) = (&mut self.stream, &job.owner)
            && feed.connection.is_none()
            && !feed.ended
        {
            feed.connect(self.client.place().run_dir, owner).await;
        }
        Ok(())
    }

    /// Tells what ended attempts printed beyond what was told live.
    async fn tell_ended(&mut self, job: &Job) -> Result<(), crate::Error> {
        // One at a time: a job may have had a million.
        while self.told < job.runs && self.ready.is_empty() {
            let number = self.told + 1;
            let attempt = self.client.attempt(&job.id, number).await?;
            self.told = number;
            let Some(attempt) = attempt else { continue };
            let live = self.stream.as_ref().filter(|feed| feed.claim == attempt.claim);
            let (stdout, stderr) = live.map_or((0, 0), |feed| (feed.stdout, feed.stderr));
            for (stream, output, from) in
                [(Stream::Stdout, &attempt.stdout, stdout), (Stream::Stderr, &attempt.stderr, stderr)]
            {
                if from < output.bytes_total {
                    self.ready.push_back(Ready::Pieces(self.client.pieces(stream, output, from)?));
                }
            }
            self.ready.push_back(Ready::Live(Live::AttemptEnded(Box::new(attempt))));
        }
        Ok(())
    }

    /// Sleeps until there may be news; what the keeper sends is put in `ready`.
    async fn wait(&mut self) {
        let Some(feed) = &mut self.stream else {
            self.listener.wait(LOOK_INTERVAL).await;
            return;
        };
        if feed.connection.is_none() {
            let pause = if feed.ended { LOOK_INTERVAL } else { KEEPER_INTERVAL };
            self.listener.wait(pause).await;
            return;
        }
        tokio::select! {
            event = feed.receive() => self.ready.extend(event.map(Live::Output).map(Ready::Live)),
            _ = self.listener.wait(LOOK_INTERVAL) => {}
        }
    }
}

impl Feed {
    async fn connect(&mut self, run_dir: PathBuf, owner: &str) {
        let Ok(stream) = rundir::connect(&run_dir, owner) else { return };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let Ok(mut stream) = UnixStream::from_std(stream) else { return };
        let follow =
            Request::Follow { claim: self.claim.into(), stdout_from: self.stdout, stderr_from: self.stderr };
        let hello = Request::Hello { version: PROTOCOL_VERSION };
        let words: Vec<u8> =
            [hello, follow].iter().flat_map(|word| wire::encode(word).unwrap_or_default()).collect();
        if stream.write_all(&words).await.is_ok() {
            self.connection = Some((stream, wire::FrameDecoder::new()));
        }
    }

    /// The next piece; `None` when the connection has nothing more to say. Safe to drop: bytes that were read stay in
    /// the decoder.
    async fn receive(&mut self) -> Option<Piece> {
        loop {
            let (stream, decoder) = self.connection.as_mut()?;
            match decoder.pop::<Event>() {
                Ok(Some(event)) => {
                    if let Some(piece) = self.take(event) {
                        return Some(piece);
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_) => {
                    self.connection = None;
                    return None;
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => decoder.push(&buffer[..read]),
                _ => {
                    self.connection = None;
                    return None;
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Piece> {
        match event {
            Event::Chunk { stream, from, bytes, .. } => {
                let (told, stream) = self.told(stream);
                let fresh = told.saturating_sub(from).min(bytes.len() as u64) as usize;
                *told = (*told).max(from + bytes.len() as u64);
                Some(Piece::Bytes(stream, bytes[fresh..].to_vec()))
            }
            Event::Gap { stream, from, to, .. } => {
                let (told, stream) = self.told(stream);
                *told = (*told).max(to);
                Some(Piece::Gap(stream, to.saturating_sub(from)))
            }
            Event::Ended { .. } => {
                // Told all there is, or the claim has not reached this keeper yet: then nothing was told, and the
                // next look asks again.
                self.ended = self.stdout > 0 || self.stderr > 0;
                self.connection = None;
                None
            }
            #[cfg(queuectl_next)]
            Event::Mood { .. } => None,
            Event::Hello { .. } | Event::Started { .. } | Event::Exited(_) | Event::Adopted { .. } => None,
        }
    }

    fn told(&mut self, stream: protocol::Stream) -> (&mut u64, Stream) {
        match stream {
            protocol::Stream::Stdout => (&mut self.stdout, Stream::Stdout),
            protocol::Stream::Stderr => (&mut self.stderr, Stream::Stderr),
        }
    }
}
