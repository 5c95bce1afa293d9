//! Tables: no borders, one header line, as wide as the terminal and no wider. Where there is no terminal, nothing is cut.
//!
//! A table is measured first and printed then, a row at a time, so that one of a million rows needs no more memory than
//! one of ten.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::color::{self, paint};

/// Between two columns, in characters.
const GAP: usize = 2;

/// What may be done to a column where the terminal is narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Nothing: it shows, and whole.
    Whole,
    /// It may be left out.
    Drop,
    /// It may be cut down to so many characters.
    Shrink(usize),
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub fit: Fit,
    /// It shows only if some row needs it.
    pub optional: bool,
}

impl Column {
    pub const fn new(title: &'static str, fit: Fit) -> Column {
        Column { title, fit, optional: false }
    }

    pub const fn optional(title: &'static str, fit: Fit) -> Column {
        Column { title, fit, optional: true }
    }
}

#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
    needed: bool,
}

impl Cell {
    /// One that calls for its column if it says anything.
    pub fn new(text: impl Into<String>) -> Cell {
        let text = text.into();
        Cell { needed: !text.is_empty(), text, style: Style::new() }
    }

    pub fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell { style, ..Cell::new(text) }
    }

    /// Calls for its column only if `needed`, as a value that is not the usual one does.
    pub fn if_needed(text: impl Into<String>, needed: bool) -> Cell {
        Cell { needed, ..Cell::new(text) }
    }

    #[must_use]
    pub fn with(self, style: Style) -> Cell {
        Cell { style, ..self }
    }
}

/// How a table is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// In characters; `None` where nothing is cut.
    pub width: Option<usize>,
    pub colours: bool,
}

pub struct Table {
    columns: Vec<Column>,
    /// In characters, of each column.
    widths: Vec<usize>,
    needed: Vec<bool>,
    look: Look,
}

impl Table {
    pub fn new(columns: Vec<Column>, look: Look) -> Table {
        let widths = columns.iter().map(|column| column.title.width()).collect();
        let needed = columns.iter().map(|column| !column.optional).collect();
        Table { columns, widths, needed, look }
    }

    /// All of a small table.
    pub fn render(columns: Vec<Column>, rows: &[Vec<Cell>], look: Look) -> String {
        let mut table = Table::new(columns, look);
        for row in rows {
            table.measure(row);
        }
        table.fit();
        let lines = rows.iter().map(|row| table.line(row));
        std::iter::once(table.header()).chain(lines).collect()
    }

    /// Makes room for a row.
    pub fn measure(&mut self, row: &[Cell]) {
        for (at, cell) in row.iter().enumerate() {
            self.widths[at] = self.widths[at].max(cell.text.width());
            self.needed[at] |= cell.needed;
        }
    }

    /// Fits what was measured into the width: cuts what may be cut, leaves out what may be left out.
    pub fn fit(&mut self) {
        let Some(width) = self.look.width else { return };
        let least = |column: &Column, width: usize| match column.fit {
            Fit::Shrink(least) => width.min(least.max(column.title.width())),
            Fit::Whole | Fit::Drop => width,
        };
        loop {
            let shown = self.shown();
            let smallest: usize =
                shown.iter().map(|at| least(&self.columns[*at], self.widths[*at]) + GAP).sum();
            if smallest <= width + GAP {
                break;
            }
            let Some(at) = shown.into_iter().rev().find(|at| self.columns[*at].fit == Fit::Drop) else {
                break;
            };
            self.needed[at] = false;
        }
        // The widest gives first.
        let shown = self.shown();
        let total = |widths: &[usize]| shown.iter().map(|at| widths[*at] + GAP).sum::<usize>();
        while total(&self.widths) > width + GAP {
            let can = |at: &&usize| self.widths[**at] > least(&self.columns[**at], self.widths[**at]);
            let Some(at) = shown.iter().filter(can).max_by_key(|at| self.widths[**at]) else { return };
            let over = total(&self.widths) - width - GAP;
            let least = least(&self.columns[*at], self.widths[*at]);
            let next =
                shown.iter().filter(can).map(|at| self.widths[*at]).filter(|w| *w < self.widths[*at]).max();
            let down_to = next.unwrap_or(least).max(least).min(self.widths[*at] - 1);
            self.widths[*at] -= over.min(self.widths[*at] - down_to);
        }
    }

    /// The header line.
    pub fn header(&self) -> String {
        let titles: Vec<Cell> =
            self.columns.iter().map(|column| Cell::styled(column.title, color::TITLE)).collect();
        self.line(&titles)
    }

    /// A row as one line. The last column is not padded.
    pub fn line(&self, row: &[Cell]) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for at in self.shown() {
            let cell = &row[at];
            let (text, width) = cut(&cell.text, self.look.width.map(|_| self.widths[at]));
            if width > 0 {
                line.extend(std::iter::repeat_n(' ', owed));
                line.push_str(&paint(cell.style, &text, self.look.colours));
                owed = 0;
            }
            owed += self.widths[at].saturating_sub(width) + GAP;
        }
        line.push('\n');
        line
    }

    fn shown(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| self.needed[*at]).collect()
    }
}

/// A text of at most so many characters' width, and its width.
fn cut(text: &str, most: Option<usize>) -> (String, usize) {
    let whole = text.width();
    let Some(most) = most.filter(|most| whole > *most) else { return (text.to_owned(), whole) };
    let (mut kept, mut width) = (String::new(), 1);
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width > most {
            width -= c.width().unwrap_or(0);
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    (kept, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::new("ID", Fit::Whole),
        Column::new("STATE", Fit::Whole),
        Column::optional("PRIORITY", Fit::Drop),
        Column::new("COMMAND", Fit::Shrink(8)),
        Column::optional("REASON", Fit::Shrink(8)),
    ];

    fn row(id: &str, priority: i32, command: &str, reason: &str) -> Vec<Cell> {
        vec![
            Cell::new(id),
            Cell::styled("dead", color::of_state("dead")),
            Cell::if_needed(priority.to_string(), priority != 0),
            Cell::new(command),
            Cell::new(reason),
        ]
    }

    fn render(rows: &[Vec<Cell>], width: Option<usize>, colours: bool) -> String {
        Table::render(COLUMNS.to_vec(), rows, Look { width, colours })
    }

    #[test]
    fn a_column_shows_when_some_row_needs_it() {
        let usual = [row("a", 0, "true", ""), row("bb", 0, "false", "")];
        assert_eq!(render(&usual, None, false), "ID  STATE  COMMAND\na   dead   true\nbb  dead   false\n");
        let special = [row("a", 0, "true", ""), row("bb", -5, "false", "why")];
        assert_eq!(
            render(&special, None, false),
            "ID  STATE  PRIORITY  COMMAND  REASON\na   dead   0         true\nbb  dead   -5        false    why\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_id_is_cut() {
        let long = "x".repeat(70);
        let rows = [row("an-id-of-sixteen", 7, &long, &long), row("b", 0, "日本語日本語日本語日本語", "")];
        for width in 45..200 {
            let text = render(&rows, Some(width), false);
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(text.contains("an-id-of-sixteen  dead"), "{width}:\n{text}");
        }
        let all = render(&rows, Some(46), false);
        assert!(!all.contains("PRIORITY") && all.contains("COMMAND") && all.contains('…'), "{all}");
        // Where not even the least fits, ids and states are whole all the same.
        assert!(render(&rows, Some(5), false).contains("an-id-of-sixteen  dead"));
    }

    #[test]
    fn colours_change_no_width() {
        let rows = [row("a", 0, "true", "")];
        let plain = render(&rows, None, false);
        let colourful = render(&rows, None, true);
        assert!(colourful.contains("\x1b[31mdead\x1b[0m   true"), "{colourful:?}");
        assert_eq!(anstream::adapter::strip_str(&colourful).to_string(), plain);
    }
}
