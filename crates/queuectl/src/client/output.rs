//! What jobs printed: read from the store or its output files, and removed with the jobs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use queuectl_core::outcome::{Output, OutputBody, Stream};
use tracing::warn;

use super::{Client, Piece};
use crate::error::Error;

/// Reads the kept bytes of one stream, with a line in place of what was dropped.
pub struct OutputReader {
    source: Box<dyn Read + Send>,
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

    /// The pieces of a stream from an offset of the whole stream on.
    pub(crate) fn rest_of(&self, stream: Stream, output: &Output, from: u64) -> Result<Vec<Piece>, Error> {
        let mut body = self.read_output(output, false)?.source;
        let gap_to = output.head_len + output.bytes_dropped;
        let mut pieces = Vec::new();
        let mut read = |skip: u64, len: Option<u64>, pieces: &mut Vec<Piece>| -> io::Result<()> {
            io::copy(&mut body.by_ref().take(skip), &mut io::sink())?;
            let mut bytes = Vec::new();
            match len {
                Some(len) => body.by_ref().take(len).read_to_end(&mut bytes)?,
                None => body.read_to_end(&mut bytes)?,
            };
            if !bytes.is_empty() {
                pieces.push(Piece::Bytes(stream, bytes));
            }
            Ok(())
        };
        let skip = from.min(output.head_len);
        let mut all = || -> io::Result<()> {
            read(skip, Some(output.head_len - skip), &mut pieces)?;
            if output.bytes_dropped > 0 && from < gap_to {
                pieces.push(Piece::Gap(stream, gap_to - from.max(output.head_len)));
            }
            read(from.saturating_sub(gap_to), None, &mut pieces)
        };
        all().map_err(|source| Error::File { doing: "read", path: self.place().out_dir, source })?;
        Ok(pieces)
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
