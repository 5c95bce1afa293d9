//! Part B of the command line: the dialects of this family. One test for each bullet, one case for each claim of it.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::stage::{Stage, TERM, refused, signal, until};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs with this text on standard input.
fn fed(stage: &Stage, arguments: &[&str], text: &str) -> Output {
    let mut child = stage
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Whoever refuses early does not read it all.
    let _ = child.stdin.take().expect("piped").write_all(text.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// The job that these arguments of `enqueue` make.
fn made(stage: &Stage, arguments: &[&str]) -> Value {
    let words = [&["enqueue", "--json"][..], arguments].concat();
    parse(&stage.run(&words))
}

#[test]
fn enqueue_positional_json_file_or_stdin() {
    let stage = Stage::new();
    assert_eq!(made(&stage, &[r#"{"command": "echo 1"}"#])["command"], "echo 1");
    std::fs::write(stage.path("one.json"), r#"{"id": "f1", "command": "true"}"#).expect("written");
    assert_eq!(made(&stage, &["@one.json"])["id"], "f1");
    std::fs::write(stage.path("two.json"), r#"[{"id": "f2", "command": "true"}]"#).expect("written");
    stage.run(&["enqueue", "--file", "two.json"]);
    std::fs::write(stage.path("three.json"), r#"{"id": "f3", "command": "true"}"#).expect("written");
    stage.run(&["enqueue", "-f", "three.json"]);
    for (text, ids) in [
        (r#"{"id": "s1", "command": "true"}"#, "s1\n"),
        (r#"[{"id": "s2", "command": "true"}, {"id": "s3", "command": "true"}]"#, "s2\ns3\n"),
        ("{\"id\": \"s4\", \"command\": \"true\"}\n{\"id\": \"s5\", \"command\": \"true\"}\n", "s4\ns5\n"),
    ] {
        let output = fed(&stage, &["enqueue", "-", "--quiet"], text);
        assert_eq!(String::from_utf8_lossy(&output.stdout), ids, "{}", said(&output));
    }
    assert_eq!(stage.run(&["list", "--quiet"]).lines().skip(1).collect::<String>(), "f1f2f3s1s2s3s4s5");
}

#[test]
fn enqueue_other_positional_text_is_refused_with_a_hint() {
    let stage = Stage::new();
    refused(&stage, &["enqueue", "sleep 2"], 2, "--command 'sleep 2'");
    refused(&stage, &["enqueue", "sleep 2"], 2, "-- PROG ARGS");
    refused(&stage, &["enqueue", "sleep", "2"], 2, "--");
    refused(&stage, &["enqueue", r#"{"command": "true"}"#, "--", "ls"], 2, "give one of these");
    refused(&stage, &["enqueue", r#"{"command": "true"}"#, "-c", "ls"], 2, "give one of these");
    refused(&stage, &["enqueue"], 2, "nothing to enqueue");
    assert_eq!(stage.run(&["list", "--json"]), "[]\n");
}

#[test]
fn enqueue_flags_override_fields_of_the_json() {
    let stage = Stage::new();
    let fields = r#"{"id": "a", "command": "true", "queue": "x", "priority": 1, "max_retries": 9, "timeout": 9,
        "delay": 9, "backoff_base": 9}"#;
    let flags = [
        "--id",
        "b",
        "--queue",
        "y",
        "--priority",
        "2",
        "--max-retries",
        "3",
        "--timeout",
        "4",
        "--run-at",
        "2031-01-02T03:04:05Z",
        "--backoff-base",
        "1.5",
    ];
    let job = made(&stage, &[&[fields][..], &flags].concat());
    assert_eq!(
        (&job["id"], &job["queue"], &job["priority"], &job["max_retries"], &job["timeout"]),
        (&json!("b"), &json!("y"), &json!(2), &json!(3), &json!(4))
    );
    assert_eq!((&job["backoff_base"], &job["run_at"]), (&json!(1.5), &json!("2031-01-02T03:04:05.000Z")));
    let job = made(&stage, &["-c", "true", "-q", "z", "-p", "-5", "-r", "7", "-t", "90s"]);
    assert_eq!(
        (&job["queue"], &job["priority"], &job["max_retries"], &job["timeout"]),
        (&json!("z"), &json!(-5), &json!(7), &json!(90))
    );
    assert_eq!(made(&stage, &["-c", "true", "--retries", "8"])["max_retries"], 8);
    assert_eq!(made(&stage, &["-c", "true", "--priority=-7"])["priority"], -7);
    assert_ne!(made(&stage, &["-c", "true", "-d", "5m"])["run_at"], Value::Null);
}

#[test]
fn enqueue_run_at_takes_instants_epochs_and_times_from_now() {
    let stage = Stage::new();
    for (given, shown) in [
        ("2031-01-02T03:04:05Z", "2031-01-02T03:04:05.000Z"),
        ("2031-01-02T03:04:05+02:00", "2031-01-02T01:04:05.000Z"),
        ("1925089445", "2031-01-02T03:04:05.000Z"),
    ] {
        assert_eq!(made(&stage, &["-c", "true", "--run-at", given])["run_at"], shown, "{given}");
        let said = stage.run(&["enqueue", "-c", "true", "--run-at", given]);
        assert!(said.contains(shown), "the instant is echoed in UTC: {said}");
    }
    // A fixed zone, four hours ahead of UTC: without a zone it is local time.
    let local = stage
        .command(&["enqueue", "--json", "-c", "true", "--run-at", "2031-01-02T03:04:05"])
        .env("TZ", "XXX-4")
        .output();
    let local = parse(&String::from_utf8_lossy(&local.expect("it runs").stdout));
    assert_eq!(local["run_at"], "2031-01-01T23:04:05.000Z");
    let job = made(&stage, &["-c", "true", "--run-at", "+5m"]);
    let at = |field: &str| job[field].as_str().expect("an instant").parse::<jiff::Timestamp>().expect("ISO");
    assert_eq!((at("run_at") - at("created_at")).get_seconds(), 300);
    refused(&stage, &["enqueue", "-c", "true", "--run-at", "+5m", "--delay", "5"], 2, "exclude");
}

#[test]
fn enqueue_long_flags_also_with_underscores() {
    let stage = Stage::new();
    let job = made(&stage, &["-c", "true", "--max_retries", "5", "--run_at=+1h", "--backoff_base", "3"]);
    assert_eq!((&job["max_retries"], &job["backoff_base"]), (&json!(5), &json!(3)));
    stage.run(&[
        "enqueue",
        "-c",
        "true",
        "--at_most_once",
        "--backoff_max",
        "9",
        "--no_retry_on",
        "2",
        "--ok_codes",
        "3",
    ]);
    let argv = made(&stage, &["--", "echo", "--not_ours"]);
    assert_eq!(argv["command"], "echo --not_ours", "what follows -- is left alone");
}

#[test]
fn json_fields_in_and_their_spellings() {
    let stage = Stage::new();
    let job = made(
        &stage,
        &[
            r#"{"id": "j", "command": "true", "queue": "q", "priority": 4, "maxRetries": 6, "timeout_seconds": 7,
              "runAt": "2031-01-02T03:04:05Z", "backoffBase": 1.25}"#,
        ],
    );
    assert_eq!(
        (&job["id"], &job["queue"], &job["priority"], &job["max_retries"], &job["timeout"]),
        (&json!("j"), &json!("q"), &json!(4), &json!(6), &json!(7))
    );
    assert_eq!((&job["run_at"], &job["backoff_base"]), (&json!("2031-01-02T03:04:05.000Z"), &json!(1.25)));
    assert_ne!(made(&stage, &[r#"{"command": "true", "delay": "5m"}"#])["run_at"], Value::Null);
    assert_eq!(made(&stage, &[r#"{"args": ["echo", "a b"]}"#])["command"], "echo 'a b'");
    assert_eq!(made(&stage, &[r#"{"command": "true", "tags": {"k": "v"}}"#])["tags"], json!({"k": "v"}));
    // The fields of part C.
    stage.run(&[
        "enqueue",
        r#"{"id": "c", "command": "true", "env": {"A": "b"}, "dir": "/", "stdin": "/dev/null", "backoff": "linear",
            "backoff_max": 9, "no_retry_on": [2], "ok_codes": "3-4", "at_most_once": true, "leftovers": "keep",
            "pass": ["HOME"]}"#,
    ]);
    let shown = parse(&stage.run(&["show", "c", "--json"]));
    assert_eq!(
        (&shown["dir"], &shown["backoff"], &shown["at_most_once"]),
        (&json!("/"), &json!("linear"), &json!(true))
    );
}

#[test]
fn the_samples_of_the_exercise_are_taken_and_their_extra_fields_ignored_with_a_note() {
    let stage = Stage::new();
    let sample = r#"{"id": "unique-job-id", "command": "echo 'Hello World'", "state": "pending", "attempts": 0,
        "max_retries": 3, "created_at": "2025-11-04T10:30:00Z", "updated_at": "2025-11-04T10:30:00Z"}"#;
    let output = stage.output(&["enqueue", sample]);
    assert!(output.status.success());
    let said = said(&output);
    for field in ["state", "attempts", "created_at", "updated_at"] {
        assert!(said.contains("Note:") && said.contains(&format!("`{field}`")), "{said}");
    }
    assert_ne!(stage.job("unique-job-id")["created_at"], "2025-11-04T10:30:00Z");
    refused(&stage, &["enqueue", r#"{"command": "true", "colour": "red"}"#], 2, "there is no field `colour`");
    refused(
        &stage,
        &["enqueue", r#"{"command": "true", "max_retrys": 1}"#],
        2,
        "did you mean `max_retries`?",
    );
    refused(&stage, &["enqueue", r#"{"command": "true", "state": "dead"}"#], 2, "state");
}

#[test]
fn durations_are_seconds_or_have_units() {
    let stage = Stage::new();
    for (given, seconds) in [
        ("90", json!(90)),
        ("1.5", json!(1.5)),
        ("500ms", json!(0.5)),
        ("90s", json!(90)),
        ("5m", json!(300)),
        ("2h30m", json!(9000)),
    ] {
        assert_eq!(made(&stage, &["-c", "true", "--timeout", given])["timeout"], seconds, "{given}");
        let text = format!(r#"{{"command": "true", "timeout": "{given}"}}"#);
        assert_eq!(made(&stage, &[&text])["timeout"], seconds, "{given}");
    }
    assert_eq!(made(&stage, &[r#"{"command": "true", "timeout": 2.5}"#])["timeout"], json!(2.5));
}

#[test]
fn json_out_is_one_line_spaced_with_every_field() {
    let stage = Stage::new();
    stage.run(&["enqueue", r#"{"id":"j","command":"echo \"a,b:c\""}"#]);
    for arguments in [
        &["list", "--json"][..],
        &["show", "j", "--json"],
        &["status", "--json"],
        &["config", "list", "--json"],
    ] {
        let text = stage.run(arguments);
        assert_eq!(text.matches('\n').count(), 1, "{arguments:?}: {text}");
        let outside = text.replace(r#""echo \"a,b:c\"""#, "\"\"");
        assert!(outside.contains("\": ") && !outside.contains("\":\""), "{arguments:?}: {text}");
        assert!(!outside.contains(",\""), "{arguments:?}: {text}");
    }
    let list = parse(&stage.run(&["list", "--json"]));
    let job = list[0].as_object().expect("an object");
    let fields = "schema id command state attempts max_retries created_at updated_at queue priority timeout run_at backoff_base \
        next_retry_at last_error exit_code worker_id started_at completed_at tags";
    for field in fields.split_ascii_whitespace() {
        assert!(job.contains_key(field), "{field}");
    }
    for field in [
        "timeout",
        "run_at",
        "next_retry_at",
        "last_error",
        "exit_code",
        "worker_id",
        "started_at",
        "completed_at",
    ] {
        assert_eq!(job[field], Value::Null, "{field} is null where empty");
    }
    for field in ["created_at", "updated_at"] {
        assert!(job[field].as_str().is_some_and(|at| at.ends_with('Z') && at.contains('T')), "{field}");
    }
}

#[test]
fn config_spellings_of_a_key_are_one_key() {
    let stage = Stage::new();
    for (spelling, value) in [("max-retries", "4"), ("max_retries", "5"), ("maxRetries", "6")] {
        stage.run(&["config", "set", spelling, value]);
        for other in ["max-retries", "max_retries", "maxRetries"] {
            assert_eq!(stage.run(&["config", "get", other]), format!("{value}\n"));
        }
    }
    stage.run(&["config", "set", "backoff_base", "1.50"]);
    assert_eq!(stage.run(&["config", "get", "backoffBase"]), "1.50\n", "as it was given");
    let all = stage.run(&["config", "list"]);
    assert_eq!(stage.run(&["config", "show"]), all);
    assert_eq!(stage.run(&["config", "get"]), all);
    for key in "max-retries backoff-base backoff-max backoff-jitter job-timeout kill-grace poll-interval crash-limit output-max \
        retain-completed retain-dead max-running pass-env shell on-dead"
        .split_ascii_whitespace()
    {
        assert!(all.lines().any(|line| line.split_whitespace().next() == Some(key)), "{key}: {all}");
    }
}

#[test]
fn config_for_one_queue() {
    let stage = Stage::new();
    stage.run(&["config", "set", "--queue", "slow", "max-retries", "9"]);
    assert_eq!(stage.run(&["config", "get", "max-retries"]), "3\n");
    assert_eq!(stage.run(&["config", "get", "--queue", "slow", "max-retries"]), "9\n");
    assert_eq!(made(&stage, &["-c", "true", "-q", "slow"])["max_retries"], 9);
    assert_eq!(made(&stage, &["-c", "true"])["max_retries"], 3);
    stage.run(&["config", "unset", "--queue", "slow", "max-retries"]);
    assert_eq!(stage.run(&["config", "get", "--queue", "slow", "max-retries"]), "3\n");
}

#[test]
fn config_aliases_of_the_family_are_accepted_stored_and_shown() {
    let stage = Stage::new();
    for (key, value) in [
        ("poll-interval-ms", "250"),
        ("worker-poll-interval", "2"),
        ("stop-timeout-seconds", "30"),
        ("recovery-timeout", "60"),
        ("recovery-interval", "5"),
        ("worker-timeout", "60"),
        ("heartbeat-interval", "10"),
        ("default-timeout", "45"),
    ] {
        stage.run(&["config", "set", key, value]);
        assert_eq!(stage.run(&["config", "get", key]), format!("{value}\n"), "{key}");
        assert_eq!(stage.run(&["config", "get", &key.replace('-', "_")]), format!("{value}\n"), "{key}");
        assert!(stage.run(&["config", "list"]).contains(key), "{key} is shown");
    }
    assert_eq!(stage.run(&["config", "get", "job-timeout"]), "45\n", "an alias has the meaning of its key");
    assert_eq!(made(&stage, &["-c", "true"])["timeout"], 45);
}

#[test]
fn config_unknown_keys_and_bad_values_are_refused_naming_the_keys() {
    let stage = Stage::new();
    refused(&stage, &["config", "set", "max-retry", "1"], 2, "max-retries, backoff-base");
    refused(&stage, &["config", "set", "max-retry", "1"], 2, "did you mean `max-retries`?");
    refused(&stage, &["config", "get", "bakoff_base"], 2, "did you mean `backoff-base`?");
    for (key, value) in [
        ("max-retries", "-1"),
        ("max-retries", "x"),
        ("max-retries", ""),
        ("max-retries", "99999999999999999999"),
        ("backoff-base", "0.5"),
        ("backoff-base", "-2"),
        ("backoff-base", "nan"),
        ("backoff-jitter", "perhaps"),
        ("job-timeout", "-3"),
        ("output-max", "1"),
    ] {
        refused(&stage, &["config", "set", key, value], 2, key);
    }
    refused(&stage, &["config", "set"], 2, "required");
}

#[test]
fn worker_start_in_the_foreground_is_the_default_and_accepted() {
    let mut stage = Stage::new();
    for flags in [&[][..], &["--foreground"], &["--foreground", "-c", "2"]] {
        let pid = stage.start_worker(flags);
        signal(pid, TERM);
        assert_eq!(stage.await_worker(pid), Some(0), "{flags:?}");
    }
    refused(&stage, &["worker", "start", "--count", "0"], 2, "from 1 to");
    refused(&stage, &["worker", "start", "-c", "-1"], 2, "");
    refused(&stage, &["worker", "start", "-c", "many"], 2, "invalid value");
}

#[test]
fn worker_start_detached_by_any_of_its_names() {
    let stage = Stage::new();
    for flag in ["--detach", "-d", "--detached", "--daemon", "--background"] {
        let said = stage.run(&["worker", "start", flag, "--count", "2"]);
        assert!(said.contains("log ") && said.contains("pid "), "{flag}: {said}");
        assert_eq!(stage.worker_pids().len(), 1, "{flag}: registered when the call returns");
        stage.run(&["worker", "stop"]);
    }
}

#[test]
fn worker_start_drain_waits_for_retries_but_not_for_later_or_paused_jobs() {
    let mut stage = Stage::new();
    stage.run(&[
        "enqueue",
        "--id",
        "again",
        "-r",
        "2",
        "--backoff-base",
        "1",
        "-c",
        "[ -e once ] || { touch once; exit 1; }",
    ]);
    stage.run(&["enqueue", "--id", "later", "--run-at", "+1h", "-c", "true"]);
    stage.run(&["queue", "pause", "held"]);
    stage.run(&["enqueue", "--id", "paused", "-q", "held", "-c", "true"]);
    let pid = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(pid), Some(0));
    assert_eq!(
        (stage.state("again"), stage.state("later"), stage.state("paused")),
        ("completed".to_owned(), "pending".to_owned(), "pending".to_owned())
    );
}

#[test]
fn worker_start_takes_only_the_named_queues() {
    let mut stage = Stage::new();
    for queue in ["a", "b", "c"] {
        stage.run(&["enqueue", "--id", queue, "-q", queue, "-c", "true"]);
    }
    let pid = stage.start_worker(&["--drain", "--queue", "a", "-q", "b"]);
    assert_eq!(stage.await_worker(pid), Some(0));
    assert_eq!([stage.state("a"), stage.state("b"), stage.state("c")], ["completed", "completed", "pending"]);
    let pid = stage.start_worker(&["--drain", "--queue", "mial"]);
    assert_eq!(stage.await_worker(pid), Some(0));
    assert!(stage.log().contains("queue `mial` has had no job yet"), "only a note");
}

#[test]
fn worker_stop_by_force_ends_jobs_and_gives_them_back() {
    let mut stage = Stage::new();
    let pid = stage.start_worker(&[]);
    stage.enqueue("long", "sleep 600");
    stage.until_state("long", "processing");
    let timed_out = stage.output(&["worker", "stop", "--timeout", "100ms"]);
    assert_eq!(timed_out.status.code(), Some(124));
    assert!(said(&timed_out).contains("\nError: still running"), "it names whom it waits for, then gives up");
    stage.run(&["worker", "stop", "--force"]);
    assert_eq!(stage.await_worker(pid), Some(0));
    let job = stage.job("long");
    assert_eq!((&job["state"], &job["attempts"]), (&json!("pending"), &json!(0)));
    assert!(stage.run(&["worker", "stop"]).contains("No workers"));
}

#[test]
fn worker_list_and_status_name_processes() {
    let mut stage = Stage::new();
    assert_eq!(stage.run(&["worker", "status", "--json"]), "[]\n");
    let pid = stage.start_worker(&["--count", "3"]);
    for verb in ["list", "status"] {
        assert!(stage.run(&["worker", verb]).contains(&pid.to_string()));
        assert_eq!(parse(&stage.run(&["worker", verb, "--json"]))[0]["slots"], 3);
    }
    assert!(stage.run(&["status"]).contains("3 active in 1 process"));
    signal(pid, TERM);
    stage.await_worker(pid);
}

#[test]
fn a_second_stop_signal_at_once_does_not_escalate() {
    let mut stage = Stage::new();
    let pid = stage.start_worker(&[]);
    stage.enqueue("j", "until [ -e go ]; do sleep 0.02; done");
    stage.until_state("j", "processing");
    signal(pid, TERM);
    signal(pid, TERM);
    until("it stops", || stage.log().contains("Stopping:"));
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(pid), Some(0));
    assert_eq!(stage.state("j"), "completed");
}

#[test]
fn list_by_state_or_status_and_with_a_limit() {
    let stage = Stage::new();
    for id in ["a", "b", "c"] {
        stage.enqueue(id, "true");
    }
    stage.run(&["cancel", "b"]);
    for flags in
        [&["--state", "pending"][..], &["-s", "pending"], &["--status", "pending"], &["--state=pending"]]
    {
        assert_eq!(stage.run(&[&["list", "--quiet"][..], flags].concat()), "a\nc\n", "{flags:?}");
    }
    assert_eq!(stage.run(&["list", "--quiet", "--limit", "2"]), "b\nc\n");
    assert_eq!(stage.run(&["list", "--quiet", "-n", "1"]), "c\n");
    assert_eq!(stage.run(&["list", "--json", "-n", "0"]), "[]\n");
    refused(&stage, &["list", "--state", "pendng"], 2, "pending, processing, completed, failed, dead");
    refused(&stage, &["list", "--state", "pendng"], 2, "did you mean `pending`?");
    refused(&stage, &["list", "-n", "-1"], 2, "");
    let output = stage.output(&["list", "--queue", "defualt"]);
    assert!(
        output.status.success() && said(&output).contains("did you mean `default`?"),
        "{}",
        said(&output)
    );
}

#[test]
fn dlq_list_retry_and_purge() {
    let mut stage = Stage::new();
    for id in ["a", "b", "c"] {
        stage.run(&["enqueue", "--id", id, "-r", "1", "-c", "exit 1"]);
    }
    let pid = stage.start_worker(&["--drain"]);
    stage.await_worker(pid);
    let dead = parse(&stage.run(&["dlq", "list", "--json"]));
    assert_eq!(dead.as_array().map(Vec::len), Some(3));
    assert!(stage.run(&["dlq", "retry", "a", "--reset-attempts"]).contains("attempts reset to 0"));
    assert_eq!((&stage.job("a")["state"], &stage.job("a")["attempts"]), (&json!("pending"), &json!(0)));
    refused(&stage, &["dlq", "retry", "a"], 1, "only dead jobs");
    assert_eq!(stage.run(&["dlq", "retry", "--all"]).lines().count(), 2);
    assert_eq!(stage.run(&["dlq", "list", "--json"]), "[]\n");
    assert_eq!(stage.run(&["dlq", "retry", "--all"]), "", "nothing to do is no error");
}

#[test]
fn dlq_purge_asks_first() {
    let mut stage = Stage::new();
    stage.run(&["enqueue", "--id", "a", "-r", "1", "-c", "exit 1"]);
    let pid = stage.start_worker(&["--drain"]);
    stage.await_worker(pid);
    for answer in ["", "n\n", "no\n"] {
        let output = fed(&stage, &["dlq", "purge"], answer);
        assert_eq!(output.status.code(), Some(1), "{answer:?}");
        assert!(said(&output).contains("Error:"), "{}", said(&output));
    }
    assert_eq!(stage.state("a"), "dead");
    assert!(fed(&stage, &["dlq", "purge"], "y\n").status.success());
    assert_eq!(stage.run(&["list", "--json"]), "[]\n");
    stage.run(&["dlq", "purge", "--yes"]);
}

#[test]
fn show_by_any_of_its_names() {
    let stage = Stage::new();
    stage.enqueue("j", "true");
    let shown = stage.run(&["show", "j"]);
    for verb in ["get", "info", "inspect"] {
        assert_eq!(stage.run(&[verb, "j"]), shown);
    }
}

#[test]
fn logs_of_each_run_or_of_one_stream() {
    let mut stage = Stage::new();
    stage.run(&[
        "enqueue",
        "--id",
        "j",
        "-r",
        "2",
        "--backoff-base",
        "1",
        "-c",
        "echo out; echo err >&2; exit 3",
    ]);
    let pid = stage.start_worker(&["--drain"]);
    stage.await_worker(pid);
    assert_eq!(stage.run(&["logs", "j", "--stdout"]), "out\nout\n");
    assert_eq!(stage.run(&["logs", "j", "--stderr"]), "err\nerr\n");
    assert_eq!(stage.run(&["logs", "j", "--stdout", "--attempt", "1"]), "out\n");
    let all = stage.run(&["logs", "j"]);
    let headers: Vec<&str> = all.lines().filter(|line| line.starts_with("==>")).collect();
    assert_eq!(headers.len(), 2, "{all}");
    assert!(headers[0].contains("attempt 1") && headers[0].contains("exit code 3"), "{all}");
    assert!(all.contains("out\nerr\n"), "both streams: {all}");
    assert_eq!(
        stage.run(&["logs", "j", "-f", "--stdout"]),
        "out\nout\n",
        "following a job that has ended ends"
    );
}

#[test]
fn cancel_and_retry_by_state() {
    let mut stage = Stage::new();
    stage.enqueue("waiting", "true");
    stage.run(&["cancel", "waiting"]);
    assert_eq!(stage.state("waiting"), "cancelled");
    refused(&stage, &["cancel", "waiting"], 4, "already");
    assert!(stage.run(&["retry", "waiting"]).contains("pending again"), "any terminal job comes back");
    stage.run(&["cancel", "waiting"]);
    stage.run(&["enqueue", "--id", "backing-off", "-r", "3", "--backoff-base", "1000", "-c", "exit 1"]);
    stage.enqueue("running", "until [ -e go ]; do sleep 0.02; done");
    stage.start_worker(&["--count", "2"]);
    stage.until_state("running", "processing");
    stage.until_state("backing-off", "failed");
    refused(&stage, &["retry", "running"], 4, "processing");
    assert!(stage.run(&["retry", "backing-off"]).contains("due now"));
    until("the second attempt has ended", || stage.job("backing-off")["attempts"] == 2);
    stage.run(&["cancel", "running"]);
    stage.until_state("running", "cancelled");
    assert_eq!(stage.job("running")["attempts"], 0, "a cancelled attempt does not count");
}

#[test]
fn init_is_harmless() {
    let stage = Stage::new();
    for verb in ["init", "init-db", "init"] {
        assert!(stage.run(&[verb]).contains("queue.db"));
        stage.run(&["enqueue", "-c", "true"]);
    }
    assert_eq!(stage.run(&["list", "--quiet"]).lines().count(), 3);
}

#[test]
fn db_stands_before_or_after_the_verb() {
    let stage = Stage::new();
    let other = stage.path("other.db");
    let other = other.to_str().expect("UTF-8");
    stage.run(&["--db", other, "enqueue", "--id", "x", "-c", "true"]);
    for arguments in [
        &["--db", other, "list", "--quiet"][..],
        &["list", "--quiet", "--db", other],
        &["list", "--db", other, "--quiet"],
        &["dlq", "--db", other, "list", "--quiet", "--json"],
        &["list", "--quiet", &format!("--db={other}")],
    ] {
        let output = stage.output(arguments);
        assert!(output.status.success() || arguments.contains(&"--json"), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(stage.run(&["list", "--quiet", "--db", other]), "x\n");
    assert_eq!(stage.run(&["list", "--quiet"]), "");
}

#[test]
fn messages_begin_with_error_and_say_what_to_do() {
    let stage = Stage::new();
    stage.enqueue("j", "true");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["enqueue", "{\"id\": }"], 2, "invalid JSON at line 1 column 8"),
        (&["enqueue", "{\"id\":\"j\",\"command\":\"x\"}"], 4, "already exists"),
        (&["list", "--state", "nope"], 2, "pending, processing, completed, failed, dead, cancelled"),
        (&["lisst"], 2, "list"),
        (&["list", "--jsno"], 2, "--json"),
        (&["worker"], 2, "missing"),
        (&["dlq", "retry"], 2, "no job is named"),
        (&["show", "nobody"], 3, "there is no job `nobody`"),
        (&["retry", "j"], 4, "pending"),
        (&["logs", "j", "--attempt", "9"], 3, "no attempt 9"),
        (&["enqueue", "@nope"], 5, "cannot read nope"),
        (&["--db", "", "list"], 2, ""),
    ];
    for (arguments, code, words) in cases {
        refused(&stage, arguments, *code, words);
        let said = said(&stage.output(arguments));
        let way_out = ["Hint:", "--help", "tip:", "Commands:"].iter().any(|mark| said.contains(mark));
        assert!(way_out, "{arguments:?} does not say what to do: {said}");
    }
}

#[test]
fn tables_have_one_header_and_begin_with_id_and_state() {
    let stage = Stage::new();
    let long = "x".repeat(128);
    stage.enqueue(&long, "true");
    let table = stage.run(&["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[0].split_whitespace().nth(1) == Some("STATE"), "{table}");
    assert_eq!(
        (lines.len(), lines[1].split_whitespace().next()),
        (2, Some(long.as_str())),
        "ids are never cut"
    );
    assert!(!table.contains(['|', '+', '│']), "{table}");
}

#[test]
fn queuectl_alone_shows_status_and_first_steps() {
    let stage = Stage::new();
    let output = stage.output(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), stage.run(&["status"]));
    let said = said(&output);
    assert_eq!(said.lines().filter(|line| line.starts_with("  queuectl ")).count(), 5, "{said}");
    assert_eq!(std::fs::read_dir(stage.dir.path()).expect("readable").count(), 0, "looking makes nothing");
}
