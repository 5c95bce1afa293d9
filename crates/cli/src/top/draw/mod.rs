//! Draws the model of `top`. Pure: the same model on the same area is the same picture.
//!
//! Meaning never depends on colour: what is marked is reversed, the pane with the keys has a title in bold.

mod overlay;
mod panes;

use queuectl::core::state::Shown;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::state::{Mode, Model, Pane};
use crate::color;

/// A smaller screen has room for one pane.
const PANES_WIDTH_MIN: u16 = 60;
/// See [`PANES_WIDTH_MIN`].
const PANES_HEIGHT_MIN: u16 = 18;
/// Lines at the top: where, and how many jobs of each state.
const HEADER_HEIGHT: u16 = 2;

const KEYS: &str = "q quit  ? help  tab pane  / filter  enter details  p pause  c cancel  r retry";

/// Draws everything; `colours`: whether there are any.
pub fn draw(frame: &mut Frame, model: &Model, colours: bool) {
    let [header, body, footer] =
        Layout::vertical([Constraint::Length(HEADER_HEIGHT), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    let ink = Ink { colours };
    draw_header(frame, header, model, ink);
    match &model.mode {
        Mode::Help => overlay::help(frame, body),
        Mode::Details { job, lines, top } => overlay::details(frame, body, job, lines.as_deref(), *top),
        Mode::Normal | Mode::Filter { .. } | Mode::Confirm(_) => draw_panes(frame, body, model, ink),
    }
    draw_footer(frame, footer, model, ink);
}

fn draw_panes(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    let small = area.width < PANES_WIDTH_MIN || area.height + HEADER_HEIGHT + 1 < PANES_HEIGHT_MIN;
    if small || model.zoomed {
        let pane = if model.zoomed { Pane::Output } else { model.pane };
        return panes::draw(frame, area, pane, model, ink);
    }
    let queues = model.overview.as_ref().map_or(0, |overview| overview.queues.len());
    // A border above and below, and the titles of the columns.
    let wanted = queues.max(model.rows().len()).min(usize::from(area.height)) as u16 + 3;
    let upper = wanted.clamp(4, (area.height / 3).max(4));
    let [upper, jobs, output] =
        Layout::vertical([Constraint::Length(upper), Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    let [queues, workers] = Layout::horizontal([
        Constraint::Length(panes::queues_width(model).min(area.width / 2)),
        Constraint::Fill(1),
    ])
    .areas(upper);
    panes::draw(frame, queues, Pane::Queues, model, ink);
    panes::draw(frame, workers, Pane::Workers, model, ink);
    panes::draw(frame, jobs, Pane::Jobs, model, ink);
    panes::draw(frame, output, Pane::Output, model, ink);
}

fn draw_header(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    let workers = model.overview.as_ref().map(|overview| {
        let busy: usize = overview.workers.iter().map(|worker| worker.running.len()).sum();
        let slots: u32 = overview.workers.iter().map(|worker| worker.slots).sum();
        format!("{busy} of {slots} slots busy  ")
    });
    let workers = workers.unwrap_or_else(|| "no store yet  ".to_owned());
    let room = usize::from(area.width).saturating_sub(workers.width());
    let first = Line::from(vec![
        Span::styled(workers, Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(fit_end(&model.store, room)),
    ]);
    let count = |shown: Option<Shown>| {
        let jobs = model.overview.as_ref().map(|overview| overview.jobs);
        jobs.map_or(0, |jobs| shown.map_or(jobs.total(), |shown| jobs.get(shown)))
    };
    let tabs = |zeros: bool| {
        let mut tabs = Vec::new();
        for (place, shown) in std::iter::once(None).chain(Shown::ALL.map(Some)).enumerate() {
            let (jobs, chosen) = (count(shown), model.view.shown == shown);
            let unusual = matches!(shown, Some(Shown::Blocked | Shown::Cancelled));
            if jobs == 0 && !chosen && (unusual || !zeros) {
                continue;
            }
            let name = shown.map_or("all", Shown::as_str);
            let style = shown.filter(|_| jobs > 0).map_or(Style::new(), |shown| ink.of_state(shown.as_str()));
            let mark = if chosen { Modifier::REVERSED } else { Modifier::empty() };
            tabs.push(Span::styled(format!("{place} {name} {jobs}"), style.add_modifier(mark)));
            tabs.push(Span::raw("  "));
        }
        Line::from(tabs)
    };
    let all = tabs(true);
    let tabs = if all.width() <= usize::from(area.width) + 2 { all } else { tabs(false) };
    frame.render_widget(Paragraph::new(vec![first, tabs]), area);
}

fn draw_footer(frame: &mut Frame, area: Rect, model: &Model, ink: Ink) {
    let width = usize::from(area.width);
    let bad = ink.colour(Color::Red).add_modifier(Modifier::BOLD);
    let good = Style::new().add_modifier(Modifier::BOLD);
    let (text, style) = match (&model.mode, &model.trouble, &model.note) {
        (Mode::Confirm(job), ..) => {
            // The keys stay in sight, however long the id is.
            let id = fit(job.as_str(), width.saturating_sub("Cancel job ? (y/n)".len()));
            (format!("Cancel job {id}? (y/n)"), good)
        }
        (Mode::Filter { .. }, ..) => {
            let text = fit_end(&model.view.text, width.saturating_sub(2));
            frame.set_cursor_position(Position::new(area.x + 1 + text.width() as u16, area.y));
            (format!("/{text}"), good)
        }
        (_, Some(trouble), _) => (format!("The store cannot be read: {}", trouble.replace('\n', " ")), bad),
        (_, None, Some(note)) => (note.text.replace('\n', " "), if note.refused { bad } else { good }),
        (Mode::Help, ..) => ("any key goes back".to_owned(), ASIDE),
        (Mode::Details { .. }, ..) => ("arrows scroll, any other key goes back".to_owned(), ASIDE),
        (Mode::Normal, None, None) => (KEYS.to_owned(), ASIDE),
    };
    frame.render_widget(Span::styled(fit(&text, width), style), area);
}

/// What may be drawn with.
#[derive(Debug, Clone, Copy)]
pub struct Ink {
    colours: bool,
}

impl Ink {
    /// How a state looks, the same as everywhere.
    pub fn of_state(self, state: &str) -> Style {
        use anstyle::{AnsiColor, Color as Ansi};
        match color::of_state(state).get_fg_color() {
            Some(Ansi::Ansi(AnsiColor::Green)) => self.colour(Color::Green),
            Some(Ansi::Ansi(AnsiColor::Red)) => self.colour(Color::Red),
            Some(Ansi::Ansi(AnsiColor::Yellow)) => self.colour(Color::Yellow),
            Some(Ansi::Ansi(AnsiColor::Blue)) => self.colour(Color::Blue),
            Some(Ansi::Ansi(AnsiColor::Magenta)) => self.colour(Color::Magenta),
            _ => Style::new(),
        }
    }

    pub fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

/// How asides look.
pub const ASIDE: Style = Style::new().add_modifier(Modifier::DIM);

/// The beginning of a text in so many columns, with a mark if there is more.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut column = 0;
    let fits = |c: &char| {
        column += c.width().unwrap_or(0);
        column < width
    };
    let cut: String = text.chars().take_while(fits).collect();
    if width == 0 { cut } else { cut + "…" }
}

/// The end of a text in so many columns, with a mark if there is more.
fn fit_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let reversed: String = text.chars().rev().collect();
    fit(&reversed, width).chars().rev().collect()
}
