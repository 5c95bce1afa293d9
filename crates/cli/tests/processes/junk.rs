//! Junk of every kind: each ends with the right code and one clear message, and nothing is lost or half done.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use crate::stage::Stage;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One error, with this code and these words, and nothing on standard output.
fn is_refused(output: &Output, what: &str, code: i32, words: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    assert!(said.starts_with("Error:") && said.contains(words), "{what}: {said}");
    assert_eq!(said.matches("Error:").count(), 1, "{what}: one message: {said}");
    assert!(
        said.chars().all(|c| c == '\n' || !c.is_control()),
        "{what}: nothing that a terminal obeys: {said:?}"
    );
    assert!(!said.contains("panicked") && said.len() < 4000, "{what}: {} bytes: {said:.500}", said.len());
    assert!(said.contains("Hint: ") || said.contains("--help"), "{what}: and what to do? {said}");
    assert!(output.stdout.is_empty(), "{what} printed to standard output");
}

/// A store with one job, which is all that may be in it afterwards.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.enqueue("kept", "true");
    stage
}

fn nothing_lost(stage: &Stage) {
    assert_eq!(stage.run(&["list", "--quiet"]), "kept\n");
}

fn raw(stage: &Stage, arguments: &[&[u8]]) -> Output {
    let words: Vec<OsString> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes).to_owned()).collect();
    stage.command(&[]).args(words).output().expect("the binary runs")
}

fn fed(stage: &Stage, arguments: &[&str], bytes: &[u8]) -> Output {
    let mut child = stage
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Whoever refuses early does not read it all.
    let _ = child.stdin.take().expect("piped").write_all(bytes);
    child.wait_with_output().expect("it ends")
}

#[test]
fn bad_json_is_refused_at_its_byte() {
    let stage = stage();
    let whole = r#"{"id": "x", "command": "echo a", "tags": {"k": "v"}}"#;
    for end in 1..whole.len() {
        let output = stage.output(&["enqueue", &whole[..end]]);
        is_refused(&output, &whole[..end], 2, &format!("invalid JSON at line 1 column {end}"));
    }
    for (junk, words) in [
        ("{\"command\": \"x\"} trailing", "column 20"),
        ("{\"command\": 'x'}", "column 13"),
        ("{command: \"x\"}", "column 2"),
        ("{\"command\": \"x\",}", "column 17"),
        ("[{\"command\": \"x\"}", "column"),
        ("{\"command\": \"\\ud800\"}", "column"),
        ("{\"command\": \"a\nb\"}", "line 2 column 0"),
        ("{\"a\": 1e999}", "column"),
        ("\"text\"", "not a string"),
        ("[1]", "not a number"),
        ("[[]]", "not an array"),
        ("[null]", "not null"),
    ] {
        is_refused(&stage.output(&["enqueue", junk]), junk, 2, words);
    }
    let deep = "[".repeat(100_000);
    is_refused(&stage.output(&["enqueue", &deep]), "100,000 brackets", 2, "invalid JSON");
    nothing_lost(&stage);
}

#[test]
fn invalid_utf8_is_refused_where_text_is_meant_and_kept_where_bytes_are() {
    let stage = stage();
    std::fs::write(stage.path("file"), b"{\"command\": \"\xff\xfe\"}").expect("written");
    is_refused(&stage.output(&["enqueue", "@file"]), "a file", 2, "invalid JSON at line 1 column");
    is_refused(&fed(&stage, &["enqueue", "-"], b"\xff\xfe\x00junk"), "standard input", 2, "invalid JSON");
    is_refused(&raw(&stage, &[b"enqueue", b"{\"command\": \"\xff\"}"]), "JSON in argv", 2, "invalid JSON");
    for arguments in [
        &[b"enqueue".as_slice(), b"-c", b"\xff"][..],
        &[b"enqueue", b"--id", b"\xff", b"-c", b"true"],
        &[b"enqueue", b"\xff\xfe"],
        &[b"list", b"--state", b"\xff"],
        &[b"show", b"\xff"],
        &[b"\xff"],
        &[b"--\xff"],
        &[b"config", b"set", b"shell", b"\xff"],
        &[b"add", b"\xff"],
    ] {
        is_refused(&raw(&stage, arguments), &format!("{arguments:?}"), 2, "");
    }
    nothing_lost(&stage);
    let job = raw(&stage, &[b"enqueue", b"--id", b"bytes", b"--", b"printf", b"\xff"]);
    assert!(job.status.success(), "exact arguments may be any bytes: {}", said(&job));
}

#[test]
fn a_nul_is_refused() {
    let stage = stage();
    for (junk, words) in [
        (r#"{"command": "a\u0000b"}"#, "NUL"),
        (r#"{"args": ["a\u0000b"]}"#, "NUL"),
        (r#"{"id": "a\u0000b", "command": "true"}"#, "unprintable"),
        (r#"{"command": "true", "dir": "a\u0000b"}"#, "NUL"),
        (r#"{"command": "true", "env": {"A": "a\u0000b"}}"#, "NUL"),
        (r#"{"command": "true", "env": {"A\u0000": "b"}}"#, ""),
        (r#"{"command": "true", "tags": {"a\u0000": "b"}}"#, "tag"),
        (r#"{"command": "true", "queue": "a\u0000"}"#, "queue name"),
        (r#"{"command": "true", "x\u0000": 1}"#, "no field"),
        (r#"{"command": "true", "run_at": "\u0000"}"#, "run_at"),
        (r#"{"command": "true", "timeout": "\u0000"}"#, "duration"),
    ] {
        is_refused(&stage.output(&["enqueue", junk]), junk, 2, words);
    }
    nothing_lost(&stage);
}

#[test]
fn a_command_of_a_mebibyte_is_refused_and_the_largest_runs() {
    let mut stage = stage();
    let job = |bytes: usize| format!("{{\"id\": \"big\", \"command\": \": {}\"}}", "x".repeat(bytes - 2));
    is_refused(&fed(&stage, &["enqueue", "-"], job(1 << 20).as_bytes()), "1 MiB", 2, "131071");
    is_refused(&fed(&stage, &["enqueue", "-"], job(128 * 1024).as_bytes()), "128 KiB", 2, "131071");
    nothing_lost(&stage);
    let largest = fed(&stage, &["enqueue", "-"], job(128 * 1024 - 1).as_bytes());
    assert!(largest.status.success(), "{}", said(&largest));
    let pid = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(pid), Some(0));
    assert_eq!(stage.state("big"), "completed");
}

#[test]
fn numbers_that_are_negative_or_too_large_are_refused() {
    let stage = stage();
    for (field, values) in [
        ("max_retries", &["-1", "1.5", "1000001", "99999999999999999999", "\"3\"", "true"][..]),
        ("priority", &["1000001", "-1000001", "1e30", "0.5", "\"high\""]),
        ("timeout", &["-1", "1e30", "\"-5m\"", "\"soon\"", "[]"]),
        ("delay", &["-1", "1e300", "\"\""]),
        ("backoff_base", &["0", "0.99", "-2", "\"2\""]),
        ("backoff_max", &["-1", "1e30"]),
        ("run_at", &["1e30", "99999999999999999999", "-5", "\"never\"", "true"]),
        ("crash_limit", &["0", "-1"]),
        ("output_max", &["-1", "0", "\"lots\""]),
        ("no_retry_on", &["256", "-1", "[1, 999]", "\"a-b\""]),
    ] {
        for value in values {
            let junk = format!("{{\"command\": \"true\", \"{field}\": {value}}}");
            let words = if field.contains('_') { "" } else { field };
            is_refused(&stage.output(&["enqueue", &junk]), &junk, 2, words);
        }
    }
    for arguments in [
        &["--priority", "99999999999"][..],
        &["--priority", "1.5"],
        &["--max-retries", "-1"],
        &["--max-retries", "99999999999"],
        &["--timeout", "-1"],
        &["--timeout=-1"],
        &["--delay", "1e99"],
        &["--backoff-base", "0"],
        &["--backoff-base", "inf"],
        &["--backoff-base", "nan"],
        &["--run-at", "-5"],
        &["--no-retry-on", "5-2"],
    ] {
        let words = [&["enqueue", "-c", "true"][..], arguments].concat();
        is_refused(&stage.output(&words), &format!("{words:?}"), 2, "");
    }
    for arguments in [
        &["list", "-n", "-1"][..],
        &["list", "-n", "99999999999999999999999"],
        &["worker", "start", "-c", "99999999999"],
        &["worker", "start", "-c", "1025"],
        &["worker", "stop", "--timeout", "-1"],
        &["logs", "kept", "--attempt", "-1"],
        &["show", "last:99999999999999999999999"],
        &["show", "last:-1"],
        &["show", "last:"],
    ] {
        is_refused(&stage.output(arguments), &format!("{arguments:?}"), 2, "");
    }
    nothing_lost(&stage);
}

#[test]
fn unknown_fields_keys_states_and_verbs_are_refused_by_name() {
    let stage = stage();
    for (arguments, words) in [
        (&["enqueue", r#"{"command": "true", "nonsense": 1}"#][..], "`nonsense`"),
        (&["enqueue", r#"{"command": "true", "": 1}"#], "no field"),
        (&["enqueue", r#"{"command": "a", "command": "b"}"#], "given twice"),
        (&["enqueue", r#"{"max_retries": 1, "maxRetries": 2, "command": "a"}"#], "given twice"),
        (&["config", "set", "nonsense", "1"], "`nonsense`"),
        (&["config", "get", ""], "no key"),
        (&["list", "--state", "nonsense"], "`nonsense`"),
        (&["list", "--state", ""], "no state"),
        (&["list", "--state", "\u{1b}[31m"], "no state"),
        (&["list", "--queue", "a b"], "queue name"),
        (&["queue", "pause", "../../etc"], "queue name"),
        (&["list", "--tag", "novalue"], "KEY=VALUE"),
        (&["enqueue", "-c", "true", "--env", "NOVALUE"], "--pass NOVALUE"),
        (&["enqueue", "-c", "true", "--env", "QUEUECTL_JOB_ID=x"], "queuectl's own"),
        (&["nonsense"], "nonsense"),
        (&["\u{1b}[31m"], "unrecognized"),
        (&["list", "--nonsense"], "--nonsense"),
    ] {
        is_refused(&stage.output(arguments), &format!("{arguments:?}"), 2, words);
    }
    nothing_lost(&stage);
}

#[test]
fn ids_that_would_read_as_something_else_are_refused() {
    let stage = stage();
    let long = "x".repeat(129);
    for id in [
        "all",
        "last",
        "last:3",
        "last:",
        "-x",
        "@x",
        "",
        " ",
        "a b",
        "a\tb",
        "a\u{200b}b",
        &long,
        "\u{1b}[0m",
    ] {
        let junk = serde_json::json!({"id": id, "command": "true"}).to_string();
        is_refused(&stage.output(&["enqueue", &junk]), &junk, 2, "");
        let flag = format!("--id={id}");
        is_refused(&stage.output(&["enqueue", &flag, "-c", "true"]), &flag, 2, "");
    }
    for verb in [&["show"][..], &["logs"], &["cancel"], &["retry"], &["dlq", "retry"]] {
        let missing = stage.output(verb);
        is_refused(&missing, &format!("{verb:?} of nothing"), 2, "no job is named");
        for id in ["nobody", "", "\u{1b}[31mred", "kep", &long] {
            let words = [verb, &[id]].concat();
            is_refused(&stage.output(&words), &format!("{words:?}"), 3, "there is no job");
        }
    }
    nothing_lost(&stage);
    assert_eq!(stage.state("kept"), "pending");
}

#[test]
fn one_bad_line_of_many_refuses_all() {
    let stage = stage();
    let mut lines: Vec<String> =
        (0..500).map(|n| format!("{{\"id\": \"n{n}\", \"command\": \"true\"}}")).collect();
    for (junk, code, words) in [
        ("{\"id\": \"x\"", 2, "line"),
        ("{\"id\": \"n3\", \"command\": \"true\"}", 4, "already exists"),
        ("{\"id\": \"kept\", \"command\": \"true\"}", 4, "already exists"),
        ("{\"command\": \"true\", \"max_retries\": -1}", 2, "line 251"),
        ("{\"id\": \"x\"}", 2, "no command"),
        ("5", 2, "line 251"),
    ] {
        let whole = std::mem::replace(&mut lines[250], junk.to_owned());
        let output = fed(&stage, &["enqueue", "-"], lines.join("\n").as_bytes());
        is_refused(&output, junk, code, words);
        nothing_lost(&stage);
        lines[250] = whole;
    }
}

#[test]
fn a_closed_or_full_standard_output_loses_nothing() {
    let stage = stage();
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_queuectl")]).env("QUEUECTL_DB", &stage.database);
        command.stdin(Stdio::null()).output().expect("a shell")
    };
    let head = shell("{ \"$1\" list --json; echo $? >&2; } | head -c 0");
    assert_eq!(said(&head), "0\n", "a closed stdout ends quietly");
    let closed = shell("\"$1\" status >&-; echo $?");
    assert_eq!((String::from_utf8_lossy(&closed.stdout), said(&closed).as_str()), ("0\n".into(), ""));
    let closed = shell("\"$1\" enqueue --id closed -c true >&- 2>&-; echo $?");
    assert_eq!(String::from_utf8_lossy(&closed.stdout), "0\n");
    assert_eq!(stage.state("closed"), "pending");
    let closed = shell("\"$1\" show nobody 2>&-; echo $?");
    assert_eq!(String::from_utf8_lossy(&closed.stdout), "3\n", "the code tells it even if nobody hears");
    let closed = shell("\"$1\" enqueue --id no-stdin -c true <&-; echo $?");
    assert!(String::from_utf8_lossy(&closed.stdout).ends_with("0\n"));
    let full = shell("\"$1\" list --json > /dev/full");
    is_refused(&full, "/dev/full", 5, "cannot write to standard output");
    let full = shell("\"$1\" enqueue --id full -c true > /dev/full");
    assert_eq!(full.status.code(), Some(5));
    assert_eq!(stage.state("full"), "pending", "it was enqueued before it was told");
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let stage = stage();
    std::fs::write(stage.path("junk.db"), [9; 8192]).expect("written");
    std::fs::write(stage.path("short.db"), "SQLite format 3\0").expect("written");
    let before = std::fs::read(stage.path("junk.db")).expect("readable");
    for verb in [
        &["list"][..],
        &["status"],
        &["enqueue", "-c", "true"],
        &["worker", "start"],
        &["config", "set", "max-retries", "1"],
    ] {
        for database in ["junk.db", "short.db", "/", "/proc/none/q.db", "/dev/null", "/dev/full"] {
            // Where nothing is, a reader shows an empty store.
            if database == "/proc/none/q.db" && ["list", "status"].contains(&verb[0]) {
                continue;
            }
            let words = [&["--db", database][..], verb].concat();
            is_refused(&stage.output(&words), &format!("{words:?}"), 5, "");
        }
    }
    assert_eq!(
        std::fs::read(stage.path("junk.db")).expect("readable"),
        before,
        "what is not ours is left alone"
    );
    nothing_lost(&stage);
}

#[test]
fn an_unwritable_store_is_refused() {
    let stage = stage();
    let closed = stage.path("closed");
    std::fs::create_dir(&closed).expect("made");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).expect("ours");
    if rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: root may write everywhere");
        return;
    }
    is_refused(
        &stage.output(&["--db", "closed/q.db", "enqueue", "-c", "true"]),
        "a closed folder",
        5,
        "closed/q.db",
    );
    nothing_lost(&stage);
}
