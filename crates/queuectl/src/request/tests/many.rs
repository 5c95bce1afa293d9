//! Tests of `request::many`.

use queuectl_core::limits::{ENQUEUE_ARRAY_JOBS_MAX, ENQUEUE_BYTES_MAX};

use super::super::{RequestError, parse_many};

fn ids(input: impl AsRef<[u8]>) -> Vec<String> {
    let parsed = parse_many(input).unwrap_or_else(|error| panic!("{error}"));
    parsed.into_iter().map(|parsed| parsed.request.id.unwrap_or_default()).collect()
}

#[test]
fn an_object_an_array_and_lines_are_read() {
    let cases: [(&str, &[&str]); 10] = [
        (r#"{"id": "a"}"#, &["a"]),
        ("\n {\n  \"id\": \"a\"\n }\n\n", &["a"]),
        (r#"[{"id": "a"}, {"id": "b"}]"#, &["a", "b"]),
        (r#"[{"id": "a"}]"#, &["a"]),
        ("[]", &[]),
        ("{\"id\": \"a\"}\n{\"id\": \"b\"}\n", &["a", "b"]),
        ("{\"id\": \"a\"}\r\n\r\n  \n{\"id\": \"b\"}", &["a", "b"]),
        ("{\n\"id\": \"a\"\n}\n{\n\"id\": \"b\"}", &["a", "b"]),
        ("\u{feff}{\"id\": \"a\"}", &["a"]),
        (r#"{"id": "日本"}"#, &["日本"]),
    ];
    for (input, expected) in cases {
        assert_eq!(ids(input), expected, "{input}");
    }
}

#[test]
fn an_error_says_where() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "the input holds no job"),
        (b" \n\n ", "the input holds no job"),
        (b"{\"id\": \"a\"}\n{\"id\": b}\n", "invalid JSON at line 2 column 8: expected value"),
        (b"{\"id\": \"a\"},\n{\"id\": \"b\"}\n", "invalid JSON at line 1 column 12: "),
        (b"[{\"id\": \"a\"}, ]", "invalid JSON at line 1 column 15: trailing comma"),
        (b"{\"id\": \"a\"}\n\n{\"id\": 5}\n", "job 2 (line 3): `id` must be a string, not 5"),
        (b"{\"id\": 5}\n{\"id\": \"a\"}\n", "job 1 (line 1): `id` must be"),
        (b"[{\"id\": \"a\"}, {\"idd\": 5}]", "job 2: there is no field `idd`"),
        (
            b"[{\"id\": \"a\"}, [1], 5]",
            "job 2: a job is a JSON object such as {\"command\": \"sleep 2\"}, not an array",
        ),
        (b"[1]\n[2]", "job 1 (line 1): a job is a JSON object"),
        (b"{\"id\": 5}", "`id` must be a string, not 5"),
        (b"{\"id\": \"\xff\"}", "invalid JSON at line 1 column 9: invalid unicode code point"),
    ];
    for (input, expected) in cases {
        let message = parse_many(input).expect_err(expected).to_string();
        assert!(message.starts_with(expected), "{}\n  {message}", String::from_utf8_lossy(input));
    }
}

#[test]
fn the_number_of_jobs_is_bound() {
    let many = |jobs: usize, between: &str| vec!["{}"; jobs].join(between);
    for between in [",", "\n"] {
        let wrap = |text: String| if between == "," { format!("[{text}]") } else { text };
        assert_eq!(ids(wrap(many(ENQUEUE_ARRAY_JOBS_MAX, between))).len(), ENQUEUE_ARRAY_JOBS_MAX);
        let error = parse_many(wrap(many(ENQUEUE_ARRAY_JOBS_MAX + 1, between))).expect_err("one too many");
        assert_eq!(error, RequestError::TooManyJobs);
        assert!(error.to_string().contains("10000"));
    }
}

#[test]
fn the_size_of_the_input_is_bound() {
    let input = vec![b' '; ENQUEUE_BYTES_MAX + 1];
    assert_eq!(parse_many(input), Err(RequestError::TooManyBytes(ENQUEUE_BYTES_MAX + 1)));
}
