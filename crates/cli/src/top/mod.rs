//! `top`: the whole queue on one screen, as it changes, and keys that act on it.
//!
//! `state.rs` decides, `draw.rs` draws, `feed.rs` reads the store, `screen.rs` has the terminal; here they meet.

mod draw;
mod feed;
mod follow;
mod screen;
mod seen;
mod state;
mod tail;
#[cfg(test)]
mod tests;

use clap::Args;
use queuectl::core::limits::{TOP_DRAW_INTERVAL_MIN, TOP_LOOK_INTERVAL, TOP_NEWS_MAX};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::feed::Feed;
use self::screen::{Screen, Typed};
use self::seen::News;
use self::state::{Effect, Event, Model, Why};
use crate::color;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::terminal::{clean, stdout_is_closed, stdout_is_terminal};

/// A live view of queues, workers, jobs and what they print
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: ? lists them, q ends.\n\nExamples:\n  queuectl top\n  queuectl --db other.db top"
)]
pub struct Arguments {}

pub async fn run(place: &Place, _: Arguments) -> Outcome {
    if !stdout_is_terminal() {
        return Err(Failure::usage("`top` draws on a terminal, and standard output is none")
            .hint("`queuectl status --json` tells programs the same"));
    }
    // A store that cannot be used is reported as everywhere, before the screen is taken.
    let client = place.open_existing().await?;
    let signals = Signals::listen()?;
    let mut model = Model::new(clean(&place.name()));
    let (feed, news) = Feed::start(place.clone(), client);
    let screen = Screen::take(color::on_stdout())?;
    let typed = screen::typed(TOP_NEWS_MAX);
    Top { screen, feed, signals, drawn: None, stale: true }.run(&mut model, typed, news).await
}

struct Top {
    screen: Screen,
    feed: Feed,
    signals: Signals,
    /// When it was drawn last.
    drawn: Option<Instant>,
    /// Something has changed since.
    stale: bool,
}

impl Top {
    async fn run(
        mut self,
        model: &mut Model,
        mut typed: mpsc::Receiver<Typed>,
        mut news: mpsc::Receiver<News>,
    ) -> Outcome {
        let colours = color::on_stdout();
        let mut pulse = interval(TOP_LOOK_INTERVAL);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if screen::has_panicked() {
                return Err(Failure::new(Exit::Internal, "a part of `top` broke off; this is a bug"));
            }
            let next = self.drawn.map_or_else(Instant::now, |drawn| drawn + TOP_DRAW_INTERVAL_MIN);
            if self.stale && Instant::now() >= next {
                self.screen.draw(|frame| draw::draw(frame, model, colours))?;
                self.drawn = Some(Instant::now());
                self.stale = false;
            }
            let event = tokio::select! {
                biased;
                end = self.signals.next() => match end {
                    Heard::End(exit) => return Ok(exit),
                    Heard::Suspend => {
                        self.screen.suspend()?;
                        None
                    }
                    Heard::Resume => {
                        self.screen.resume()?;
                        None
                    }
                },
                key = typed.recv() => match key {
                    Some(Typed::Key(key)) => Some(Event::Key(key)),
                    Some(Typed::Resized) => None,
                    // The terminal cannot be read any more.
                    None => return Err(Failure::closed_stdout()),
                },
                () = sleep_until(next), if self.stale => continue,
                Some(told) = news.recv() => Some(Event::News(told)),
                // A terminal that has gone does not always say so by a signal.
                _ = pulse.tick() => if stdout_is_closed() { return Err(Failure::closed_stdout()) } else { continue },
            };
            self.stale = true;
            for effect in event.map(|event| model.update(event)).unwrap_or_default() {
                if let Some(exit) = self.perform(effect)? {
                    return Ok(exit);
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<Option<Exit>, Failure> {
        match effect {
            Effect::Quit(Why::Asked) => return Ok(Some(Exit::Done)),
            Effect::Quit(Why::Interrupted) => return Ok(Some(Exit::Interrupted)),
            Effect::Suspend => self.screen.suspend()?,
            Effect::Redraw => self.screen.clear()?,
            asked => self.feed.ask(asked),
        }
        Ok(None)
    }
}

/// What other processes want of us.
enum Heard {
    End(Exit),
    Suspend,
    Resume,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    suspend: Signal,
    resume: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        use rustix::process::Signal as Number;
        let number = |signal: Number| SignalKind::from_raw(signal.as_raw());
        let hear = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}")))
        };
        Ok(Signals {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hangup: hear(SignalKind::hangup())?,
            suspend: hear(number(Number::TSTP))?,
            resume: hear(number(Number::CONT))?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::End(Exit::Interrupted),
            _ = self.terminate.recv() => Heard::End(Exit::Job(143)),
            _ = self.hangup.recv() => Heard::End(Exit::Job(129)),
            _ = self.suspend.recv() => Heard::Suspend,
            _ = self.resume.recv() => Heard::Resume,
        }
    }
}
