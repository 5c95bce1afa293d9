//! Part C of the contract: what is ours beyond the family, bullet by bullet.

use serde_json::{Value, json};

use super::stage::{Stage, refused, until};

#[test]
fn more_on_a_job_as_flags_and_as_json_fields() {
    let stage = Stage::new();
    std::fs::write(stage.path("input"), "fed").expect("written");
    stage.run(&[
        "enqueue",
        "--id",
        "flags",
        "--tag",
        "a=1",
        "--tag",
        "b=2",
        "--env",
        "K=V",
        "--dir",
        "/tmp",
        "--stdin",
        "input",
        "--backoff",
        "linear",
        "--backoff-max",
        "90",
        "--no-retry-on",
        "2,64-66",
        "--ok-codes",
        "3",
        "--at-most-once",
        "--leftovers",
        "keep",
        "--",
        "sh",
        "-c",
        "exit 3",
    ]);
    let json = json!({
        "id": "fields", "args": ["sh", "-c", "exit 3"], "tags": {"a": "1", "b": "2"}, "env": {"K": "V"}, "dir": "/tmp",
        "stdin": stage.path("input"), "backoff": "linear", "backoff_max": 90, "no_retry_on": [2, 64, 65, 66],
        "ok_codes": [3], "at_most_once": true, "leftovers": "keep",
    });
    stage.run(&["enqueue", &json.to_string()]);
    let without = |id: &str| {
        let mut job = stage.job(id);
        for field in ["id", "created_at", "updated_at"] {
            job.as_object_mut().expect("an object").remove(field);
        }
        job
    };
    assert_eq!(without("flags"), without("fields"));
    let job = stage.job("flags");
    assert_eq!(job["command"], "sh -c 'exit 3'", "the quoted form");
    assert_eq!(job["tags"], json!({"a": "1", "b": "2"}));
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(stage.state("flags"), "completed", "3 is one of its codes of success");
}

#[test]
fn command_and_args_exclude_each_other() {
    let stage = Stage::new();
    refused(&stage, &["enqueue", r#"{"command":"true","args":["true"]}"#], 2, "args");
    refused(&stage, &["enqueue", "-c", "true", "--", "true"], 2, "give one of these");
    refused(&stage, &["enqueue", r#"{"id":"x"}"#], 2, "command");
}

#[test]
fn a_code_that_forbids_a_retry_buries_at_once() {
    let stage = Stage::new();
    stage.run(&["enqueue", "--id", "a", "--no-retry-on", "7", "-c", "exit 7"]);
    stage.run(&["worker", "start", "--drain"]);
    let job = stage.job("a");
    assert_eq!((&job["state"], &job["attempts"], &job["exit_code"]), (&json!("dead"), &json!(1), &json!(7)));
}

#[test]
fn add_and_run_share_a_grammar() {
    let stage = Stage::new();
    let line = stage.run(&["add", "--quiet", "echo one; echo two"]);
    assert_eq!(stage.job(line.trim())["command"], "echo one; echo two");
    let argv = stage.run(&["add", "--quiet", "-q", "mail", "--", "echo", "two words"]);
    assert_eq!(stage.job(argv.trim())["command"], "echo 'two words'");
    for verb in ["add", "run"] {
        refused(&stage, &[verb, "echo", "bare"], 2, "");
        refused(&stage, &[verb], 2, "");
        refused(&stage, &[verb, "true", "--", "true"], 2, "");
    }
    assert_eq!(stage.run(&["list", "--quiet"]).lines().count(), 2, "what was refused is not there");
}

#[test]
fn a_run_that_finds_every_slot_taken_says_where_it_stands() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    stage.enqueue("long", "until [ -e go ]; do sleep 0.05; done");
    stage.until_state("long", "processing");
    stage.enqueue("before", "true");
    let mut run = stage.command(&["run", "echo mine"]);
    let log = std::fs::File::create(stage.path("run.err")).expect("a file");
    let child = run.stdout(std::process::Stdio::piped()).stderr(log).spawn().expect("the binary runs");
    until("it says so", || {
        stage.read("run.err").contains("every slot is taken")
            && stage.read("run.err").contains("goes before it")
    });
    std::fs::write(stage.path("go"), "").expect("written");
    let output = child.wait_with_output().expect("our child");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"mine\n"[..]));
}

#[test]
fn ids_that_would_be_selectors_or_flags_are_refused() {
    let stage = Stage::new();
    for id in ["all", "last", "last:3", "-x", "@x", "", "two words", "\u{7}"] {
        let json = json!({"id": id, "command": "true"}).to_string();
        refused(&stage, &["enqueue", &json], 2, "");
    }
    refused(&stage, &["enqueue", &json!({"id": "x".repeat(129), "command": "true"}).to_string()], 2, "128");
    assert_eq!(stage.run(&["list", "--json"]), "[]\n");
}

#[test]
fn hooks_fire_no_hooks() {
    let stage = Stage::new();
    stage.run(&[
        "config",
        "set",
        "on-dead",
        "echo \"$QUEUECTL_DEAD_ID $QUEUECTL_DEAD_EXIT_CODE\" >> died; exit 1",
    ]);
    stage.run(&["enqueue", "--id", "a", "-r", "1", "-c", "exit 4"]);
    stage.run(&["config", "set", "--queue", "hooks", "max-retries", "1"]);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(stage.read("died"), "a 4\n");
    let hooks: Value =
        serde_json::from_str(&stage.run(&["list", "--queue", "hooks", "--json"])).expect("JSON");
    assert_eq!(hooks.as_array().map(Vec::len), Some(1), "one hook, dead as it is: {hooks}");
    assert_eq!(hooks[0]["state"], "dead");
}

#[test]
fn exit_codes_are_as_agreed() {
    let mut stage = Stage::new();
    let code = |arguments: &[&str]| stage.output(arguments).status.code();
    assert_eq!(code(&["list"]), Some(0), "an empty list");
    assert_eq!(code(&["worker", "stop"]), Some(0), "nobody there");
    stage.enqueue("a", "until [ -e go ]; do sleep 0.05; done");
    assert_eq!(code(&["dlq", "retry", "a"]), Some(1), "not dead");
    assert_eq!(code(&["enqueue", "{"]), Some(2));
    assert_eq!(code(&["list", "--state", "nosuch"]), Some(2));
    assert_eq!(code(&["config", "set", "nosuch", "1"]), Some(2));
    assert_eq!(code(&["show", "nosuch"]), Some(3));
    assert_eq!(code(&["enqueue", r#"{"id":"a","command":"true"}"#]), Some(4), "a duplicate");
    assert_eq!(code(&["--db", "/proc/none/q.db", "enqueue", "-c", "true"]), Some(5));
    assert_eq!(code(&["--db", "/proc/none/q.db", "run", "true"]), Some(125), "queuectl itself failed");
    stage.start_worker(&[]);
    stage.until_state("a", "processing");
    let code = |arguments: &[&str]| stage.output(arguments).status.code();
    assert_eq!(code(&["retry", "a"]), Some(4), "running");
    std::fs::write(stage.path("go"), "").expect("written");
    stage.until_state("a", "completed");
    assert_eq!(stage.output(&["cancel", "a"]).status.code(), Some(4), "already ended");
}

#[test]
fn a_job_inside_knows_its_store_by_an_absolute_path() {
    let stage = Stage::new();
    stage.run(&["--db", "queue.db", "enqueue", "--id", "a", "--dir", "/", "-c", "echo $QUEUECTL_DB"]);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(stage.run(&["logs", "a", "--stdout"]).trim(), stage.database.to_string_lossy());
}

#[test]
fn a_run_whose_reader_has_gone_finishes_its_job() {
    let stage = Stage::new();
    let line = "seq 1 3000; until [ -e go ]; do sleep 0.05; done; seq 1 3000; touch done";
    let mut child = stage
        .command(&["run", "--id", "a", line])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut first).expect("it prints");
    drop(child.stdout.take());
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(child.wait().expect("our child").code(), Some(0), "quietly");
    assert_eq!(stage.state("a"), "completed");
    assert!(stage.path("done").exists());
}

#[test]
fn a_run_keeps_to_max_running_and_to_a_pause() {
    let stage = Stage::new();
    stage.run(&["config", "set", "max-running", "1"]);
    let line = "echo begin >> log; sleep 0.2; echo end >> log";
    let children: Vec<_> =
        (0..3).map(|_| stage.command(&["run", line]).spawn().expect("the binary runs")).collect();
    for mut child in children {
        assert_eq!(child.wait().expect("our child").code(), Some(0));
    }
    assert_eq!(stage.lines("log"), ["begin", "end", "begin", "end", "begin", "end"]);
    stage.run(&["queue", "pause"]);
    let log = std::fs::File::create(stage.path("run.err")).expect("a file");
    let mut child = stage.command(&["run", "true"]).stderr(log).spawn().expect("the binary runs");
    until("it says why it waits", || stage.read("run.err").contains("queuectl queue resume default"));
    stage.run(&["queue", "resume"]);
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn a_run_that_fails_in_no_plain_way_says_how() {
    let stage = Stage::new();
    for (line, code, says) in [("kill -9 $$", 137, "killed by signal 9"), ("sleep 60", 124, "timed out")] {
        let output = stage.output(&["run", "--timeout", "0.3", line]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && stderr.contains(says), "{line}: {stderr}");
    }
}

#[test]
fn a_database_behind_a_link_that_leads_nowhere_yet_is_made_there() {
    let stage = Stage::new();
    std::os::unix::fs::symlink("real.db", stage.path("link.db")).expect("a link");
    let link = stage.path("link.db");
    stage.run(&["--db", &link.to_string_lossy(), "enqueue", "--id", "a", "-c", "true"]);
    let real = stage.path("real.db");
    assert_eq!(stage.run(&["--db", &real.to_string_lossy(), "list", "--quiet"]), "a\n");
}

#[test]
fn an_instant_that_is_past_is_echoed_and_doubles_are_refused() {
    let stage = Stage::new();
    let said = stage.run(&["enqueue", "--id", "a", "--run-at", "2020-01-01T00:00:00Z", "-c", "true"]);
    assert_eq!(said, "Enqueued job a, to run at once: 2020-01-01T00:00:00.000Z is past\n");
    refused(&stage, &["enqueue", "--tag", "k=1", "--tag", "k=2", "-c", "true"], 2, "given twice");
    refused(&stage, &["enqueue", r#"{"command":"true"} {"command":"true"}"#], 2, "more than one JSON value");
    refused(&stage, &["enqueue", &json!({"id": "\u{3164}", "command": "true"}).to_string()], 2, "");
    refused(&stage, &["config", "set", "pass-env", "A=B"], 2, "without");
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
}
