//! `--watch`: shows a verb's answer again whenever it changes.
//!
//! On a terminal it is drawn in place, without flicker: home, each line cleared behind its end, all in one write. Elsewhere
//! each answer that differs from the one before is printed.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use queuectl::core::duration::parse_duration;
use queuectl::core::limits::{WATCH_DRAW_INTERVAL_MIN, WATCH_INTERVAL_DEFAULT};
use queuectl::{Changes, Client};
use rustix::process::{getpid, kill_process};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::color::{self, paint};
use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::render;
use crate::table::Look;
use crate::terminal::{self, Size, print, stdout_is_closed};

/// A drawing in answer to a ring is followed by another so soon: a claim, which rings nobody, often follows what did ring.
const SECOND_LOOK: Duration = Duration::from_millis(250);
/// Of the terminal's rows: an empty one and the one that says how to end it.
const FOOTER_ROWS: usize = 2;

#[derive(Debug, Default, Args)]
pub struct Watch {
    /// Show it again at each change, and every so many seconds [default: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = interval)]
    watch: Option<Duration>,
}

impl Watch {
    pub fn is_on(&self) -> bool {
        self.watch.is_some()
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if interval < WATCH_DRAW_INTERVAL_MIN {
        return Err(format!("the shortest is {}s", WATCH_DRAW_INTERVAL_MIN.as_secs_f64()));
    }
    Ok(interval)
}

/// How the answers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: in place on a terminal, else each changed one, an empty line between two.
    Tables,
    /// Each changed answer, which is one line.
    Values,
    /// Each line that the answer before did not have.
    Lines,
}

/// What a drawing may use.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    pub look: Look,
    /// Lines that there is room for; `None` if there is no end.
    pub rows: Option<usize>,
}

/// Shows what `answer` gives until somebody ends it. The store may come into being meanwhile.
pub async fn run<F>(place: &Place, watch: &Watch, form: Form, answer: F) -> Outcome
where
    F: AsyncFn(Option<&Client>, Canvas) -> Result<String, Failure>,
{
    let every = watch.watch.unwrap_or(WATCH_INTERVAL_DEFAULT);
    let mut ends = Ends::listen()?;
    let mut shown = match (form, terminal::size()) {
        (Form::Tables, Some(_)) => Show::Screen(Screen::take()?),
        (Form::Lines, _) => Show::Lines(HashSet::new()),
        _ => Show::Changed { form, last: None },
    };
    let mut keys = if matches!(shown, Show::Screen(_)) { keys() } else { None };
    let (mut client, mut changes): (Option<Client>, Option<Changes>) = (None, None);
    let mut look_again = false;
    loop {
        if client.is_none() {
            client = place.open_existing().await?;
            if let Some(client) = &client {
                changes = Some(client.changes().await?);
            }
        }
        let size = matches!(shown, Show::Screen(_)).then(terminal::size).flatten();
        let canvas =
            Canvas { look: render::look(), rows: size.map(|size| size.rows.saturating_sub(FOOTER_ROWS)) };
        shown.show(&answer(client.as_ref(), canvas).await?, size)?;
        let drawn = Instant::now();
        let next = drawn + if look_again { SECOND_LOOK.min(every) } else { every };
        look_again = match ends.until(&mut keys, wait(changes.as_mut(), next)).await {
            Next::End(exit) => return Ok(exit),
            Next::Again { rung } => rung,
        };
        let rested = drawn + WATCH_DRAW_INTERVAL_MIN;
        while Instant::now() < rested {
            if let Next::End(exit) = ends.until(&mut keys, wait(None, rested)).await {
                return Ok(exit);
            }
        }
        if std::mem::take(&mut ends.suspended) {
            shown.give_back();
            // Returns when somebody lets us go on.
            let _ = kill_process(getpid(), rustix::process::Signal::STOP);
            ends.resumed = true;
        }
        if std::mem::take(&mut ends.resumed) {
            shown.resume()?;
        }
    }
}

/// True if it rang before that instant.
async fn wait(changes: Option<&mut Changes>, until: Instant) -> bool {
    if let Some(changes) = changes {
        return timeout_at(until, changes.wait(Duration::MAX)).await.unwrap_or(false);
    }
    sleep_until(until).await;
    false
}

/// What comes after a drawing.
enum Next {
    Again { rung: bool },
    End(Exit),
}

/// What ends a watch, or calls for a drawing at once.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resize: Signal,
    suspend: Signal,
    resume: Signal,
    /// It is to stop: the terminal is somebody else's until it goes on.
    suspended: bool,
    /// It was stopped and goes on: the terminal is to be taken again.
    resumed: bool,
}

impl Ends {
    fn listen() -> Result<Ends, Failure> {
        let number = |signal: rustix::process::Signal| SignalKind::from_raw(signal.as_raw());
        let hear = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}")))
        };
        Ok(Ends {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hangup: hear(SignalKind::hangup())?,
            resize: hear(SignalKind::window_change())?,
            suspend: hear(number(rustix::process::Signal::TSTP))?,
            resume: hear(number(rustix::process::Signal::CONT))?,
            suspended: false,
            resumed: false,
        })
    }

    async fn until(
        &mut self,
        keys: &mut Option<mpsc::Receiver<u8>>,
        news: impl Future<Output = bool>,
    ) -> Next {
        tokio::pin!(news);
        loop {
            tokio::select! {
                rung = &mut news => return Next::Again { rung },
                _ = self.interrupt.recv() => return Next::End(Exit::Interrupted),
                _ = self.terminate.recv() => return Next::End(Exit::Job(143)),
                _ = self.hangup.recv() => return Next::End(Exit::Job(129)),
                _ = self.resize.recv() => return Next::Again { rung: false },
                _ = self.suspend.recv() => {
                    self.suspended = true;
                    return Next::Again { rung: false };
                }
                _ = self.resume.recv() => {
                    self.resumed = true;
                    return Next::Again { rung: false };
                }
                key = next_key(keys) => match key {
                    Some(b'q' | b'Q') => return Next::End(Exit::Done),
                    Some(_) => {}
                    None => *keys = None,
                }
            }
        }
    }
}

async fn next_key(keys: &mut Option<mpsc::Receiver<u8>>) -> Option<u8> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

/// The keys that are typed, if standard input is a terminal. The thread ends with the process.
fn keys() -> Option<mpsc::Receiver<u8>> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|read| read == 1) && sender.blocking_send(byte[0]).is_ok()
        {
        }
    });
    Some(receiver)
}

/// Where the answers go.
enum Show {
    Screen(Screen),
    Changed { form: Form, last: Option<String> },
    Lines(HashSet<String>),
}

impl Show {
    fn show(&mut self, answer: &str, size: Option<Size>) -> Result<(), Failure> {
        if stdout_is_closed() {
            return Err(Failure::closed_stdout());
        }
        match self {
            Show::Screen(_) => draw(answer, size),
            Show::Changed { last, .. } if last.as_deref() == Some(answer) => Ok(()),
            Show::Changed { form, last } => {
                let between = if *form == Form::Tables && last.is_some() { "\n" } else { "" };
                print(&format!("{between}{answer}"))?;
                *last = Some(answer.to_owned());
                Ok(())
            }
            Show::Lines(last) => {
                let lines: HashSet<String> = answer.lines().map(str::to_owned).collect();
                let fresh = answer.lines().filter(|line| !last.contains(*line));
                let text: String = fresh.map(|line| format!("{line}\n")).collect();
                *last = lines;
                if text.is_empty() { Ok(()) } else { print(&text) }
            }
        }
    }

    fn give_back(&self) {
        if let Show::Screen(screen) = self {
            screen.give_back();
        }
    }

    fn resume(&self) -> Result<(), Failure> {
        match self {
            Show::Screen(screen) => screen.resume(),
            Show::Changed { .. } | Show::Lines(_) => Ok(()),
        }
    }
}

/// The terminal while we draw on it: no cursor, no echo, keys as they come. Dropping it gives the terminal back.
struct Screen {
    saved: Option<Termios>,
}

impl Screen {
    fn take() -> Result<Screen, Failure> {
        let screen = Screen { saved: termios::tcgetattr(io::stdin()).ok() };
        screen.resume()?;
        Ok(screen)
    }

    /// Takes the terminal again, as a shell may have changed it meanwhile.
    fn resume(&self) -> Result<(), Failure> {
        if let Some(saved) = &self.saved {
            let mut ours = saved.clone();
            // Ctrl-C and Ctrl-Z stay signals.
            ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            // A terminal that refuses shows the keys typed, no worse.
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &ours);
        }
        print("\x1b[?25l\x1b[2J\x1b[H")
    }

    fn give_back(&self) {
        // Nobody may be there any more.
        let _ = print("\x1b[?25h\n");
        if let Some(saved) = &self.saved {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, saved);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Draws over what is there, in one synchronised write. Long lines are cut by the terminal, too many by us.
fn draw(answer: &str, size: Option<Size>) -> Result<(), Failure> {
    let rows = size.map_or(usize::MAX, |size| size.rows.saturating_sub(FOOTER_ROWS).max(1));
    let mut lines: Vec<&str> = answer.lines().collect();
    let more = format!("… {} more lines", (lines.len() + 1).saturating_sub(rows));
    if lines.len() > rows {
        lines.truncate(rows - 1);
        lines.push(&more);
    }
    let footer = paint(color::ASIDE, "q ends", color::on_stdout());
    let lines: String = lines.into_iter().map(|line| format!("{line}\x1b[K\n")).collect();
    print(&format!("\x1b[?2026h\x1b[?7l\x1b[H{lines}\x1b[K\n{footer}\x1b[K\x1b[J\x1b[?7h\x1b[?2026l"))
}
