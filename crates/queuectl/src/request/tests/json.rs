//! Tests of `request::json`.

use std::time::Duration;

use queuectl_core::job::Leftovers;
use queuectl_core::retry::Backoff;

use super::super::{FIELDS, JobRequest, RequestError};
use super::{assert_refused, refusal, request};

#[test]
fn every_field_is_read() {
    let json = r#"{"id": "job1", "command": "sleep 2", "queue": "mail", "priority": -5, "max_retries": 4,
        "timeout": 90, "run_at": "2026-01-02T03:04:05Z", "backoff": "linear", "backoff_base": 1.5,
        "backoff_max": "2h30m", "backoff_jitter": true, "no_retry_on": [2, 3], "ok_codes": "1,5-6",
        "at_most_once": true, "leftovers": "keep", "tags": {"team": "red", "n": 7, "hot": true},
        "env": {"A": "b"}, "pass": ["HOME"], "dir": "/srv", "stdin": "in.txt", "kill_grace": "500ms",
        "output_max": "16M", "crash_limit": 9}"#;
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = JobRequest {
        id: Some("job1".to_owned()),
        command: Some("sleep 2".to_owned()),
        args: None,
        queue: Some("mail".to_owned()),
        priority: Some(-5),
        max_retries: Some(4),
        timeout: Some(Duration::from_secs(90)),
        run_at: Some("2026-01-02T03:04:05Z".to_owned()),
        delay: None,
        backoff: Some(Backoff::Linear),
        backoff_base: Some(1.5),
        backoff_max: Some(Duration::from_mins(150)),
        backoff_jitter: Some(true),
        no_retry_on: Some(vec![2, 3]),
        ok_codes: Some(vec![1, 5, 6]),
        at_most_once: Some(true),
        leftovers: Some(Leftovers::Keep),
        tags: [tag("team", "red"), tag("n", "7"), tag("hot", "true")].into(),
        env: [(b"A".to_vec(), b"b".to_vec())].into(),
        pass: vec!["HOME".to_owned()],
        dir: Some(b"/srv".to_vec()),
        stdin: Some(b"in.txt".to_vec()),
        kill_grace: Some(Duration::from_millis(500)),
        output_max: Some(16 << 20),
        crash_limit: Some(9),
    };
    assert_eq!(request(json), expected);
    assert_eq!(
        request(r#"{"args": ["echo", "a b", ""]}"#).args,
        Some(vec![b"echo".to_vec(), b"a b".to_vec(), vec![]])
    );
    assert_eq!(request(r#"{"delay": "5m"}"#).delay, Some(Duration::from_mins(5)));
}

#[test]
fn every_field_takes_null_for_unsaid() {
    for field in FIELDS {
        assert_eq!(request(&format!(r#"{{"{field}": null}}"#)), JobRequest::default(), "{field}");
    }
}

#[test]
fn a_field_has_several_spellings() {
    for spelling in ["max_retries", "maxRetries", "max-retries", "MaxRetries"] {
        assert_eq!(request(&format!(r#"{{"{spelling}": 7}}"#)).max_retries, Some(7), "{spelling}");
    }
    for spelling in ["run_at", "runAt", "run-at"] {
        assert_eq!(
            request(&format!(r#"{{"{spelling}": "+5m"}}"#)).run_at.as_deref(),
            Some("+5m"),
            "{spelling}"
        );
    }
    for spelling in ["timeout", "timeout_seconds", "timeoutSeconds", "timeout-seconds"] {
        let read = request(&format!(r#"{{"{spelling}": 2.5}}"#)).timeout;
        assert_eq!(read, Some(Duration::from_millis(2500)), "{spelling}");
    }
}

#[test]
fn values_have_several_forms() {
    let durations =
        [("90", 90_000), ("\"90\"", 90_000), ("\"500ms\"", 500), ("0", 0), ("0.0005", 1), ("1e1", 10_000)];
    for (json, millis) in durations {
        let read = request(&format!(r#"{{"delay": {json}}}"#)).delay;
        assert_eq!(read, Some(Duration::from_millis(millis)), "{json}");
    }
    assert_eq!(request(r#"{"timeout": "none"}"#).timeout, Some(Duration::ZERO));
    assert_eq!(request(r#"{"priority": 3.0}"#).priority, Some(3));
    assert_eq!(request(r#"{"run_at": 1767323045.5}"#).run_at.as_deref(), Some("1767323045.5"));
    assert_eq!(request(r#"{"ok_codes": 3}"#).ok_codes, Some(vec![3]));
    assert_eq!(request(r#"{"ok_codes": []}"#).ok_codes, Some(vec![]));
    assert_eq!(request(r#"{"output_max": 65536}"#).output_max, Some(65536));
    assert_eq!(request(r#"{"pass": "A, B_*"}"#).pass, ["A", "B_*"]);
    assert_eq!(request(r#"{"max_retries": 0}"#).max_retries, Some(0));
}

#[test]
fn the_exercises_own_sample_is_accepted_with_a_note() {
    let sample = r#"{"id": "unique-job-id", "command": "echo 'Hello World'", "state": "pending", "attempts": 0,
        "max_retries": 3, "created_at": "2025-11-04T10:30:00Z", "updated_at": "2025-11-04T10:30:00Z"}"#;
    let parsed = JobRequest::from_json(sample).expect("it is in every description");
    assert_eq!(parsed.request.max_retries, Some(3));
    assert_eq!(
        parsed.notes,
        [
            "ignored `state`, `attempts`, `created_at`, `updated_at`: queuectl sets this of a new job by itself"
        ]
    );
    assert!(JobRequest::from_json(r#"{"command": "a"}"#).expect("plain").notes.is_empty());
}

#[test]
fn a_new_job_as_listed_is_accepted() {
    let listed = r#"{"schema": 1, "id": "a", "command": "true", "state": "pending", "attempts": 0, "max_retries": 3,
        "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z", "queue": "default",
        "priority": 0, "timeout": null, "run_at": null, "backoff_base": 2, "next_retry_at": null, "last_error": null,
        "exit_code": null, "worker_id": null, "started_at": null, "completed_at": null, "tags": null,
        "kind": "command", "runs": 0, "interruptions": 0, "cancel_requested": false}"#;
    assert_eq!(JobRequest::from_json(listed).expect("our own output").notes.len(), 1);
}

#[test]
fn what_no_new_job_has_is_refused() {
    assert_refused(&[
        (r#"{"state": "completed"}"#, r#"`state` is "completed", but a new job has "pending""#),
        (r#"{"state": 0}"#, "`state` is 0"),
        (r#"{"attempts": 1}"#, "`attempts` is 1, but a new job has 0"),
        (r#"{"attempts": "0"}"#, "`attempts` is \"0\""),
        (r#"{"createdAt": {}}"#, "`created_at` is an object"),
        (r#"{"exit_code": 0}"#, "`exit_code` is 0, but a new job has none"),
        (r#"{"last_error": ""}"#, "`last_error`"),
        (r#"{"schema": 2}"#, "`schema` is 2"),
        (r#"{"kind": "python"}"#, "`kind`"),
        (r#"{"cancel_requested": true}"#, "`cancel_requested`"),
    ]);
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    assert_refused(&[
        (
            r#"{"comand": "a"}"#,
            "there is no field `comand` (did you mean `command`?); the fields are: id, command,",
        ),
        (r#"{"cmd": "a"}"#, "did you mean `command`?"),
        (r#"{"retries": 1}"#, "did you mean `max_retries`?"),
        (r#"{"workDir": "a"}"#, "did you mean `dir`?"),
        (r#"{"ID": "a"}"#, "did you mean `id`?"),
        (r#"{"maxretries": 1}"#, "did you mean `max_retries`?"),
        (r#"{"colour": 1}"#, "there is no field `colour`; the fields are: "),
        (r#"{"": 1}"#, "there is no field ``"),
        (r#"{"a\nb": 1}"#, r"there is no field `a\nb`"),
    ]);
    let long = refusal(&format!(r#"{{"{}": 1}}"#, "x".repeat(100_000))).to_string();
    assert!(long.len() < 1000, "{}", long.len());
}

#[test]
fn a_field_given_twice_is_refused() {
    assert_refused(&[
        (r#"{"id": "a", "id": "a"}"#, "`id` is given twice"),
        (
            r#"{"max_retries": 1, "maxRetries": 1}"#,
            "`max_retries` is given twice, as `max_retries` and as `maxRetries`",
        ),
        (r#"{"timeout": null, "timeout_seconds": 1}"#, "`timeout` is given twice"),
        (r#"{"state": "pending", "state": "pending"}"#, "`state` is given twice"),
    ]);
}

#[test]
fn a_wrong_type_is_refused_with_what_is_expected() {
    assert_refused(&[
        (r#"{"id": 5}"#, "`id` must be a string, not 5"),
        (r#"{"command": ["a"]}"#, "`command` must be a string, not an array"),
        (r#"{"command": {}}"#, "`command` must be a string, not an object"),
        (r#"{"args": "a b"}"#, "`args` must be an array of strings"),
        (r#"{"args": []}"#, "not an empty one"),
        (r#"{"args": ["a", 1]}"#, "`args[1]` must be a string, not 1"),
        (r#"{"queue": true}"#, "`queue` must be a string, not true"),
        (
            r#"{"priority": "high"}"#,
            r#"`priority` must be a whole number from -1000000 to 1000000, not "high""#,
        ),
        (r#"{"priority": 1000001}"#, "not 1000001"),
        (r#"{"priority": 1.5}"#, "not 1.5"),
        (r#"{"priority": 1e300}"#, "not 1e+300"),
        (r#"{"priority": 18446744073709551615}"#, "not 18446744073709551615"),
        (r#"{"max_retries": -1}"#, "`max_retries` must be a whole number from 0 to 1000000, not -1"),
        (r#"{"max_retries": "3"}"#, r#"not "3""#),
        (r#"{"max_retries": 2.5}"#, "not 2.5"),
        (r#"{"timeout": true}"#, "`timeout` must be a number of seconds or a text"),
        (r#"{"timeout": -5}"#, "`timeout`: `-5` is negative"),
        (r#"{"timeout": "soon"}"#, "`timeout`: `soon` is not a duration"),
        (r#"{"delay": "none"}"#, "`delay`: `none` is not a duration"),
        (r#"{"delay": 1e300}"#, "hundred years"),
        (r#"{"run_at": true}"#, "`run_at` must be a date"),
        (r#"{"backoff": "quadratic"}"#, "\"exponential\", \"linear\" or \"fixed\""),
        (r#"{"backoff_base": 0.5}"#, "`backoff_base` must be a number of at least 1"),
        (r#"{"backoff_base": "2"}"#, "`backoff_base` must be a number"),
        (r#"{"backoff_jitter": 1}"#, "true or false"),
        (r#"{"at_most_once": "yes"}"#, "true or false"),
        (r#"{"leftovers": "maybe"}"#, "\"kill\" or \"keep\""),
        (r#"{"no_retry_on": [1, 256]}"#, "`no_retry_on[1]` must be a whole number from 0 to 255, not 256"),
        (r#"{"ok_codes": "a"}"#, "`ok_codes` must be exit codes from 0 to 255"),
        (r#"{"ok_codes": {}}"#, "`ok_codes` must be an array"),
        (r#"{"tags": ["a"]}"#, "`tags` must be an object"),
        (r#"{"tags": {"a": null}}"#, "`tags.a` must be a string"),
        (r#"{"env": "A=b"}"#, "`env` must be an object"),
        (r#"{"env": {"A": 1}}"#, "`env.A` must be a string, not a number"),
        (r#"{"pass": 1}"#, "`pass` must be an array"),
        (r#"{"pass": [1]}"#, "`pass[0]` must be a string"),
        (r#"{"dir": 1}"#, "`dir` must be a string"),
        (r#"{"output_max": "lots"}"#, "`output_max` must be a number of bytes"),
        (r#"{"output_max": -1}"#, "`output_max` must be a number of bytes"),
        (r#"{"crash_limit": 0}"#, "`crash_limit` must be a whole number from 1"),
    ]);
    let long = refusal(&format!(r#"{{"priority": "{}"}}"#, "é".repeat(100_000))).to_string();
    assert!(long.len() < 500, "{}", long.len());
}

#[test]
fn what_breaks_a_rule_is_refused() {
    assert_refused(&[
        (r#"{"id": ""}"#, "1 to 128 characters"),
        (r#"{"id": "a b"}"#, "blank"),
        (r#"{"id": "last:3"}"#, "selector"),
        (r#"{"id": "-x"}"#, "`-`"),
        (r#"{"command": " "}"#, "the command is empty"),
        (r#"{"command": "a\u0000b"}"#, "NUL"),
        (r#"{"args": [""]}"#, "the command is empty"),
        (r#"{"command": "a", "args": ["a"]}"#, "`command` and `args` exclude each other"),
        (r#"{"run_at": "+5m", "delay": 5}"#, "`run_at` and `delay` exclude each other"),
        (r#"{"queue": "my mail"}"#, "not a queue name"),
        (r#"{"output_max": 1}"#, "output-max"),
        (r#"{"crash_limit": 1000001}"#, "crash-limit"),
        (r#"{"tags": {"": "a"}}"#, "tag ``"),
        (r#"{"tags": {"a=b": "c"}}"#, "tag `a=b`"),
        (r#"{"tags": {"a": "b\nc"}}"#, "unprintable"),
        (r#"{"env": {"": "a"}}"#, "not the name"),
        (r#"{"env": {"A=B": "a"}}"#, "not the name"),
        (r#"{"env": {"A": "a\u0000"}}"#, "NUL"),
        (r#"{"env": {"QUEUECTL_DB": "a"}}"#, "`QUEUECTL_DB` cannot be given"),
        (r#"{"pass": ["QUEUECTL_DB"]}"#, "`QUEUECTL_DB` cannot be given"),
        (r#"{"pass": ["A=b"]}"#, "not the name"),
        (r#"{"dir": ""}"#, "`dir` is no path: it is empty"),
        (r#"{"stdin": "a\u0000"}"#, "`stdin` is no path"),
    ]);
    let tags: Vec<String> = (0..65).map(|n| format!(r#""k{n}": "v""#)).collect();
    assert_eq!(refusal(&format!(r#"{{"tags": {{{}}}}}"#, tags.join(", "))), RequestError::TooManyTags(65));
}

#[test]
fn broken_json_is_refused_with_its_position() {
    assert_refused(&[
        ("{'id': 'a'}", "invalid JSON at line 1 column 2: key must be a string"),
        (r#"{"id": a}"#, "invalid JSON at line 1 column 8: expected value"),
        ("{\"id\":\n  \"a\",\n}", "invalid JSON at line 3 column 1: trailing comma"),
        (r#"{"id": "a""#, "invalid JSON at line 1 column 10: EOF"),
        (r#"{"id": "a"} x"#, "invalid JSON at line 1 column 13: trailing characters"),
        (r#"{"id": "\ud800"}"#, "invalid JSON at line 1"),
        ("{\"id\": \"a\u{1}\"}", "control character"),
        (r#"{"priority": 1e999}"#, "number out of range"),
        ("sleep 2", "invalid JSON at line 1 column 1: expected value"),
        ("\0", "invalid JSON"),
    ]);
    assert!(matches!(refusal(&"[".repeat(100_000)), RequestError::Json { .. }));
    assert!(matches!(refusal(&format!(r#"{{"id": {}"#, "[".repeat(100_000))), RequestError::Json { .. }));
}

#[test]
fn what_is_no_object_is_refused() {
    assert_refused(&[
        ("[]", "not an array"),
        ("\"sleep 2\"", "not a string"),
        ("5", "not a number"),
        ("-5", "not a number"),
        ("5.5", "not a number"),
        ("null", "not null"),
        ("true", "not true or false"),
        ("", "the input holds no job"),
        (" \n", "the input holds no job"),
    ]);
}
