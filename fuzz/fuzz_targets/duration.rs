//! `cargo +nightly fuzz run duration`: see `feed::duration`.
#![no_main]

#[path = "../feed.rs"]
#[expect(dead_code, reason = "each target feeds one")]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::duration(bytes));
