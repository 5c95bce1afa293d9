//! Seeing what happens: stats, explain, show, queue show. Parts B and C of the contract.

use serde_json::Value;

use super::stage::{Stage, until};

fn json(stage: &Stage, arguments: &[&str]) -> Value {
    serde_json::from_str(&stage.run(arguments)).expect("JSON")
}

fn reasons(stage: &Stage, id: &str) -> Vec<String> {
    let view = json(stage, &["explain", id, "--json"]);
    assert_eq!(view["schema"], 1);
    let codes = view["reasons"].as_array().expect("an array").iter();
    codes.map(|reason| reason["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn stats_and_metrics_measure_a_window() {
    let stage = Stage::new();
    assert_eq!(json(&stage, &["stats", "--json"])["attempts"], 0, "where there is no store");
    for id in ["a", "b", "c"] {
        stage.enqueue(id, "true");
    }
    stage.run(&[
        "enqueue",
        "--id",
        "d",
        "-q",
        "mail",
        "-r",
        "2",
        "--backoff-base",
        "1",
        "--backoff",
        "fixed",
        "-c",
        "exit 7",
    ]);
    stage.run(&["worker", "start", "--drain"]);
    let view = json(&stage, &["metrics", "--json"]);
    assert_eq!(view["schema"], 1);
    let figures =
        ["attempts", "completed", "dead", "retries", "failed_attempts"].map(|name| view[name].clone());
    assert_eq!(figures, [5, 3, 1, 1, 2].map(Value::from));
    assert_eq!(view["failures"][0]["what"], "exit code 7");
    assert!(view["run_seconds"]["p99"].as_f64().is_some_and(|seconds| seconds < 30.0));
    assert_eq!(json(&stage, &["stats", "--queue", "mail", "--json"])["attempts"], 2);
    let text = stage.run(&["stats", "--window", "10m"]);
    for word in ["5 attempts", "exit code 7", "P99", "mail"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert_eq!(stage.output(&["stats", "--window", "0"]).status.code(), Some(2));
}

#[test]
fn explain_says_why_a_job_does_not_run() {
    let mut stage = Stage::new();
    stage.enqueue("a", "until [ -e go ]; do sleep 0.05; done");
    assert_eq!(reasons(&stage, "a"), ["no_worker"]);
    stage.run(&["enqueue", "--id", "late", "--delay", "1h", "-c", "true"]);
    assert_eq!(reasons(&stage, "late"), ["not_due", "no_worker"]);
    stage.start_worker(&[]);
    stage.until_state("a", "processing");
    assert_eq!(reasons(&stage, "a"), ["running"]);
    stage.enqueue("b", "true");
    stage.enqueue("c", "true");
    assert_eq!(reasons(&stage, "c"), ["slots_busy", "others_first"]);
    stage.run(&["config", "set", "max-running", "1"]);
    assert_eq!(reasons(&stage, "b"), ["limit_reached", "slots_busy"]);
    stage.run(&["queue", "pause"]);
    assert_eq!(reasons(&stage, "b")[0], "queue_paused");
    assert!(stage.run(&["explain", "b"]).contains("queuectl queue resume default"), "with what to do");
    stage.run(&["queue", "resume"]);
    std::fs::write(stage.path("go"), "").expect("written");
    stage.until_state("c", "completed");
    assert_eq!(reasons(&stage, "c"), ["completed"]);
    stage.run(&["enqueue", "--id", "f", "--backoff-base", "1000", "-c", "exit 3"]);
    stage.until_state("f", "failed");
    assert_eq!(reasons(&stage, "f"), ["backing_off"]);
    assert!(stage.run(&["explain", "f"]).contains("after attempt 1 of 3"));
}

#[test]
fn show_tells_the_whole_story_of_a_job() {
    let stage = Stage::new();
    stage.run(&[
        "enqueue",
        "--id",
        "a",
        "-r",
        "2",
        "--backoff-base",
        "1",
        "--env",
        "SECRET=hush",
        "-c",
        "echo out; exit 3",
    ]);
    stage.run(&["worker", "start", "--drain"]);
    for verb in ["show", "get", "info", "inspect"] {
        let text = stage.run(&[verb, "a"]);
        assert_eq!(text.lines().filter(|line| line.contains("exited with 3")).count(), 2, "{text}");
        assert!(text.contains("SECRET") && !text.contains("hush"), "{text}");
    }
    let view = json(&stage, &["show", "a", "--json"]);
    assert_eq!((&view["schema"], &view["attempts"]), (&1.into(), &2.into()));
    assert_eq!(view["attempts_log"].as_array().map(Vec::len), Some(2));
    stage.run(&["enqueue", "--id", "w", "-c", "true"]);
    assert!(stage.run(&["show", "w"]).contains("no running worker takes queue default"), "and why it waits");
}

#[test]
fn queue_list_show_pause_and_resume() {
    let mut stage = Stage::new();
    assert_eq!(stage.output(&["queue", "show"]).status.code(), Some(3));
    stage.run(&["enqueue", "-q", "mail", "-c", "true"]);
    stage.run(&["config", "set", "--queue", "mail", "max-running", "4"]);
    stage.run(&["queue", "pause", "mail"]);
    stage.start_worker(&["--count", "3", "-q", "mail"]);
    let view = json(&stage, &["queue", "show", "mail", "--json"]);
    assert_eq!((&view["paused"], &view["max_running"], &view["slots"]), (&true.into(), &4.into(), &3.into()));
    assert_eq!(view["jobs"]["pending"], 1);
    let text = stage.run(&["queue", "show", "mail"]);
    assert!(
        text.contains("mail: paused") && text.contains("at most 4") && text.contains("3 slots"),
        "{text}"
    );
    let output = stage.output(&["queue", "show", "mial"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `mail`?"));
    stage.run(&["queue", "resume", "mail"]);
    until("it runs", || stage.run(&["list", "--state", "completed", "--quiet"]).lines().count() == 1);
    assert_eq!(json(&stage, &["queue", "list", "--json"])[0]["name"], "mail");
}
