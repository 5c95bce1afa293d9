//! `cargo +nightly fuzz run spool_file`: see `feed::spool_file`.
#![no_main]

#[path = "../feed.rs"]
#[expect(dead_code, reason = "each target feeds one")]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::spool_file(bytes));
