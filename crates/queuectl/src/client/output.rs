//! What jobs printed: read from the store or its output files, and removed with the jobs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use queuectl_core::limits::OUTPUT_READ_BYTES;
use queuectl_core::outcome::{Output, OutputBody, Stream};
use tracing::warn;

use super::{Client, Piece};
use crate::error::Error;

/// Reads the kept bytes of one stream, with a line in place of what was dropped.
pub struct OutputReader {
    source: Box<dyn Read + Send>,
}

/// What was kept of a stream, piece by piece: bounded ones, and the gap between head and tail.
pub struct OutputPieces {
    stream: Stream,
    body: Box<dyn Read + Send>,
    path: PathBuf,
    /// Bytes left before the gap.
    head: u64,
    /// Bytes that were dropped and not told yet.
    gap: u64,
    /// Bytes after the gap that nobody wants.
    skip: u64,
}

impl OutputPieces {
    /// The next piece; `None` after the last.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        self.read().map_err(|source| Error::File { doing: "read", path: self.path.clone(), source })
    }

    fn read(&mut self) -> io::Result<Option<Piece>> {
        let mut bytes = Vec::new();
        if self.head > 0 {
            let limit = self.head.min(OUTPUT_READ_BYTES as u64);
            let read = self.body.by_ref().take(limit).read_to_end(&mut bytes)?;
            // A file that is shorter than recorded ends here.
            self.head = if read == 0 { 0 } else { self.head - read as u64 };
        }
        if !bytes.is_empty() {
            return Ok(Some(Piece::Bytes(self.stream, bytes)));
        }
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 {
            return Ok(Some(Piece::Gap(self.stream, gap)));
        }
        let skip = std::mem::take(&mut self.skip);
        io::copy(&mut self.body.by_ref().take(skip), &mut io::sink())?;
        self.body.by_ref().take(OUTPUT_READ_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(if bytes.is_empty() { None } else { Some(Piece::Bytes(self.stream, bytes)) })
    }
}

/// How many output files went with deleted jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedFiles(pub usize);

impl Client {
    /// Opens what was kept of a stream. A note stands where bytes were dropped if `marked`.
    pub fn read_output(&self, output: &Output, marked: bool) -> Result<OutputReader, Error> {
        let body: Box<dyn Read + Send> = match &output.body {
            OutputBody::Inline(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            OutputBody::File { name, .. } => {
                let path = self.place().out_dir.join(name);
                Box::new(File::open(&path).map_err(|source| Error::File { doing: "read", path, source })?)
            }
        };
        if !marked || output.bytes_dropped == 0 {
            return Ok(OutputReader { source: body });
        }
        let note = format!("\n[... {} bytes were not kept ...]\n", output.bytes_dropped);
        let (head, tail) = split(body, output.head_len);
        Ok(OutputReader { source: Box::new(head.chain(io::Cursor::new(note)).chain(tail)) })
    }

    /// The pieces of a stream from an offset of the whole stream on, read as they are asked for.
    pub fn pieces(&self, stream: Stream, output: &Output, from: u64) -> Result<OutputPieces, Error> {
        let mut body = self.read_output(output, false)?.source;
        let path = self.place().out_dir;
        let gap_to = output.head_len + output.bytes_dropped;
        let skip = from.min(output.head_len);
        io::copy(&mut body.by_ref().take(skip), &mut io::sink()).map_err(|source| Error::File {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        let gap = gap_to.saturating_sub(from.max(output.head_len));
        let head = output.head_len - skip;
        Ok(OutputPieces { stream, body, path, head, gap, skip: from.saturating_sub(gap_to) })
    }

    /// How many bytes an output file is shorter than what was kept.
    pub fn output_shortfall(&self, output: &Output) -> u64 {
        let OutputBody::File { name, len } = &output.body else { return 0 };
        fs::metadata(self.place().out_dir.join(name)).map_or(0, |found| len.saturating_sub(found.len()))
    }

    pub(crate) fn remove_outputs(&self, files: &[String]) -> RemovedFiles {
        remove_outputs(&self.place().out_dir, files)
    }
}

impl Read for OutputReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

/// A reader of the first `at` bytes and one of the rest; the first must be read to its end before the second.
fn split(body: Box<dyn Read + Send>, at: u64) -> (impl Read + Send, impl Read + Send) {
    let shared = std::sync::Arc::new(std::sync::Mutex::new(body));
    (Shared(shared.clone()).take(at), Shared(shared))
}

struct Shared(std::sync::Arc<std::sync::Mutex<Box<dyn Read + Send>>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while reading").read(buffer)
    }
}

/// Unlinks output files that nothing names any more. One that is gone already is no error.
pub(crate) fn remove_outputs(out_dir: &Path, files: &[String]) -> RemovedFiles {
    let mut removed = 0;
    for name in files {
        match fs::remove_file(out_dir.join(name)) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(file = name, %error, "cannot remove an output file"),
        }
    }
    RemovedFiles(removed)
}
