//! What is handed in: read to its end before anything else happens, into a file without a name, so that nobody waits on
//! a writer who takes his time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use queuectl::core::limits::{ENQUEUE_BYTES_MAX, ENQUEUE_LINE_BYTES_MAX};

use crate::exit::{Exit, Failure};
use crate::terminal::clean;

#[derive(Debug)]
pub enum Source {
    Text(Vec<u8>),
    File(PathBuf),
    Stdin,
}

/// What a positional argument means.
pub fn source(input: &OsString) -> Result<Source, Failure> {
    let bytes = input.as_bytes();
    if bytes == b"-" {
        return Ok(Source::Stdin);
    }
    if let Some(path) = bytes.strip_prefix(b"@") {
        return Ok(Source::File(OsStr::from_bytes(path).into()));
    }
    if bytes.trim_ascii_start().first().is_some_and(|first| b"{[\"".contains(first)) {
        return Ok(Source::Text(bytes.to_vec()));
    }
    let shown = clean(&input.to_string_lossy());
    Err(Failure::usage(format!("`{shown}` is not a JSON object")).hint(format!(
        "for a shell line write `queuectl enqueue --command '{shown}'`, for a program `queuectl enqueue -- PROG ARGS`, \
         for a file @FILE"
    )))
}

/// All of an input, on disk.
#[derive(Debug)]
pub struct Spooled {
    file: File,
    pub bytes: u64,
}

impl Source {
    pub fn spool(self) -> Result<Spooled, Failure> {
        let unreadable = |what: &str, error: io::Error| {
            Failure::new(Exit::Unavailable, format!("cannot read {what}: {error}"))
                .hint("nothing was enqueued; - reads standard input, @FILE a file")
        };
        let unwritable = |error: io::Error| {
            Failure::new(Exit::Unavailable, format!("cannot keep the input in a temporary file: {error}"))
                .hint("nothing was enqueued; TMPDIR names another directory for it")
        };
        let mut file = tempfile::tempfile().map_err(unwritable)?;
        let bytes = match self {
            Source::Text(text) => {
                copy(text.as_slice(), &mut file, |error| unreadable("it", error), unwritable)?
            }
            Source::Stdin => {
                copy(io::stdin().lock(), &mut file, |error| unreadable("standard input", error), unwritable)?
            }
            Source::File(path) => {
                let unreadable = |error| unreadable(&path.display().to_string(), error);
                copy(File::open(&path).map_err(unreadable)?, &mut file, unreadable, unwritable)?
            }
        };
        Ok(Spooled { file, bytes })
    }
}

/// Copies everything, telling a reader that fails from a disk that does.
fn copy(
    mut from: impl Read,
    to: &mut File,
    unreadable: impl Fn(io::Error) -> Failure,
    unwritable: impl Fn(io::Error) -> Failure,
) -> Result<u64, Failure> {
    let (mut buffer, mut total) = (vec![0; 256 * 1024], 0);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        io::Write::write_all(to, &buffer[..read]).map_err(&unwritable)?;
        total += read as u64;
    }
}

/// One line of an input.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    pub bytes: Vec<u8>,
    /// It was longer than a line may be, and is cut.
    pub too_long: bool,
}

/// Reads lines, each up to its bound.
pub struct Lines<'a> {
    reader: BufReader<&'a File>,
    end: u8,
    number: u64,
}

impl Spooled {
    /// From the beginning; `end` ends a line.
    pub fn lines(&self, end: u8) -> Result<Lines<'_>, Failure> {
        (&self.file).seek(SeekFrom::Start(0)).map_err(|error| lost(&error))?;
        Ok(Lines { reader: BufReader::with_capacity(256 * 1024, &self.file), end, number: 0 })
    }

    /// Whether this is one JSON value a line, told by its first: a value that ends there.
    pub fn is_lines(&self, skips: bool) -> Result<bool, Failure> {
        let mut lines = self.lines(b'\n')?;
        while let Some(line) = lines.next()? {
            let text = line.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line.bytes).trim_ascii();
            match text.first() {
                None => {}
                Some(b'[') => return Ok(false),
                // One that is to be passed over must not decide.
                Some(_) if skips => return Ok(true),
                Some(_) => {
                    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
                    return Ok(whole || self.bytes > ENQUEUE_BYTES_MAX as u64);
                }
            }
        }
        Ok(false)
    }

    /// All of it.
    pub fn whole(&self) -> Result<Vec<u8>, Failure> {
        (&self.file).seek(SeekFrom::Start(0)).map_err(|error| lost(&error))?;
        let mut bytes = Vec::new();
        // One byte more than may be, so that too much is noticed without reading all of it.
        (&self.file)
            .take(ENQUEUE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| lost(&error))?;
        Ok(bytes)
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("cannot read the input again from its temporary file: {error}"))
        .hint("nothing was enqueued")
}

impl Lines<'_> {
    /// The next line, without its end.
    pub fn next(&mut self) -> Result<Option<Line>, Failure> {
        let (mut bytes, most) = (Vec::new(), ENQUEUE_LINE_BYTES_MAX as u64 + 1);
        let read =
            (&mut self.reader).take(most).read_until(self.end, &mut bytes).map_err(|error| lost(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = bytes.last() == Some(&self.end);
        if ended {
            bytes.pop();
        }
        let too_long = bytes.len() > ENQUEUE_LINE_BYTES_MAX;
        if too_long && !ended {
            self.skip_line()?;
        }
        Ok(Some(Line { number: self.number, bytes, too_long }))
    }

    fn skip_line(&mut self) -> Result<(), Failure> {
        loop {
            let buffer = self.reader.fill_buf().map_err(|error| lost(&error))?;
            let at = buffer.iter().position(|byte| *byte == self.end);
            let (skipped, over) = (at.map_or(buffer.len(), |at| at + 1), at.is_some() || buffer.is_empty());
            self.reader.consume(skipped);
            if over {
                return Ok(());
            }
        }
    }
}
