//! What a job prints: counted in full, kept and hashed up to a bound.
//!
//! `output_max` caps both streams together. A quarter of it belongs to each stream alone; the other half goes to
//! whichever asks first. Once a stream has used up its share, its first half stays and the second becomes a ring over
//! the latest bytes; what falls out of the ring is dropped and counted. At the end the ring is put in order, so that
//! the body is head and tail, with the gap at `head_len`.
//!
//! A full or broken disk never stops a job: what cannot be kept is dropped and counted.

mod kept;
mod place;
mod rotate;
mod tail;

pub(crate) use kept::{Kept, Piece};
pub(crate) use place::OutputDir;

use crate::protocol::{Body, Captured, ClaimKey, Stream};
use queuectl_core::limits::{OUTPUT_INLINE_BYTES_MAX, OUTPUT_ROTATE_BYTES_PER_TURN};
use queuectl_points::point;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// Hashed at once, in bytes.
const HASH_BYTES: usize = 256 * 1024;

/// What the two streams of an attempt may still take of the half that they share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    left: u64,
}

impl Shared {
    fn take(&mut self, wanted: u64) -> u64 {
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }
}

/// The output of one attempt.
pub(crate) struct Output {
    pub stdout: Capture,
    pub stderr: Capture,
    shared: Shared,
}

impl Output {
    pub(crate) fn new(claim: ClaimKey, output_max: u64, dir: &Rc<OutputDir>) -> Output {
        let own = output_max / 4;
        let capture = |stream| Capture::new(own, file_name(claim, stream), dir);
        Output {
            stdout: capture(Stream::Stdout),
            stderr: capture(Stream::Stderr),
            shared: Shared { left: output_max - 2 * own },
        }
    }

    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.stdout.push(bytes, &mut self.shared),
            Stream::Stderr => self.stderr.push(bytes, &mut self.shared),
        }
    }

    pub(crate) fn of(&self, stream: Stream) -> &Capture {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// Puts the files in order, a bounded piece at a time. True when done.
    pub(crate) fn finish_step(&mut self) -> bool {
        self.stdout.finish_step(OUTPUT_ROTATE_BYTES_PER_TURN)
            && self.stderr.finish_step(OUTPUT_ROTATE_BYTES_PER_TURN)
    }
}

fn file_name(claim: ClaimKey, stream: Stream) -> String {
    let ending = match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    };
    format!("{claim}.{ending}")
}

/// One stream.
pub(crate) struct Capture {
    /// Over the first `hashed` bytes of what is kept. It goes along with what comes until the first byte is dropped; then it
    /// begins anew at the end, for most of a flood is never kept.
    hash: Sha256,
    hashed: u64,
    kept: Kept,
}

impl Capture {
    fn new(own: u64, name: String, dir: &Rc<OutputDir>) -> Capture {
        Capture { hash: Sha256::new(), hashed: 0, kept: Kept::new(own, name, dir) }
    }

    fn push(&mut self, bytes: &[u8], shared: &mut Shared) {
        self.kept.push(bytes, shared);
        if !self.is_flooded() {
            self.hash.update(bytes);
            self.hashed += bytes.len() as u64;
        } else if self.hashed > 0 {
            (self.hash, self.hashed) = (Sha256::new(), 0);
        }
    }

    /// Whether more has come than is kept.
    pub(crate) fn is_flooded(&self) -> bool {
        self.kept.total() > self.kept.len()
    }

    /// Puts what was kept in order and then hashes what is not hashed yet, a bounded piece at a time. True when done.
    fn finish_step(&mut self, bytes_max: u64) -> bool {
        if !self.kept.order_step(bytes_max) {
            return false;
        }
        let until = self.kept.len().min(self.hashed + bytes_max);
        while self.hashed < until {
            let len = HASH_BYTES.min((until - self.hashed) as usize);
            let Ok(bytes) = self.kept.body_piece(self.hashed, len) else {
                // What cannot be read again is not kept.
                self.kept.give_up(0);
                (self.hash, self.hashed) = (Sha256::new(), 0);
                break;
            };
            self.hash.update(bytes);
            self.hashed += len as u64;
        }
        let done = self.hashed == self.kept.len();
        if done {
            self.kept.close();
        }
        done
    }

    /// What there is from an offset of the whole stream on, at most `limit` bytes of it.
    pub(crate) fn read(&self, from: u64, limit: usize) -> Piece {
        self.kept.read(from, limit)
    }

    /// What was kept, for the record. Only after `finish_step` has said that it is in order.
    pub(crate) fn captured(&self) -> Captured {
        Captured {
            bytes_total: self.kept.total(),
            bytes_dropped: self.kept.total() - self.kept.len(),
            head_len: self.kept.head_len(),
            sha256: self.hash.clone().finalize().into(),
            body: self.kept.body(),
        }
    }
}

/// What is captured of a stream to which nothing was written.
pub(crate) fn captured_nothing() -> Captured {
    Captured { sha256: Sha256::digest([]).into(), ..Captured::default() }
}

/// What is kept of bytes that nobody has to be asked for: the beginning, if they are more than is kept in memory.
pub fn captured(mut bytes: Vec<u8>) -> Captured {
    let total = bytes.len();
    bytes.truncate(OUTPUT_INLINE_BYTES_MAX);
    Captured {
        bytes_total: total as u64,
        bytes_dropped: (total - bytes.len()) as u64,
        head_len: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).into(),
        body: Body::Inline(bytes),
    }
}

/// True if an output file is what was kept.
pub fn is_as_kept(file: &Path, len: u64, sha256: &[u8]) -> io::Result<bool> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() != len {
        return Ok(false);
    }
    let (mut hash, mut piece) = (Sha256::new(), vec![0; HASH_BYTES]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize()[..] == *sha256),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Makes what was kept durable: the file, if there is one, and its name.
///
/// The keeper does not; whoever records the outcome in the store calls this first.
pub fn sync_output(out_dir: &Path, captured: &Captured) -> io::Result<()> {
    let Body::File { name, .. } = &captured.body else { return Ok(()) };
    point!("output.sync.before");
    File::open(out_dir.join(name))?.sync_all()?;
    File::open(out_dir)?.sync_all()?;
    point!("output.sync.after");
    Ok(())
}

/// The last bytes of what was kept, at most so many.
pub fn output_tail(out_dir: &Path, captured: &Captured, bytes_max: usize) -> io::Result<Vec<u8>> {
    match &captured.body {
        Body::Inline(bytes) => Ok(bytes[bytes.len().saturating_sub(bytes_max)..].to_vec()),
        Body::File { name, len } => {
            let from = len.saturating_sub(bytes_max as u64);
            let mut tail = vec![0; (len - from) as usize];
            File::open(out_dir.join(name))?.read_exact_at(&mut tail, from)?;
            Ok(tail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLAIM: ClaimKey = ClaimKey { incarnation: 1, number: 2 };

    /// Less than most floods of these tests take.
    const LITTLE_ROOM: usize = 20_000;

    fn finished(dir: &Path, output_max: u64, pieces: &[(Stream, Vec<u8>)]) -> Output {
        finished_in(OutputDir::new(dir.to_owned()), output_max, pieces)
    }

    fn finished_in(dir: OutputDir, output_max: u64, pieces: &[(Stream, Vec<u8>)]) -> Output {
        let mut output = Output::new(CLAIM, output_max, &Rc::new(dir));
        for (stream, bytes) in pieces {
            output.push(*stream, bytes);
        }
        while !output.finish_step() {}
        output
    }

    fn body(dir: &Path, captured: &Captured) -> Vec<u8> {
        match &captured.body {
            Body::Inline(bytes) => bytes.clone(),
            Body::File { name, len } => {
                let bytes = std::fs::read(dir.join(name)).unwrap();
                assert_eq!(bytes.len() as u64, *len);
                bytes
            }
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    }

    /// All that a capture says must agree with what was printed.
    fn check(dir: &Path, captured: &Captured, printed: &[u8]) {
        let body = body(dir, captured);
        let head_len = captured.head_len as usize;
        let tail = &body[head_len..];
        assert_eq!(captured.bytes_total, printed.len() as u64);
        assert_eq!(captured.bytes_dropped, (printed.len() - body.len()) as u64);
        assert_eq!(captured.sha256, <[u8; 32]>::from(Sha256::digest(&body)), "hash of what is kept");
        assert_eq!(body[..head_len], printed[..head_len], "head");
        assert_eq!(tail, &printed[printed.len() - tail.len()..], "tail");
        if captured.bytes_dropped == 0 {
            assert_eq!(captured.head_len, body.len() as u64);
        }
    }

    #[test]
    fn a_small_output_stays_in_memory_and_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let output = finished(dir.path(), 1 << 20, &[(Stream::Stdout, noise(16 * 1024))]);
        check(dir.path(), &output.stdout.captured(), &noise(16 * 1024));
        assert_eq!(output.stderr.captured(), captured_nothing());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_larger_output_goes_to_a_private_file_in_a_directory_made_for_it() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let output = finished(&out, 1 << 20, &[(Stream::Stderr, noise(16 * 1024 + 1))]);
        let captured = output.stderr.captured();
        check(&out, &captured, &noise(16 * 1024 + 1));
        let Body::File { name, .. } = &captured.body else { panic!("a file was expected") };
        assert_eq!(name, "0000000000000001.2.err");
        assert_eq!(std::fs::metadata(out.join(name)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o777, 0o700);
        sync_output(&out, &captured).unwrap();
        let printed = noise(16 * 1024 + 1);
        assert_eq!(output_tail(&out, &captured, 100).unwrap(), printed[printed.len() - 100..]);
        assert_eq!(output_tail(&out, &captured, 1 << 20).unwrap(), printed);
    }

    #[test]
    fn one_stream_alone_gets_three_quarters_and_the_other_still_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = [(Stream::Stdout, noise(1 << 20)), (Stream::Stderr, noise(1 << 20))];
        let output = finished(dir.path(), 400_000, &pieces);
        let (stdout, stderr) = (output.stdout.captured(), output.stderr.captured());
        check(dir.path(), &stdout, &noise(1 << 20));
        check(dir.path(), &stderr, &noise(1 << 20));
        assert_eq!((1 << 20) - stdout.bytes_dropped, 300_000);
        assert_eq!((1 << 20) - stderr.bytes_dropped, 100_000);
        assert_eq!(stdout.head_len, 150_000);
    }

    #[test]
    fn where_no_file_can_be_made_the_beginning_is_kept_and_the_rest_counted() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "not a directory").unwrap();
        let pieces = [(Stream::Stdout, noise(10_000)), (Stream::Stdout, noise(90_000))];
        let output = finished(&blocked, 1 << 20, &pieces);
        let captured = output.stdout.captured();
        assert_eq!(
            (captured.bytes_total, captured.bytes_dropped, captured.head_len),
            (100_000, 90_000, 10_000)
        );
        assert_eq!(captured.body, Body::Inline(noise(10_000)));
    }

    #[test]
    fn a_flood_leaves_its_room_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let out_dir = Rc::new(OutputDir::with_room(dir.path().to_owned(), 80_000));
        let flood = |number| {
            let claim = ClaimKey { number, ..CLAIM };
            let mut output = Output::new(claim, 200_000, &out_dir);
            output.push(Stream::Stdout, &noise(400_000));
            output
        };
        let (mut first, mut second) = (flood(1), flood(2));
        assert!(out_dir.tail(10_000).is_none(), "one has it all");
        for output in [&mut first, &mut second] {
            while !output.finish_step() {}
            check(dir.path(), &output.stdout.captured(), &noise(400_000));
        }
        assert!(out_dir.tail(80_000).is_some(), "all of it is free again");
    }

    fn streams() -> impl Strategy<Value = Stream> {
        prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn however_it_is_cut_head_and_tail_are_what_was_printed(
            output_max in 0_u64..200_000,
            cuts in proptest::collection::vec((streams(), 0_usize..40_000), 0..20),
            room in prop_oneof![Just(LITTLE_ROOM), Just(usize::MAX)],
        ) {
            let dir = tempfile::tempdir().unwrap();
            let all = noise(800_000);
            let (mut at, mut printed) = (0, [Vec::new(), Vec::new()]);
            let pieces: Vec<(Stream, Vec<u8>)> = cuts.into_iter().map(|(stream, len)| {
                let bytes = all[at..at + len].to_vec();
                at += len;
                printed[stream as usize].extend_from_slice(&bytes);
                (stream, bytes)
            }).collect();
            let out_dir = OutputDir::with_room(dir.path().to_owned(), room);
            let output = finished_in(out_dir, output_max, &pieces);
            let kept = [output.stdout.captured(), output.stderr.captured()];
            for (captured, printed) in kept.iter().zip(&printed) {
                check(dir.path(), captured, printed);
            }
            let total = kept.iter().map(|captured| captured.bytes_total - captured.bytes_dropped).sum::<u64>();
            prop_assert!(total <= output_max);
            // Nothing is dropped as long as there is room in the stream's own quarter.
            for captured in &kept {
                let kept = captured.bytes_total - captured.bytes_dropped;
                prop_assert!(captured.bytes_dropped == 0 || kept >= output_max / 4);
            }
        }

        #[test]
        fn a_follower_reads_what_was_printed_or_is_told_of_the_gap(
            output_max in 0_u64..120_000,
            cuts in proptest::collection::vec((0_usize..30_000, 0_usize..30_000), 0..12),
            room in prop_oneof![Just(LITTLE_ROOM), Just(usize::MAX)],
        ) {
            let dir = tempfile::tempdir().unwrap();
            let printed = noise(400_000);
            let out_dir = OutputDir::with_room(dir.path().to_owned(), room);
            let mut output = Output::new(CLAIM, output_max, &Rc::new(out_dir));
            let (mut at, mut next) = (0, 0);
            let follow = |output: &Output, limit: usize, next: &mut u64| {
                match output.stdout.read(*next, limit.max(1)) {
                    Piece::Bytes(bytes) => {
                        let from = *next as usize;
                        assert_eq!(bytes, &printed[from..from + bytes.len()]);
                        *next += bytes.len() as u64;
                        true
                    }
                    Piece::Gap { to } => {
                        assert!(to > *next);
                        *next = to;
                        true
                    }
                    Piece::Nothing => false,
                }
            };
            for (len, limit) in cuts {
                output.push(Stream::Stdout, &printed[at..at + len]);
                at += len;
                follow(&output, limit, &mut next);
            }
            while !output.finish_step() {}
            while follow(&output, 1000, &mut next) {}
            prop_assert_eq!(next, at as u64);
        }
    }
}
