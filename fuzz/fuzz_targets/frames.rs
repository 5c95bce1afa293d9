//! `cargo +nightly fuzz run frames`: see `feed::frames`.
#![no_main]

#[path = "../feed.rs"]
#[expect(dead_code, reason = "each target feeds one")]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::frames(bytes));
