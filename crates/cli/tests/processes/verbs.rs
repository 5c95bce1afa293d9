//! What each verb takes and prints.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::stage::{Stage, until};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn tables_read_as_agreed() {
    let stage = Stage::new();
    insta::assert_snapshot!("config-list", stage.run(&["config", "list"]));
    let status = stage.run(&["status"]).replace(&*stage.database.to_string_lossy(), "DATABASE");
    insta::assert_snapshot!("status", status);
}

#[test]
fn json_is_on_one_line_and_has_the_agreed_fields_in_order() {
    let stage = Stage::new();
    stage.run(&["enqueue", r#"{"id":"job1","command":"sleep 2","priority":5,"tags":{"a":"b"}}"#]);
    let line = stage.run(&["list", "--json"]);
    assert_eq!(line.lines().count(), 1);
    assert!(line.starts_with(
        r#"[{"schema": 1, "id": "job1", "command": "sleep 2", "state": "pending", "attempts": 0, "#
    ));
    let fields = "schema id command state attempts max_retries created_at updated_at queue priority timeout run_at \
                  backoff_base next_retry_at last_error exit_code worker_id started_at completed_at tags kind runs \
                  interruptions cancel_requested";
    let mut at = 0;
    for field in fields.split_ascii_whitespace() {
        let found = line[at..]
            .find(&format!("\"{field}\": "))
            .unwrap_or_else(|| panic!("{field} is missing or late"));
        at += found;
    }
    assert_eq!(parse(&stage.run(&["show", "job1", "--json"]))["tags"], json!({"a": "b"}));
    assert_eq!(parse(&stage.run(&["status", "--json"]))["jobs"]["pending"], 1);
}

#[test]
fn jobs_come_in_every_form() {
    let stage = Stage::new();
    let id = stage.run(&["enqueue", "--quiet", "-c", "echo a"]);
    assert_eq!(id.trim().len(), 16);
    stage.run(&["enqueue", "--id", "argv", "--", "printf", "%s|", "a b", "it's", "$HOME"]);
    assert_eq!(stage.job("argv")["command"], r"printf '%s|' 'a b' 'it'\''s' '$HOME'");
    stage.run(&["add", "echo b", "--id", "added"]);
    std::fs::write(stage.path("one"), r#"{"id":"file","command":"true"}"#).expect("written");
    stage.run(&["enqueue", "@one"]);
    std::fs::write(stage.path("two"), r#"[{"id":"x1","command":"true"},{"id":"x2","command":"true"}]"#)
        .expect("written");
    stage.run(&["enqueue", "--file", "two"]);
    let camel =
        r#"{"id":"camel","command":"x","maxRetries":7,"runAt":"2099-01-01T00:00:00Z","timeout_seconds":1.5}"#;
    let said = stage.run(&["enqueue", camel, "--priority", "-3", "--max_retries=9"]);
    assert!(said.contains("2099-01-01T00:00:00.000Z"), "the instant is echoed in UTC: {said}");
    let job = stage.job("camel");
    assert_eq!(
        (&job["max_retries"], &job["priority"], &job["timeout"]),
        (&json!(9), &json!(-3), &json!(1.5))
    );
    let mut child = stage
        .command(&["enqueue", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines: String = (0..10_000).map(|n| format!("{{\"id\":\"n{n}\",\"command\":\"true\"}}\n")).collect();
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 10_000);
    assert_eq!(stage.run(&["list", "--quiet"]).lines().count(), 10_007);
    assert_eq!(stage.run(&["list", "--quiet", "-n", "2"]), "n9998\nn9999\n");
}

#[test]
fn settings_have_many_spellings_and_one_value() {
    let stage = Stage::new();
    stage.run(&["config", "set", "maxRetries", "5"]);
    for key in ["max-retries", "max_retries", "maxRetries"] {
        assert_eq!(stage.run(&["config", "get", key]), "5\n");
    }
    stage.run(&["config", "set", "poll-interval-ms", "250"]);
    assert_eq!(stage.run(&["config", "get", "poll-interval-ms"]), "250\n");
    assert_eq!(stage.run(&["config", "get", "poll-interval"]), "250ms\n");
    stage.run(&["config", "set", "--queue", "mail", "max-retries", "1"]);
    stage.run(&["enqueue", "--id", "a", "-q", "mail", "-c", "true"]);
    stage.run(&["enqueue", "--id", "b", "-c", "true"]);
    assert_eq!((&stage.job("a")["max_retries"], &stage.job("b")["max_retries"]), (&json!(1), &json!(5)));
    stage.run(&["config", "unset", "max-retries"]);
    assert_eq!(stage.run(&["config", "get", "max-retries"]), "3\n");
}

#[test]
fn a_jobs_environment_is_as_the_contract_says() {
    let mut stage = Stage::new();
    let line = "env | sort > env.txt; pwd > pwd.txt; cat > in.txt; umask > umask.txt";
    let output = stage
        .command(&["enqueue", "--id", "e", "-q", "q1", "--env", "MINE=1", "--pass", "TAKEN", "-c", line])
        .envs([("TAKEN", "yes"), ("LEFT", "no"), ("LC_ALL", "C"), ("QUEUECTL_EVIL", "1")])
        .output()
        .expect("the binary runs");
    assert!(output.status.success());
    std::fs::write(stage.path("input"), "fed").expect("written");
    stage.run(&["enqueue", "--id", "fed", "--stdin", "input", "-c", "cat > fed.txt"]);
    stage.start_worker(&["--drain"]);
    stage.until_state("e", "completed");
    stage.until_state("fed", "completed");
    let env = stage.lines("env.txt");
    let has = |line: &str| env.iter().any(|one| one == line);
    let named = |name: &str| env.iter().any(|one| one.starts_with(&format!("{name}=")));
    for line in [
        "MINE=1",
        "TAKEN=yes",
        "LC_ALL=C",
        "QUEUECTL_JOB_ID=e",
        "QUEUECTL_ATTEMPT=1",
        "QUEUECTL_QUEUE=q1",
        "QUEUECTL_SLOT=1",
    ] {
        assert!(has(line), "{line} is not in {env:?}");
    }
    assert!(named("QUEUECTL_CLAIM") && has(&format!("QUEUECTL_DB={}", stage.database.display())));
    assert!(!named("LEFT") && !named("QUEUECTL_EVIL"));
    assert_eq!(
        stage.read("pwd.txt").trim(),
        stage.dir.path().canonicalize().expect("there").to_string_lossy()
    );
    assert_eq!((stage.read("in.txt"), stage.read("fed.txt")), (String::new(), "fed".to_owned()));
    assert_ne!(stage.read("umask.txt").trim(), "0077", "the tester's own umask, not ours");
    let shown = stage.run(&["show", "e"]);
    assert!(shown.contains("MINE") && !shown.contains("yes"), "values stay hidden: {shown}");
}

#[test]
fn run_passes_output_and_code_through() {
    let stage = Stage::new();
    for (line, code) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)] {
        assert_eq!(stage.output(&["run", line]).status.code(), Some(code), "{line}");
    }
    let output = stage.output(&["run", "echo out; echo err >&2"]);
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let output = stage.output(&["run", "--", "no-such-program-anywhere"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"));
    let output =
        stage.output(&["run", "-r", "2", "--backoff", "fixed", "--backoff-base", "1", "echo again; exit 9"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(9), &b"again\nagain\n"[..]));
    let output = stage.output(&["run", "seq 1 100000"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 100_000);
}

#[test]
fn an_interrupted_run_cancels_its_job() {
    for served in [false, true] {
        let mut stage = Stage::new();
        if served {
            stage.start_worker(&[]);
        }
        let mut child =
            stage.command(&["run", "echo begun >> begun; exec sleep 60"]).spawn().expect("it runs");
        until("the job runs", || !stage.lines("begun").is_empty());
        crate::stage::signal(child.id(), crate::stage::INT);
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "served: {served}");
        assert_eq!(stage.job("last")["state"], "cancelled");
    }
}

#[test]
fn logs_keep_every_byte_of_every_attempt() {
    let mut stage = Stage::new();
    let line = r#"printf "n$QUEUECTL_ATTEMPT\377\000x"; head -c 100000 /dev/zero; echo bad >&2; exit 1"#;
    stage.run(&["enqueue", "--id", "j", "-r", "2", "--backoff", "fixed", "--backoff-base", "1", "-c", line]);
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    let second = stage.output(&["logs", "j", "--stdout", "--attempt", "2"]).stdout;
    assert!(second.starts_with(b"n2\xff\x00x") && second.len() == 100_005, "{} bytes", second.len());
    assert_eq!(stage.run(&["logs", "j", "--stderr"]), "bad\nbad\n");
    let both = String::from_utf8_lossy(&stage.output(&["logs", "j"]).stdout).into_owned();
    assert!(both.contains("==> attempt 1: exit code 1,") && both.contains("==> attempt 2: exit code 1,"));
    assert_eq!(stage.output(&["logs", "j", "--attempt", "3"]).status.code(), Some(3));
    assert_eq!(stage.job("j")["last_error"], "exit code 1: bad");
}

#[test]
fn logs_follow_a_running_job_to_its_end() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    stage.enqueue("j", "echo first; until [ -e go ]; do sleep 0.02; done; echo last");
    stage.until_state("j", "processing");
    let child = stage
        .command(&["logs", "j", "--follow", "--stdout"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    std::fs::write(stage.path("go"), "").expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.stdout, b"first\nlast\n");
    stage.run(&["worker", "stop"]);
}

#[test]
fn selectors_name_jobs() {
    let stage = Stage::new();
    let made = stage.run(&["enqueue", "--quiet", "-c", "true"]).trim().to_owned();
    stage.enqueue("mine-long-name", "true");
    assert_eq!(stage.job(&made[..15])["id"], made.as_str());
    assert_eq!(stage.output(&["show", "mine"]).status.code(), Some(3), "only generated ids have prefixes");
    assert_eq!(stage.output(&["show", &made[..3]]).status.code(), Some(3), "and of four characters at least");
    assert_eq!(stage.job("last")["id"], "mine-long-name");
    let said = stage.run(&["cancel", "last:2"]);
    assert_eq!(said.lines().count(), 2);
}

#[test]
fn a_paused_queue_starts_nothing() {
    let mut stage = Stage::new();
    stage.run(&["queue", "pause", "slow"]);
    stage.run(&["enqueue", "--id", "held", "-q", "slow", "-c", "true"]);
    stage.run(&["enqueue", "--id", "free", "-c", "true"]);
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0), "a drain does not wait for a paused queue");
    assert_eq!((stage.state("held"), stage.state("free")), ("pending".to_owned(), "completed".to_owned()));
    stage.run(&["queue", "resume", "slow"]);
    let worker = stage.start_worker(&["--drain", "--queue", "slow"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(stage.state("held"), "completed");
    let queues = parse(&stage.run(&["queue", "list", "--json"]));
    assert_eq!((&queues[1]["name"], &queues[1]["paused"]), (&json!("slow"), &json!(false)));
}

#[test]
fn a_detached_worker_is_registered_when_the_call_returns() {
    let stage = Stage::new();
    let said = stage.run(&["worker", "start", "--detach", "--count", "2"]);
    let log = said.trim().rsplit("log ").next().expect("a path").to_owned();
    assert!(std::path::Path::new(&log).exists(), "{said}");
    assert!(stage.run(&["status"]).contains("2 active in 1 process"));
    stage.enqueue("j", "true");
    stage.until_state("j", "completed");
    assert!(stage.run(&["worker", "stop"]).contains("Stopped 1 worker process"));
    assert_eq!(stage.run(&["worker", "list", "--json"]), "[]\n");
}

#[test]
fn the_dead_letter_queue_can_be_emptied() {
    let mut stage = Stage::new();
    for id in ["a", "b"] {
        stage.run(&["enqueue", "--id", id, "-r", "1", "-c", "head -c 100000 /dev/zero; exit 1"]);
    }
    let worker = stage.start_worker(&["--drain"]);
    assert_eq!(stage.await_worker(worker), Some(0));
    assert_eq!(stage.run(&["dlq", "list", "--quiet"]), "a\nb\n");
    let output = stage.output(&["dlq", "purge"]);
    assert_eq!(output.status.code(), Some(1), "it asks, and nobody says yes");
    assert!(stage.run(&["dlq", "retry", "a"]).contains("pending"));
    assert_eq!(stage.run(&["dlq", "purge", "--yes"]), "Deleted 1 job\n");
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
    let left = std::fs::read_dir(stage.path("queue.db.out")).expect("there").count();
    assert_eq!(left, 1, "the output of the deleted job is gone, that of the other is not");
}
