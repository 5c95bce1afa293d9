//! Tests of `request::merge`.

use super::request;

#[test]
fn what_is_laid_over_wins() {
    let cases = [
        (r#"{"id": "a", "priority": 1}"#, r#"{"id": "b"}"#, r#"{"id": "b", "priority": 1}"#),
        (r#"{"timeout": 5}"#, r"{}", r#"{"timeout": 5}"#),
        (r"{}", r#"{"at_most_once": false}"#, r#"{"at_most_once": false}"#),
        (r#"{"at_most_once": true}"#, r#"{"at_most_once": false}"#, r#"{"at_most_once": false}"#),
        // A command takes the place of arguments, and the other way round.
        (r#"{"command": "a"}"#, r#"{"args": ["b"]}"#, r#"{"args": ["b"]}"#),
        (r#"{"args": ["b"]}"#, r#"{"command": "a"}"#, r#"{"command": "a"}"#),
        (r#"{"args": ["b"]}"#, r"{}", r#"{"args": ["b"]}"#),
        // So do the two ways to be due later.
        (r#"{"run_at": "+5m"}"#, r#"{"delay": 5}"#, r#"{"delay": 5}"#),
        (r#"{"delay": 5}"#, r#"{"run_at": "+5m"}"#, r#"{"run_at": "+5m"}"#),
        // Maps add up by key.
        (
            r#"{"tags": {"a": "1", "b": "1"}, "env": {"X": "1"}, "pass": ["P"]}"#,
            r#"{"tags": {"b": "2"}, "env": {"X": "2", "Y": "2"}, "pass": ["Q"]}"#,
            r#"{"tags": {"a": "1", "b": "2"}, "env": {"X": "2", "Y": "2"}, "pass": ["P", "Q"]}"#,
        ),
    ];
    for (under, over, expected) in cases {
        assert_eq!(request(under).merge(request(over)), request(expected), "{under} + {over}");
    }
}

#[test]
fn every_field_survives_a_merge() {
    let full = request(
        r#"{"id": "a", "command": "c", "queue": "q", "priority": 1, "max_retries": 1, "timeout": 1, "delay": 1,
            "backoff": "fixed", "backoff_base": 3, "backoff_max": 1, "backoff_jitter": true, "no_retry_on": [1],
            "ok_codes": [2], "at_most_once": true, "leftovers": "keep", "tags": {"a": "b"}, "env": {"A": "b"},
            "pass": ["P"], "dir": "/d", "stdin": "s", "kill_grace": 1, "output_max": "1M", "crash_limit": 1}"#,
    );
    assert_eq!(full.clone().merge(request("{}")), full);
    assert_eq!(request("{}").merge(full.clone()), full);
}
