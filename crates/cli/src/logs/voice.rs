//! How one job's output is shown: as it is, behind its name, or as JSON.

use anstyle::{AnsiColor, Style};
use queuectl::Piece;
use queuectl::core::id::JobId;
use queuectl::core::limits::LOGS_LINE_BYTES_MAX;
use queuectl::core::outcome::Stream;
use queuectl::core::store::Attempt;
use queuectl::json::to_line;
use queuectl::view::LogView;

use super::{Arguments, header};
use crate::color::{self, paint};
use crate::escapes::{Filter, RESET};
use crate::exit::Failure;
use crate::terminal::{complain, print_bytes, print_line, stdout_is_terminal};

/// Behind the name of a job, before a line of its standard output.
const MARK_OUT: &str = "|";
/// The same before a line of its standard error.
const MARK_ERR: &str = "!";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The bytes as they come.
    Bytes,
    /// Whole lines, for others print at the same time.
    Lines,
    /// A JSON object for each line.
    Json,
}

impl Manner {
    pub fn of(arguments: &Arguments, jobs: usize) -> Manner {
        match (arguments.jsonl, arguments.follow && jobs > 1) {
            (true, _) => Manner::Json,
            (false, true) => Manner::Lines,
            (false, false) => Manner::Bytes,
        }
    }
}

/// One job's.
pub struct Voice {
    id: JobId,
    manner: Manner,
    /// Headers name the job.
    named: bool,
    /// Bytes alone are wanted.
    bare: bool,
    /// Headers go with the data, not to those who watch.
    inline: bool,
    /// The attempt that prints.
    attempt: u32,
    streams: [Throat; 2],
    /// The last byte that was printed as it is.
    last: u8,
}

/// One stream of it.
struct Throat {
    stream: Stream,
    /// Before each line.
    prefix: String,
    /// `None` where every byte passes.
    filter: Option<Filter>,
    /// A line that has not ended yet.
    line: Vec<u8>,
}

impl Voice {
    /// Of a job that is the only one to print now.
    pub fn alone(id: &JobId, arguments: &Arguments, manner: Manner) -> Voice {
        let named = !arguments.target.is_exactly(id);
        let throats =
            [Stream::Stdout, Stream::Stderr].map(|stream| Throat::new(stream, String::new(), arguments));
        Voice {
            id: id.clone(),
            manner,
            named,
            bare: arguments.bare(),
            inline: !arguments.follow,
            attempt: 1,
            streams: throats,
            last: b'\n',
        }
    }

    /// Of a job among others: its name stands before each line, `width` characters wide.
    pub fn among(id: &JobId, at: usize, width: usize, arguments: &Arguments, manner: Manner) -> Voice {
        const STYLES: [AnsiColor; 6] = [
            AnsiColor::Cyan,
            AnsiColor::Yellow,
            AnsiColor::Green,
            AnsiColor::Magenta,
            AnsiColor::Blue,
            AnsiColor::BrightCyan,
        ];
        let mut voice = Voice::alone(id, arguments, manner);
        voice.named = true;
        if manner == Manner::Lines && !arguments.bare() {
            let colours = color::on_stdout();
            let style: Style = STYLES[at % STYLES.len()].on_default();
            let name = paint(style, &format!("{:<width$}", id.as_str()), colours);
            voice.streams[0].prefix = format!("{name} {MARK_OUT} ");
            let mark = paint(AnsiColor::Red.on_default(), MARK_ERR, colours);
            voice.streams[1].prefix = format!("{name} {mark} ");
        }
        voice
    }

    /// An ended attempt is about to be told.
    pub fn begin(&mut self, attempt: &Attempt) -> Result<(), Failure> {
        self.attempt = attempt.number;
        if self.bare || self.manner == Manner::Json || !self.inline {
            return Ok(());
        }
        print_line(&self.header(attempt))
    }

    pub fn hear(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Bytes(stream, bytes) => self.bytes(stream, &bytes),
            Piece::Gap(stream, bytes) => self.gap(stream, bytes),
        }
    }

    /// An attempt has ended, and all of it was told.
    pub fn end(&mut self, attempt: &Attempt) -> Result<(), Failure> {
        self.finish_stream(Stream::Stdout)?;
        self.finish_stream(Stream::Stderr)?;
        self.attempt = attempt.number + 1;
        match self.manner {
            Manner::Json => print_line(&to_line(&LogView::end(&self.id, attempt))),
            _ if self.bare || self.inline => Ok(()),
            _ => {
                complain(&self.header(attempt));
                Ok(())
            }
        }
    }

    /// A stream is over: a line that did not end does now.
    pub fn finish_stream(&mut self, stream: Stream) -> Result<(), Failure> {
        if self.manner != Manner::Bytes {
            let line = std::mem::take(&mut self.throat(stream).line);
            return if line.is_empty() { Ok(()) } else { self.line(stream, &line) };
        }
        if self.throat(stream).is_styled() {
            self.throat(stream).filter = Some(Filter::new(true));
            print_bytes(RESET.as_bytes())?;
        }
        // The next header begins a line.
        if !self.bare && self.inline && self.last != b'\n' {
            self.last = b'\n';
            return print_bytes(b"\n");
        }
        Ok(())
    }

    fn header(&self, attempt: &Attempt) -> String {
        header(self.named.then_some(&self.id), attempt)
    }

    fn bytes(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Failure> {
        let passed = self.throat(stream).filter.as_mut().map(|filter| filter.pass(bytes));
        let bytes = passed.as_deref().unwrap_or(bytes);
        if self.manner == Manner::Bytes {
            self.last = bytes.last().copied().unwrap_or(self.last);
            return print_bytes(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = &mut self.throat(stream).line;
            line.extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
            if part.ends_with(b"\n") || line.len() >= LOGS_LINE_BYTES_MAX {
                let line = std::mem::take(line);
                self.line(stream, &line)?;
            }
        }
        Ok(())
    }

    /// Prints one line.
    fn line(&mut self, stream: Stream, line: &[u8]) -> Result<(), Failure> {
        if self.manner == Manner::Json {
            let text = String::from_utf8_lossy(line);
            return print_line(&to_line(&LogView::output(&self.id, self.attempt, stream, &text)));
        }
        let throat = self.throat(stream);
        let reset = if throat.is_styled() { RESET } else { "" };
        print_bytes(&[throat.prefix.as_bytes(), line, reset.as_bytes(), b"\n"].concat())
    }

    fn gap(&mut self, stream: Stream, bytes: u64) -> Result<(), Failure> {
        let note = format!("[... {bytes} bytes were not kept ...]");
        match self.manner {
            Manner::Json => {
                self.finish_stream(stream)?;
                print_line(&to_line(&LogView::gap(&self.id, self.attempt, stream, bytes)))
            }
            // Not among the bytes, but nobody is to take them for all.
            _ if self.bare => {
                complain(&format!("Note: {bytes} bytes of {} were not kept here", self.id));
                Ok(())
            }
            Manner::Bytes if self.inline => print_line(&format!("\n{note}")),
            _ => {
                let name = if self.named { format!("{}: ", self.id) } else { String::new() };
                complain(&format!("{name}{note}"));
                Ok(())
            }
        }
    }

    fn throat(&mut self, stream: Stream) -> &mut Throat {
        let at = usize::from(stream == Stream::Stderr);
        assert_eq!(self.streams[at].stream, stream, "they stand in this order");
        &mut self.streams[at]
    }
}

impl Throat {
    fn new(stream: Stream, prefix: String, arguments: &Arguments) -> Throat {
        let filtered = stdout_is_terminal() && !arguments.raw && !arguments.jsonl;
        let filter = filtered.then(|| Filter::new(color::on_stdout()));
        Throat { stream, prefix, filter, line: Vec::new() }
    }

    fn is_styled(&self) -> bool {
        self.filter.as_ref().is_some_and(Filter::is_styled)
    }
}
