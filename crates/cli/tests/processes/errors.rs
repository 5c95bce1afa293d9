//! Mistakes that a user makes: a clear error, the right exit code, nothing lost.

use std::io::Write;
use std::process::Stdio;

use crate::stage::Stage;

#[test]
fn every_mistake_has_its_code_and_its_words() {
    let stage = Stage::new();
    stage.enqueue("job1", "true");
    stage.enqueue("done", "true");
    stage.run(&["cancel", "done"]);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["worker"], 2, "a command is missing"),
        (&["bogus"], 2, "unrecognized subcommand"),
        (&["list", "--bogus"], 2, "unexpected argument"),
        (&["enqueue"], 2, "nothing to enqueue"),
        (&["enqueue", "{bad"], 2, "invalid JSON at line 1 column 2"),
        (&["enqueue", "sleep 2"], 2, "is not a JSON object"),
        (&["enqueue", r#"{"command":"x","nonsense":1}"#], 2, "there is no field `nonsense`"),
        (&["enqueue", r#"{"id":"x"}"#], 2, "no command"),
        (&["enqueue", r#"{"command":"x","max_retries":-1}"#], 2, "max_retries"),
        (&["enqueue", r#"{"command":"x","state":"dead"}"#], 2, "`state` is"),
        (&["enqueue", r#"{"command":"x"}"#, "--", "ls"], 2, "give one of these"),
        (&["enqueue", r#"{"id":"job1","command":"x"}"#], 4, "already exists"),
        (&["enqueue", "-c", "x", "--id", "all"], 2, "reserved"),
        (&["enqueue", "-c", "x", "--id", "a b"], 2, "blank"),
        (&["enqueue", "-c", "x", "--run-at", "yesterday-ish"], 2, "run_at"),
        (&["enqueue", "-c", "x", "-t", "soon"], 2, "duration"),
        (&["enqueue", "-c", "x", "-q", "bad name"], 2, "not a queue name"),
        (&["enqueue", "@no-such-file"], 5, "cannot read no-such-file"),
        (&["add", "a", "b"], 2, "several words"),
        (&["run"], 2, "no command"),
        (&["list", "--state", "nonsense"], 2, "pending, processing, completed, failed, dead"),
        (&["config", "set", "nonsense", "1"], 2, "max-retries, backoff-base"),
        (&["config", "set", "backoff-base", "0.5"], 2, "at least 1"),
        (&["config", "get", "nonsense"], 2, "there is no key"),
        (&["worker", "start", "--count", "0"], 2, "from 1 to"),
        (&["show", "nobody"], 3, "there is no job `nobody`"),
        (&["logs", "nobody"], 3, "there is no job"),
        (&["cancel", "nobody"], 3, "there is no job"),
        (&["cancel", "done"], 4, "cancelled already"),
        (&["retry", "job1"], 4, "job1 is pending"),
        (&["dlq", "retry", "job1"], 1, "only dead jobs"),
        (&["dlq", "retry", "nobody"], 3, "there is no job"),
        (&["show", "last:0"], 2, "last:N"),
        (&["--db", "/", "list"], 5, "is a directory"),
        (&["--db", "/etc/passwd", "list"], 5, "not a queuectl database"),
        (&["--db", "/etc/passwd", "enqueue", "-c", "x"], 5, "not a queuectl database"),
        (&["--db", "/proc/none/q.db", "enqueue", "-c", "x"], 5, "cannot create"),
        (&["--db", "postgres://x", "list"], 2, "is a URL"),
    ];
    for (arguments, code, words) in cases {
        let output = stage.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(said.starts_with("Error:"), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed to standard output");
    }
    assert_eq!(stage.run(&["list", "--quiet"]), "job1\ndone\n", "nothing was enqueued");
}

#[test]
fn a_batch_with_one_mistake_enqueues_nothing() {
    let stage = Stage::new();
    for junk in [
        "{\"id\":\"a\",\"command\":\"true\"}\n{\"id\":\"a\",\"command\":\"true\"}\n",
        "{\"id\":\"a\",\"command\":\"true\"}\n{\"id\":\"b\"}\n",
        "[{\"id\":\"a\",\"command\":\"true\"}, 5]",
        "{\"id\":\"a\",\"command\":\"true\"}\n\u{0}\u{1}garbage",
        "",
        "\u{feff}",
    ] {
        let mut child = stage
            .command(&["enqueue", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("piped").write_all(junk.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(2 | 4)) && said.starts_with("Error:"),
            "{junk:?}: {said}"
        );
    }
    assert_eq!(stage.run(&["list", "--quiet"]), "");
}

#[test]
fn no_input_never_waits_for_standard_input() {
    let stage = Stage::new();
    // An open pipe that nobody writes to.
    let mut child = stage
        .command(&["enqueue"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let open = child.stdin.take();
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
    drop(open);
}

#[test]
fn a_reader_of_nothing_creates_nothing() {
    let stage = Stage::new();
    for arguments in [
        &["list", "--json"][..],
        &["dlq", "list", "--json"],
        &["queue", "list", "--json"],
        &["worker", "list", "--json"],
    ] {
        assert_eq!(stage.run(arguments), "[]\n");
    }
    assert!(stage.run(&["status"]).contains("pending:           0"));
    assert_eq!(stage.run(&["config", "get", "max-retries"]), "3\n");
    assert!(stage.run(&["worker", "stop"]).contains("No workers"));
    let left = std::fs::read_dir(stage.dir.path()).expect("readable").count();
    assert_eq!(left, 0);
}

#[test]
fn a_closed_standard_output_ends_quietly() {
    let stage = Stage::new();
    let lines: String = (0..3000).map(|n| format!("{{\"id\":\"job-{n}\",\"command\":\"true\"}}\n")).collect();
    std::fs::write(stage.path("jobs"), lines).expect("written");
    stage.run(&["enqueue", "@jobs", "--quiet"]);
    let mut child = stage
        .command(&["list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
