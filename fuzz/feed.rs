//! What is fed with bytes of strangers, and what must hold whatever they are. The fuzz targets and an ordinary test of the
//! library (`crates/queuectl/tests/library/feed.rs`) share it.

use queuectl::request::parse_many;
use queuectl::{JobRequest, Selector};
use queuectl_core::duration::{format_duration, parse_duration};
use queuectl_exec::protocol::{Event, Request};
use queuectl_exec::spool::{self, SpoolEnding};
use queuectl_exec::wire::{FrameDecoder, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Job JSON: refused or read, alone as among many.
pub fn job_json(bytes: &[u8]) {
    let many = parse_many(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(one) = JobRequest::from_json(text) else { return };
    let many = many.expect("what is read alone is read among many");
    assert_eq!(many, [one]);
}

/// A duration that is read can be written and is read as the same.
pub fn duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(duration) = parse_duration(text) else { return };
    let written = format_duration(duration);
    assert_eq!(parse_duration(&written), Ok(duration), "{text:?} is written {written:?}");
}

/// Frames of both directions, in whatever pieces they come.
pub fn frames(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    one_direction::<Request>(bytes, piece);
    one_direction::<Event>(bytes, piece);
}

fn one_direction<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8], piece: usize) {
    let pop = |pieces: usize| {
        let (mut decoder, mut found) = (FrameDecoder::new(), Vec::new());
        for piece in bytes.chunks(pieces) {
            decoder.push(piece);
            loop {
                match decoder.pop::<T>() {
                    Ok(Some(message)) => found.push(message),
                    Ok(None) => break,
                    Err(_) => return found,
                }
            }
        }
        found
    };
    let found = pop(piece);
    assert_eq!(found, pop(bytes.len().max(1)), "it depends on the pieces");
    for message in found {
        let frame = encode(&message).expect("it came in a frame");
        let mut decoder = FrameDecoder::new();
        decoder.push(&frame);
        assert_eq!(decoder.pop::<T>(), Ok(Some(message)));
    }
}

/// A spool: what is read of it can be written, and is read as the same.
pub fn spool_file(bytes: &[u8]) {
    let read = spool::decode(bytes);
    let written: Vec<u8> =
        read.records.iter().flat_map(|record| spool::encode(record).expect("it was in a spool")).collect();
    let again = spool::decode(&written);
    assert_eq!((again.records, again.ending), (read.records, SpoolEnding::Whole));
}

/// A selector is `all`, some of the last, or an id as it was given.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Selector::parse(text) {
        Ok(Selector::All) => assert_eq!(text, "all"),
        Ok(Selector::Last(count)) => assert!(count > 0 && text.starts_with("last"), "{text:?}"),
        Ok(Selector::Id(id)) => assert_eq!(id, text),
        Err(_) => assert!(text.starts_with("last:"), "{text:?}"),
    }
}
