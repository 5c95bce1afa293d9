//! `cargo +nightly fuzz run selector`: see `feed::selector`.
#![no_main]

#[path = "../feed.rs"]
#[expect(dead_code, reason = "each target feeds one")]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::selector(bytes));
