//! The claim: the right to run one job once, and its fencing token.

use std::fmt;
use std::str::FromStr;

/// The environment variable that marks every process of an attempt, so that a sweep finds what is left of it.
pub const CLAIM_MARK: &str = "QUEUECTL_CLAIM";

/// The random identity of one database, redrawn when it is restored or copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// Names one claim for ever: the number comes from a store-wide counter that no delete, reset or retry turns back.
///
/// A settle is accepted only if both parts equal what the job's row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimToken {
    pub incarnation: Incarnation,
    pub number: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.number)
    }
}

/// The text is not `<16 hexadecimal digits>.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a claim: expected <incarnation>.<number>")]
pub struct ParseClaimError;

impl FromStr for ClaimToken {
    type Err = ParseClaimError;

    fn from_str(text: &str) -> Result<ClaimToken, ParseClaimError> {
        let (incarnation, number) = text.split_once('.').ok_or(ParseClaimError)?;
        let incarnation = u64::from_str_radix(incarnation, 16).map_err(|_| ParseClaimError)?;
        let number = number.parse().map_err(|_| ParseClaimError)?;
        let token = ClaimToken { incarnation: Incarnation(incarnation), number };
        // One claim has one spelling: no sign, no capitals, no other number of zeros.
        if token.to_string() == text { Ok(token) } else { Err(ParseClaimError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_back_as_it_is_displayed() {
        let token = ClaimToken { incarnation: Incarnation(0xab), number: 7 };
        assert_eq!(token.to_string(), "00000000000000ab.7");
        assert_eq!("00000000000000ab.7".parse(), Ok(token));
        assert_eq!("ab.7".parse::<ClaimToken>(), Err(ParseClaimError));
    }
}
