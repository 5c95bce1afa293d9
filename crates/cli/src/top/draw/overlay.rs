//! What covers the panes: help, and the details of a job.

use queuectl::core::id::JobId;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

use super::fit;
use crate::top::tail::wrapped;

const HELP: [&str; 14] = [
    "tab, shift-tab   next pane, pane before",
    "up down, j k     move; in the output, scroll",
    "page keys, g G   ten rows; first, last",
    "enter            queue: only its jobs",
    "                 job: its details",
    "                 output: the whole screen",
    "0 to 7           jobs of all states, or one",
    "/                jobs with these words",
    "esc              all jobs again",
    "p                pause or resume the queue",
    "c                cancel the job",
    "r                retry the job",
    "ctrl-l, ctrl-z   draw anew; suspend",
    "q                quit",
];

pub fn help(frame: &mut Frame, area: Rect) {
    let lines: Vec<Line> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("Keys")), area);
}

/// `top`: lines that are scrolled out of sight.
pub fn details(frame: &mut Frame, area: Rect, job: &JobId, lines: Option<&[String]>, top: usize) {
    let title = fit(&format!("Job {job}"), usize::from(area.width).saturating_sub(2));
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    let width = usize::from(inner.width).max(1);
    let shown = lines.into_iter().flatten().skip(top).flat_map(|line| wrapped(line, width));
    let text: Vec<Line> = shown.take(usize::from(inner.height)).map(Line::from).collect();
    frame.render_widget(Paragraph::new(text).block(block), area);
}
