//! Frames: a little-endian `u32` length and a postcard body. No IO here, so that an async worker can use it as well.

use queuectl_core::limits::FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

const LENGTH_BYTES: usize = 4;

/// The other side broke the protocol; the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a frame of {len} bytes is longer than the {FRAME_BYTES_MAX} that are allowed")]
    TooLong { len: usize },
    #[error("a frame does not hold the expected message")]
    Malformed(#[from] postcard::Error),
}

/// Encodes one message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut frame = postcard::to_extend(message, vec![0; LENGTH_BYTES])?;
    let len = frame.len() - LENGTH_BYTES;
    if len > FRAME_BYTES_MAX {
        return Err(WireError::TooLong { len });
    }
    frame[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(frame)
}

/// Takes bytes as they come and gives whole messages.
///
/// Holds at most one unfinished frame and what was pushed after it, provided that the caller pops until `None` after
/// each push.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl FrameDecoder {
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more bytes have come.
    pub fn pop<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let rest = &self.bytes[self.taken..];
        let Some((length, body)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*length) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(WireError::TooLong { len });
        }
        let Some(body) = body.get(..len) else { return Ok(None) };
        let message = postcard::from_bytes(body)?;
        self.taken += LENGTH_BYTES + len;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ClaimKey, Event, Request, Stream};

    fn messages() -> Vec<Request> {
        let claim = ClaimKey { incarnation: 7, number: 300 };
        vec![
            Request::Hello { version: 1 },
            Request::Settled { claims: vec![claim; 40] },
            Request::Follow { claim, stdout_from: 0, stderr_from: u64::MAX },
            Request::Leave,
        ]
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = messages().iter().flat_map(|m| encode(m).unwrap()).collect();
        for cut in 1..bytes.len() {
            let mut decoder = FrameDecoder::new();
            let mut got: Vec<Request> = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.pop().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages(), "cut every {cut} bytes");
        }
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_on_both_sides() {
        let claim = ClaimKey { incarnation: 0, number: 0 };
        let bytes = vec![0; FRAME_BYTES_MAX + 1];
        let event = Event::Chunk { claim, stream: Stream::Stdout, from: 0, bytes };
        assert!(matches!(encode(&event), Err(WireError::TooLong { .. })));
        let mut decoder = FrameDecoder::new();
        decoder.push(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.pop::<Event>(), Err(WireError::TooLong { len: u32::MAX as usize }));
    }

    #[test]
    fn bytes_of_no_message_are_an_error() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&[1, 0, 0, 0, 200]);
        assert!(matches!(decoder.pop::<Request>(), Err(WireError::Malformed(_))));
    }
}
