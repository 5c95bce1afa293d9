//! The spool: what a keeper's attempts have come to, in the order in which it became true.
//!
//! One append-only file of records: `u32` length of what follows, format version, CRC-32 of the body, postcard body
//! (all little-endian). The keeper writes; whoever finds it dead reads. The format is frozen: enums grow at their end, and
//! so do bodies, for whoever does not know what follows there does not read it.
//!
//! The end may be torn, by a crash in the middle of a write; what is before it counts. Damage anywhere else is
//! reported, never skipped.

use crate::cgroup::CgroupName;
use crate::protocol::{ClaimKey, ExitRecord};
use queuectl_core::limits::SPOOL_RECORD_BYTES_MAX;
use serde::{Deserialize, Serialize};

const FORMAT_VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;
/// Version and checksum.
const HEAD_BYTES: usize = 1 + 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SpoolRecord {
    /// The attempt is about to be started: from here on it may have run.
    Intent {
        claim: ClaimKey,
        /// The control group that it is to run in; behind the rest of the body if there is one.
        #[serde(skip)]
        cgroup: Option<CgroupName>,
    },
    Started(StartedRecord),
    Exit(ExitRecord),
    /// The store has the outcome.
    Settled {
        claim: ClaimKey,
    },
}

/// Names the process of an attempt for ever, and where what it started is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedRecord {
    pub claim: ClaimKey,
    pub pid: i32,
    /// Clock ticks from boot to its start (field 22 of `/proc/<pid>/stat`); 0 if it was gone too soon to tell.
    pub start_ticks: u64,
    pub boot_id: String,
    pub pid_namespace: u64,
    pub group: i32,
    /// The keeper's.
    pub session: i32,
    /// Boot-time clock, in milliseconds.
    pub at_ms: u64,
}

impl SpoolRecord {
    pub fn claim(&self) -> ClaimKey {
        match self {
            SpoolRecord::Intent { claim, .. } | SpoolRecord::Settled { claim } => *claim,
            SpoolRecord::Started(started) => started.claim,
            SpoolRecord::Exit(exit) => exit.claim,
        }
    }
}

/// The bytes of one record.
pub fn encode(record: &SpoolRecord) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = postcard::to_extend(record, vec![0; LENGTH_BYTES + HEAD_BYTES])?;
    if let SpoolRecord::Intent { cgroup: Some(cgroup), .. } = record {
        bytes = postcard::to_extend(cgroup, bytes)?;
    }
    let len = bytes.len() - LENGTH_BYTES;
    if len > SPOOL_RECORD_BYTES_MAX {
        return Err(postcard::Error::SerializeBufferFull);
    }
    let crc = crc32fast::hash(&bytes[LENGTH_BYTES + HEAD_BYTES..]);
    bytes[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
    bytes[LENGTH_BYTES] = FORMAT_VERSION;
    bytes[LENGTH_BYTES + 1..LENGTH_BYTES + HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// What a spool file says.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolContents {
    /// In the order of writing, up to the end or the damage.
    pub records: Vec<SpoolRecord>,
    pub ending: SpoolEnding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolEnding {
    Whole,
    /// The last record is incomplete: its step had not been taken.
    Torn,
    /// Something is wrong at this offset, and it is not the end.
    Damaged(SpoolDamage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpoolDamage {
    #[error("the spool is damaged at byte {offset}")]
    Bytes { offset: u64 },
    #[error("the spool holds a record of the unknown format {version} at byte {offset}")]
    Version { version: u8, offset: u64 },
}

/// Reads a whole spool file.
pub fn decode(bytes: &[u8]) -> SpoolContents {
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        match decode_one(&bytes[offset..]) {
            Ok((record, len)) => {
                records.push(record);
                offset += len;
            }
            Err(Fault::Version(version)) => {
                let damage = SpoolDamage::Version { version, offset: offset as u64 };
                return SpoolContents { records, ending: SpoolEnding::Damaged(damage) };
            }
            Err(fault) => {
                let torn = is_torn(&fault, &bytes[offset..]);
                let damage = SpoolDamage::Bytes { offset: offset as u64 };
                let ending = if torn { SpoolEnding::Torn } else { SpoolEnding::Damaged(damage) };
                return SpoolContents { records, ending };
            }
        }
    }
    SpoolContents { records, ending: SpoolEnding::Whole }
}

enum Fault {
    /// There are fewer bytes than the length says.
    Short,
    Checksum {
        len: usize,
    },
    Length,
    Body,
    Version(u8),
}

fn decode_one(bytes: &[u8]) -> Result<(SpoolRecord, usize), Fault> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(Fault::Short)?;
    let len = u32::from_le_bytes(*length) as usize;
    if !(HEAD_BYTES..=SPOOL_RECORD_BYTES_MAX).contains(&len) {
        return Err(Fault::Length);
    }
    let rest = rest.get(..len).ok_or(Fault::Short)?;
    let (head, body) = rest.split_at(HEAD_BYTES);
    if crc32fast::hash(body).to_le_bytes() != head[1..] {
        return Err(Fault::Checksum { len: LENGTH_BYTES + len });
    }
    if head[0] != FORMAT_VERSION {
        return Err(Fault::Version(head[0]));
    }
    let (mut record, more) = postcard::take_from_bytes(body).map_err(|_| Fault::Body)?;
    if let SpoolRecord::Intent { cgroup, .. } = &mut record {
        *cgroup = postcard::from_bytes(more).ok();
    }
    Ok((record, LENGTH_BYTES + len))
}

/// Whether a fault is what a crash leaves at the end of a file: a record cut short, or space that was never filled.
/// It is not if a good record follows.
fn is_torn(fault: &Fault, rest: &[u8]) -> bool {
    let looks_torn = match fault {
        Fault::Short => true,
        Fault::Checksum { len } => *len == rest.len() || rest.iter().all(|&byte| byte == 0),
        Fault::Length => rest.iter().all(|&byte| byte == 0),
        Fault::Body | Fault::Version(_) => false,
    };
    looks_torn && !(1..rest.len()).any(|offset| decode_one(&rest[offset..]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Body, Captured, End, Usage};

    fn claim(number: u64) -> ClaimKey {
        ClaimKey { incarnation: 3, number }
    }

    fn records() -> Vec<SpoolRecord> {
        let stdout = Captured { bytes_total: 300, body: Body::Inline(vec![0; 300]), ..Captured::default() };
        let exit = ExitRecord {
            claim: claim(1),
            end: End::Exited { code: 0 },
            started_ms: Some(5),
            ended_ms: 6,
            usage: Usage::default(),
            stdout,
            stderr: Captured::default(),
            leftovers_killed: 0,
        };
        let started = StartedRecord {
            claim: claim(1),
            pid: 10,
            start_ticks: 99,
            boot_id: "boot".to_owned(),
            pid_namespace: 4,
            group: 10,
            session: 2,
            at_ms: 5,
        };
        vec![
            SpoolRecord::Intent { claim: claim(1), cgroup: None },
            SpoolRecord::Started(started),
            SpoolRecord::Exit(exit),
            SpoolRecord::Settled { claim: claim(1) },
        ]
    }

    fn bytes_and_ends() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for record in records() {
            bytes.extend(encode(&record).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_spool_cut_anywhere_gives_the_records_before_the_cut() {
        let (bytes, ends) = bytes_and_ends();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|&&end| end != 0 && end <= cut).count();
            let contents = decode(&bytes[..cut]);
            assert_eq!(contents.records, records()[..whole], "cut at {cut}");
            let ending = if ends.contains(&cut) { SpoolEnding::Whole } else { SpoolEnding::Torn };
            assert_eq!(contents.ending, ending, "cut at {cut}");
        }
    }

    #[test]
    fn an_unfilled_end_is_torn() {
        let (mut bytes, _) = bytes_and_ends();
        bytes.extend([0; 100]);
        assert_eq!(decode(&bytes).ending, SpoolEnding::Torn);
        assert_eq!(decode(&bytes).records, records());
    }

    #[test]
    fn a_changed_byte_before_the_last_record_is_damage() {
        let (bytes, ends) = bytes_and_ends();
        for at in 0..ends[3] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x15;
            let contents = decode(&bytes);
            let before = ends.iter().rposition(|&end| end <= at).unwrap();
            assert!(matches!(contents.ending, SpoolEnding::Damaged(_)), "byte {at}: {:?}", contents.ending);
            assert_eq!(contents.records, records()[..before], "byte {at}");
        }
    }
    #[test]
    fn a_reader_who_knows_no_control_groups_reads_the_rest() {
        /// As it was.
        #[derive(Debug, PartialEq, Deserialize)]
        enum Known {
            Intent { claim: ClaimKey },
        }
        let cgroup = CgroupName { path: "/sys/fs/cgroup/q/slot-1".to_owned(), number: 77 };
        let named = SpoolRecord::Intent { claim: claim(1), cgroup: Some(cgroup) };
        let bytes = encode(&named).unwrap();
        assert_eq!(decode(&bytes).records, [named]);
        let body = &bytes[LENGTH_BYTES + HEAD_BYTES..];
        assert_eq!(postcard::from_bytes::<Known>(body).unwrap(), Known::Intent { claim: claim(1) });
        let plain = SpoolRecord::Intent { claim: claim(1), cgroup: None };
        assert_eq!(decode(&encode(&plain).unwrap()).records, [plain]);
    }
}
