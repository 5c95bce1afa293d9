//! How requests are read, laid over one another and made into jobs, by example.

mod into_job;
mod json;
mod many;
mod merge;

use super::{JobRequest, RequestError};

/// The request that a JSON object asks for.
fn request(json: &str) -> JobRequest {
    JobRequest::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}")).request
}

/// Why a JSON object is refused.
fn refusal(json: &str) -> RequestError {
    JobRequest::from_json(json).expect_err(json)
}

/// Holds that each text is refused with a message that has these words.
fn assert_refused(cases: &[(&str, &str)]) {
    for (json, words) in cases {
        let message = refusal(json).to_string();
        assert!(message.contains(words), "{json}\n  was refused with: {message}\n  expected: {words}");
        assert!(message.starts_with(|c: char| !c.is_uppercase()) && !message.ends_with('.'), "{message}");
    }
}
