//! What a job printed must not control the terminal that shows it: colours pass, everything else of that kind goes.
//!
//! Sequences may come in pieces; a filter remembers where it is between two of them.

use anstyle_parse::{Params, Parser, Perform, Utf8Parser};

/// The end of every colour.
pub const RESET: &str = "\x1b[0m";

/// Lets text, tabs, line breaks and, if wanted, colours pass.
pub struct Filter {
    parser: Parser<Utf8Parser>,
    state: State,
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

struct State {
    colours: bool,
    /// A colour is in force.
    styled: bool,
    /// A carriage return was seen: what overwrites a line elsewhere begins a new one here.
    returned: bool,
}

impl Filter {
    pub fn new(colours: bool) -> Filter {
        Filter {
            parser: Parser::<Utf8Parser>::new(),
            state: State { colours, styled: false, returned: false },
            begun: Vec::new(),
        }
    }

    /// What passes of these bytes.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let bytes = [std::mem::take(&mut self.begun), bytes.to_vec()].concat();
        let mut passed = Vec::with_capacity(bytes.len());
        let mut performer = Passing { state: &mut self.state, out: &mut passed };
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().bytes().for_each(|byte| self.parser.advance(&mut performer, byte));
            if chunk.invalid().is_empty() {
                continue;
            }
            if chunks.peek().is_none() && may_go_on(chunk.invalid()) {
                self.begun = chunk.invalid().to_vec();
            } else {
                "\u{fffd}".bytes().for_each(|byte| self.parser.advance(&mut performer, byte));
            }
        }
        passed
    }

    /// True if what has passed leaves a colour in force.
    pub fn is_styled(&self) -> bool {
        self.state.styled
    }
}

/// True if these bytes, which are no character, are the beginning of one.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

struct Passing<'a> {
    state: &'a mut State,
    out: &'a mut Vec<u8>,
}

impl Perform for Passing<'_> {
    fn print(&mut self, c: char) {
        if c.is_control() {
            return;
        }
        if std::mem::take(&mut self.state.returned) {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.state.returned = false;
                self.out.push(b'\n');
            }
            b'\t' => self.out.push(b'\t'),
            b'\r' => self.state.returned = true,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || !intermediates.is_empty() || ignore || !self.state.colours {
            return;
        }
        let join = |values: &[u16]| values.iter().map(u16::to_string).collect::<Vec<_>>().join(":");
        let parts: Vec<String> = params.iter().map(join).collect();
        self.state.styled = parts.last().is_some_and(|last| last != "0");
        self.out.extend_from_slice(format!("\x1b[{}m", parts.join(";")).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(bytes: &[u8]) -> String {
        String::from_utf8(Filter::new(true).pass(bytes)).expect("UTF-8")
    }

    #[test]
    fn text_and_colours_pass_and_nothing_else_does() {
        let cases: [(&[u8], &str); 14] = [
            (b"plain\ttext\n", "plain\ttext\n"),
            (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            (b"\x1b[38;5;9;1mx\x1b[m", "\x1b[38;5;9;1mx\x1b[0m"),
            (b"\x1b[38:2::1:2:3mx", "\x1b[38:2:0:1:2:3mx"),
            (b"a\x1b[2J\x1b[H\x1b[3Ab", "ab"),
            (b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
            (b"a\x07\x08\x0b\x0c\x0e\x0fb", "ab"),
            (b"a\x1bPq#0\x1b\\b", "ab"),
            (b"a\x1b[?1049h\x1b[>4;1mb\x1b[?25lc", "abc"),
            (b"a\x1bcb\x1b7c", "abc"),
            (b"10%\r20%\rdone\r\n", "10%\n20%\ndone\n"),
            ("naïve 日本\n".as_bytes(), "naïve 日本\n"),
            (b"\xff\xfe|caf\xe9\n|", "\u{fffd}\u{fffd}|caf\u{fffd}\n|"),
            ("a\u{9b}2Jb".as_bytes(), "a2Jb"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(passed(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_sequence_may_be_split_anywhere() {
        let bytes = "a\x1b[31mré\x1b[0md\x1b]0;title\x07\x1b[2Jend\r\n".as_bytes();
        for at in 0..bytes.len() {
            let mut filter = Filter::new(true);
            let mut out = filter.pass(&bytes[..at]);
            out.extend(filter.pass(&bytes[at..]));
            assert_eq!(String::from_utf8_lossy(&out), passed(bytes), "split at {at}");
        }
    }

    #[test]
    fn without_colours_only_text_passes() {
        let mut filter = Filter::new(false);
        assert_eq!(filter.pass(b"\x1b[31mred\x1b[0m"), b"red");
        let mut filter = Filter::new(true);
        filter.pass(b"\x1b[31mred");
        assert!(filter.is_styled());
        filter.pass(b"\x1b[0m");
        assert!(!filter.is_styled());
    }
}
