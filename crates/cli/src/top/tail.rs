//! The tail of a job's output: the last lines, bounded in number and length, ready to be drawn.

use std::collections::VecDeque;

use queuectl::core::limits::{TOP_LINE_CHARS_MAX, TOP_OUTPUT_LINES_MAX};
use unicode_width::UnicodeWidthChar;

/// From one tab stop to the next, in columns.
const TAB: usize = 8;

/// A part of what is told of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Printed by the job, without escape codes.
    Text(String),
    /// A line of ours.
    Remark(String),
    /// What came before is another attempt's, and long ago.
    Clear,
}

/// One line, and whether it is the job's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub remark: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Tail {
    lines: VecDeque<Line>,
    /// The last line has not ended yet.
    open: bool,
    /// Width of the last line, in columns.
    column: usize,
    /// Lines at the end that are scrolled out of sight.
    scroll: usize,
}

impl Tail {
    pub fn hear(&mut self, said: Said) {
        match said {
            Said::Text(text) => text.chars().for_each(|c| self.put(c)),
            Said::Remark(text) => {
                self.push(Line { text, remark: true });
                self.open = false;
            }
            Said::Clear => *self = Tail::default(),
        }
    }

    pub fn scroll_up(&mut self, lines: usize) {
        self.scroll = (self.scroll + lines).min(self.lines.len().saturating_sub(1));
    }

    pub fn scroll_down(&mut self, lines: usize) {
        self.scroll = self.scroll.saturating_sub(lines);
    }

    /// Lines below the last one that shows.
    pub fn below(&self) -> usize {
        self.scroll
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The last rows of a screen so wide and so high.
    pub fn rows(&self, width: usize, height: usize) -> Vec<Line> {
        let mut rows: VecDeque<Line> = VecDeque::new();
        for line in self.lines.iter().rev().skip(self.scroll) {
            for text in wrapped(&line.text, width.max(1)).into_iter().rev() {
                rows.push_front(Line { text, remark: line.remark });
            }
            if rows.len() >= height {
                break;
            }
        }
        rows.drain(..rows.len().saturating_sub(height));
        rows.into()
    }

    fn put(&mut self, c: char) {
        if c == '\n' {
            if !self.open {
                self.push(Line { text: String::new(), remark: false });
            }
            self.open = false;
            return;
        }
        if !self.open || self.column >= TOP_LINE_CHARS_MAX {
            self.push(Line { text: String::new(), remark: false });
            self.open = true;
            self.column = 0;
        }
        let Some(line) = self.lines.back_mut() else { return };
        if c == '\t' {
            let blanks = TAB - self.column % TAB;
            line.text.extend(std::iter::repeat_n(' ', blanks));
            self.column += blanks;
        } else {
            line.text.push(c);
            // Marks of no width count too, so that a line is bounded.
            self.column += c.width().unwrap_or(0).max(1);
        }
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() >= TOP_OUTPUT_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        // What is looked at stays where it is.
        if self.scroll > 0 {
            self.scroll_up(1);
        }
    }
}

/// A line as rows of a width; an empty one is a row too.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut column = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if column + wide > width {
            rows.push(String::new());
            column = 0;
        }
        column += wide;
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(texts: &[&str]) -> Tail {
        let mut tail = Tail::default();
        for text in texts {
            tail.hear(Said::Text((*text).to_owned()));
        }
        tail
    }

    fn rows(tail: &Tail, width: usize, height: usize) -> Vec<String> {
        tail.rows(width, height).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn pieces_make_lines_and_long_ones_go_on_below() {
        let tail = tail(&["one\ntw", "o\n\na\tb日本日本\n"]);
        assert_eq!(rows(&tail, 80, 10), ["one", "two", "", "a       b日本日本"]);
        assert_eq!(rows(&tail, 12, 10), ["one", "two", "", "a       b日", "本日本"]);
        assert_eq!(rows(&tail, 12, 2), ["a       b日", "本日本"]);
    }

    #[test]
    fn a_remark_stands_on_a_line_of_its_own() {
        let mut tail = tail(&["half"]);
        tail.hear(Said::Remark("[over]".to_owned()));
        tail.hear(Said::Text("again\n".to_owned()));
        assert_eq!(rows(&tail, 80, 10), ["half", "[over]", "again"]);
        tail.hear(Said::Clear);
        assert!(tail.is_empty());
    }

    #[test]
    fn lines_are_bounded_in_number_and_length() {
        let tail =
            tail(&["x\n".repeat(TOP_OUTPUT_LINES_MAX + 5).as_str(), &"y".repeat(TOP_LINE_CHARS_MAX + 1)]);
        assert_eq!(tail.lines.len(), TOP_OUTPUT_LINES_MAX);
        assert_eq!(tail.lines.back().map(|line| line.text.as_str()), Some("y"));
    }

    #[test]
    fn what_is_looked_at_stays_while_more_is_printed() {
        let mut tail = tail(&["1\n2\n3\n"]);
        tail.scroll_up(1);
        assert_eq!(rows(&tail, 80, 1), ["2"]);
        tail.hear(Said::Text("4\n5\n".to_owned()));
        assert_eq!(rows(&tail, 80, 1), ["2"]);
        tail.scroll_down(100);
        assert_eq!(rows(&tail, 80, 1), ["5"]);
        tail.scroll_up(100);
        assert_eq!(rows(&tail, 80, 1), ["1"]);
    }
}
