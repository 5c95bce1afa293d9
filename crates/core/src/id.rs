//! Job ids: given by the user, or generated in the order of time.

use std::fmt;

use crate::limits::{GENERATED_ID_CHARS, JOB_ID_CHARS_MAX};
use crate::time::Timestamp;

/// A checked job id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(String);

/// Why a text is not a job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobIdError {
    #[error("an id is 1 to {JOB_ID_CHARS_MAX} characters long, this one has {0}")]
    Length(usize),
    #[error("id `{0}` has a blank or an unprintable character")]
    Unprintable(String),
    #[error("id `{0}` would read as a selector (`all`, `last`, `last:N` are reserved)")]
    Reserved(String),
    #[error("id `{0}` begins with `-` or `@`, which would read as an option or a file")]
    Prefix(String),
}

impl JobId {
    /// Checks an id that a user gives to a new job.
    pub fn new(id: impl Into<String>) -> Result<JobId, JobIdError> {
        let id = id.into();
        let length = id.chars().count();
        if length == 0 || length > JOB_ID_CHARS_MAX {
            return Err(JobIdError::Length(length));
        }
        if id.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
            return Err(JobIdError::Unprintable(id.escape_debug().to_string()));
        }
        if id == "all" || id == "last" || id.starts_with("last:") {
            return Err(JobIdError::Reserved(id));
        }
        if id.starts_with(['-', '@']) {
            return Err(JobIdError::Prefix(id));
        }
        Ok(JobId(id))
    }

    /// Takes an id as a store holds it, unchecked.
    pub fn from_store(id: String) -> JobId {
        JobId(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What shows as nothing, or as a box: formatting, joiners, fillers, selectors, private use, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
        | '\u{e0000}'..='\u{10ffff}')
}

/// Digits without `i l o u`, so that ids survive being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TIME_BITS: u32 = 45;
const RANDOM_BITS: u32 = 35;

/// Makes ids of 16 characters: 45 bits of milliseconds (until the year 3084), then 35 random ones.
///
/// Ids of one generator rise strictly. Ids of two generators in the same millisecond collide once in 3.4e10 draws;
/// the store refuses the second, and the library draws again.
#[derive(Debug, Default)]
pub struct IdGenerator {
    last: u128,
}

impl IdGenerator {
    /// The next id. `random` must be fresh.
    pub fn next_id(&mut self, now: Timestamp, random: u64) -> JobId {
        let millis = (now.millis().max(0) as u128) & ((1 << TIME_BITS) - 1);
        let random = u128::from(random) & ((1 << RANDOM_BITS) - 1);
        let drawn = millis << RANDOM_BITS | random;
        // Within one millisecond, and when the clock steps back, count up: the order of calls is the order of ids.
        let same_or_behind = drawn >> RANDOM_BITS <= self.last >> RANDOM_BITS;
        self.last = if same_or_behind { self.last + 1 + (random & 0xff) } else { drawn };
        JobId(encode(self.last))
    }
}

fn encode(value: u128) -> String {
    (0..GENERATED_ID_CHARS)
        .rev()
        .map(|place| char::from(ALPHABET[(value >> (5 * place)) as usize & 31]))
        .collect()
}
