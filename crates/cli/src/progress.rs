//! Progress of long work: on standard error, and only where somebody watches a terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Done, rate and, where the end is known, time left.
pub struct Progress(ProgressBar);

impl Progress {
    /// `what`: in words, such as "Deleting jobs". `total`: where it is known.
    pub fn new(what: &'static str, total: Option<u64>) -> Progress {
        let bar = ProgressBar::with_draw_target(total, target());
        let template = match total {
            Some(_) => "{msg}: {human_pos} of {human_len} ({rate}, {eta} left) {bar:12}",
            None => "{msg}: {human_pos} ({rate}) {spinner}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    pub fn add(&self, done: u64) {
        self.0.inc(done);
    }

    /// Of a copy that has two parts, each with its own end.
    pub fn copying() -> impl FnMut(queuectl::Progress) + Send + 'static {
        let mut shown: Option<(&str, Progress)> = None;
        move |progress| {
            let (what, done, total) = match progress {
                queuectl::Progress::Pages { done, total } => ("Copying the database", done, total),
                queuectl::Progress::Outputs { done, total } => ("Copying outputs", done, total),
            };
            if shown.as_ref().is_none_or(|(part, _)| *part != what) {
                shown = Some((what, Progress::new(what, Some(total))));
            }
            if let Some((_, line)) = &shown {
                line.0.set_position(done);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}
