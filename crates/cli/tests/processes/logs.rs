//! What `logs` prints where nobody looks: every byte, of each run, of several jobs.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::stage::Stage;

#[test]
fn logs_have_a_header_line_a_run_with_its_number_and_exit_code() {
    let mut stage = Stage::new();
    let line = "echo out; echo err >&2; printf unfinished; exit $QUEUECTL_ATTEMPT";
    stage.run(&["enqueue", "--id", "a", "-r", "2", "--backoff", "fixed", "--backoff-base", "1", "-c", line]);
    stage.enqueue("b", r"printf '\033[31mred\033]0;title\007\n'");
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    let one = stage.run(&["logs", "a"]);
    let lines: Vec<&str> = one.lines().collect();
    assert!(lines[0].starts_with("==> attempt 1: exit code 1, 20"), "{one}");
    assert_eq!(lines[1..4], ["out", "unfinished", "err"]);
    assert!(lines[4].starts_with("==> attempt 2: exit code 2, 20"), "{one}");
    let second = stage.run(&["logs", "a", "--attempt", "2"]);
    assert!(second.starts_with("==> attempt 2:") && second.lines().count() == 4, "{second}");
    let both = stage.run(&["logs", "a", "b"]);
    assert!(
        both.contains("==> a, attempt 2: exit code 2,") && both.contains("==> b, attempt 1: exit code 0,")
    );
    // A pipe gets the bytes as they were printed.
    assert_eq!(stage.run(&["logs", "b", "--stdout"]), "\x1b[31mred\x1b]0;title\x07\n");
    assert_eq!(stage.run(&["logs", "a", "b", "--stderr"]), "err\nerr\n");
    assert_eq!(stage.output(&["logs", "a", "b", "--attempt", "9"]).status.code(), Some(3));
    let jsonl = stage.run(&["logs", "a", "--jsonl", "--attempt", "1"]);
    let events: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts: Vec<&str> = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(texts, ["out", "unfinished", "err"]);
    assert_eq!((&events[2]["stream"], &events[3]["event"]), (&"stderr".into(), &"end".into()));
    assert_eq!((&events[3]["exit_code"], &events[3]["attempt"]), (&1.into(), &1.into()));
}

#[test]
fn logs_follow_merges_several_jobs_and_ends_when_all_have_ended() {
    let mut stage = Stage::new();
    stage.start_worker(&["--count", "2"]);
    for id in ["a", "long-name"] {
        stage.enqueue(
            id,
            &format!("echo first {id}; until [ -e go ]; do sleep 0.02; done; echo bad >&2; echo last"),
        );
        stage.until_state(id, "processing");
    }
    let mut child = stage
        .command(&["logs", "-f", "a", "long-name"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdout = child.stdout.take().expect("piped");
    let mut seen = String::new();
    while !(seen.contains("a         | first a\n") && seen.contains("long-name | first long-name\n")) {
        let mut bytes = [0; 1024];
        let read = stdout.read(&mut bytes).expect("a pipe");
        assert!(read > 0, "both are told while they run: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    std::fs::write(stage.path("go"), "").expect("written");
    stdout.read_to_string(&mut seen).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    for line in ["a         ! bad", "a         | last", "long-name ! bad", "long-name | last"] {
        assert!(seen.lines().any(|one| one == line), "{line} is not in {seen}");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("==> a, attempt 1: exit code 0") && said.contains("==> long-name, attempt 1"),
        "{said}"
    );
}

#[test]
fn logs_follow_jsonl_tells_a_line_at_a_time_and_ends_quietly_when_nobody_reads() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    stage.enqueue("a", "echo begun; until [ -e go ]; do sleep 0.02; done");
    let start = |arguments: &[&str]| {
        stage.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
    };
    let mut child = start(&["logs", "a", "-f", "--jsonl"]);
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&event["id"], &event["text"], &event["attempt"]), (&"a".into(), &"begun".into(), &1.into()));
    drop(stdout);
    let output = child.wait_with_output().expect("it ends though the job goes on");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    std::fs::write(stage.path("go"), "").expect("written");
    let output = start(&["logs", "a", "-f", "--jsonl"]).wait_with_output().expect("it ends");
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).expect("a line");
    assert_eq!(serde_json::from_str::<Value>(&last).expect("JSON")["event"], "end");
}

#[test]
fn logs_of_much_output_need_little_memory() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "output-max", "300MB"]);
    stage.enqueue("much", "head -c 100000000 /dev/zero | tr '\\0' 'x'");
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    for arguments in [&["logs", "much"][..], &["logs", "much", "-f"]] {
        let mut child =
            stage.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let peak = {
            let mut stdout = child.stdout.take().expect("piped");
            let (mut total, mut peak) = (0, 0);
            let mut bytes = vec![0; 1 << 20];
            loop {
                let read = stdout.read(&mut bytes).expect("a pipe");
                if read == 0 {
                    break;
                }
                total += read;
                peak = peak.max(resident_kib(child.id()));
            }
            assert!(total >= 100_000_000, "{arguments:?}: {total} bytes");
            peak
        };
        assert!(child.wait().expect("ours").success());
        assert!(peak < 60_000, "{arguments:?}: {peak} KiB");
    }
}

/// The memory of a process, in KiB; 0 once it has ended.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
