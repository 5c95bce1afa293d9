//! The claim's spelling, which marks processes: one text for one claim.

use proptest::prelude::*;
use queuectl_core::claim::{ClaimToken, Incarnation};

proptest! {
    #[test]
    fn a_claim_reads_back_as_it_is_displayed(incarnation: u64, number: u64) {
        let token = ClaimToken { incarnation: Incarnation(incarnation), number };
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn only_the_displayed_text_reads_as_a_claim(text in "[+0-9a-fA-F]{15,17}\\.[+]?[0-9]{1,3}") {
        if let Ok(token) = text.parse::<ClaimToken>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }
}

#[test]
fn what_is_no_claim_is_refused() {
    for bad in [
        "",
        ".",
        "0",
        "00000000000000ab",
        "00000000000000ab.",
        "ab.7",
        "00000000000000ab.-1",
        "00000000000000ab.+7",
        "+0000000000000ab.7",
        "00000000000000AB.7",
        "00000000000000ab.07",
        "00000000000000ab.18446744073709551616",
    ] {
        assert!(bad.parse::<ClaimToken>().is_err(), "{bad}");
    }
}
