//! `cargo +nightly fuzz run job_json`: see `feed::job_json`.
#![no_main]

#[path = "../feed.rs"]
#[expect(dead_code, reason = "each target feeds one")]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::job_json(bytes));
