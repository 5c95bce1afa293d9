//! Selectors wherever jobs are named, and the verbs that change, delete and await jobs: part C of the contract.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::stage::{INT, Stage, has_signal, refused, signal, until};

fn ids(stage: &Stage, arguments: &[&str]) -> Vec<String> {
    let words: Vec<&str> = ["list", "--quiet"].iter().chain(arguments).copied().collect();
    stage.run(&words).lines().map(str::to_owned).collect()
}

/// Three jobs of queue `mail`, one of them tagged, and two of the default one.
fn five() -> Stage {
    let stage = Stage::new();
    for (id, more) in [("m1", &["--tag", "team=red"][..]), ("m2", &[]), ("m3", &[])] {
        stage.run(&[&["enqueue", "--id", id, "-q", "mail", "-c", "true"], more].concat());
    }
    stage.enqueue("d1", "true");
    stage.enqueue("d2", "true");
    stage
}

#[test]
fn selectors_wherever_jobs_are_named() {
    let stage = five();
    assert_eq!(stage.run(&["cancel", "--tag", "team=red"]), "Cancelled job m1\n");
    assert_eq!(stage.run(&["cancel", "last"]), "Cancelled job d2\n");
    assert_eq!(ids(&stage, &["--state", "cancelled"]), ["m1", "d2"]);
    // Words and flags together mean what both mean.
    assert_eq!(stage.run(&["retry", "m1", "d2", "--queue", "mail"]).lines().count(), 1);
    assert_eq!(ids(&stage, &["--state", "cancelled"]), ["d2"]);
    assert_eq!(stage.run(&["cancel", "all", "--queue", "mail"]).lines().count(), 3);
    assert_eq!(ids(&stage, &["-s", "pending"]), ["d1"]);
    assert!(stage.run(&["show", "--state", "pending"]).contains("d1"));
    let shown: Value =
        serde_json::from_str(&stage.run(&["show", "--queue", "mail", "--json"])).expect("JSON");
    assert_eq!(shown.as_array().map(Vec::len), Some(3), "an array of several, one object of one");
    assert_eq!(stage.run(&["explain", "last:2"]).matches("Job ").count(), 2);
    refused(&stage, &["cancel", "--queue", "nosuch"], 3, "no job matches");
    refused(&stage, &["cancel", "d1", "nosuch"], 3, "nosuch");
    assert_eq!(stage.state("d1"), "pending", "a word that names nothing refuses all");
}

#[test]
fn no_verb_acts_on_everything_unless_told_all() {
    let stage = five();
    for verb in ["cancel", "retry", "delete", "wait", "edit", "show", "logs"] {
        refused(&stage, &[verb], 2, "no job is named");
    }
    refused(&stage, &["clear"], 2, "no state");
    refused(&stage, &["prune"], 2, "--older-than");
    assert_eq!(ids(&stage, &["--state", "pending"]).len(), 5);
}

#[test]
fn edit_changes_waiting_jobs() {
    let mut stage = five();
    let said = stage.run(&["edit", "--queue", "mail", "--set", "priority=-7", "--set", "timeout=5m"]);
    assert_eq!(said.lines().count(), 3);
    let job = stage.job("m2");
    assert_eq!((&job["priority"], &job["timeout"]), (&Value::from(-7), &Value::from(300)));
    stage.run(&[
        "edit",
        "d1",
        "--set",
        "command=echo changed",
        "--set",
        "max_retries=9",
        "--set",
        "queue=other",
    ]);
    let job = stage.job("d1");
    assert_eq!((&job["command"], &job["queue"]), (&Value::from("echo changed"), &Value::from("other")));
    stage.run(&["edit", "d2", "--set", "run_at=+1h"]);
    stage.start_worker(&["--drain"]);
    stage.until_state("d1", "completed");
    assert_eq!(stage.run(&["logs", "d1", "--stdout"]), "changed\n", "what runs is what was written");
    refused(&stage, &["edit", "d1", "d2", "--set", "priority=1"], 4, "d1 is completed");
    assert_eq!(stage.job("d2")["priority"], 0, "nothing was changed");
    stage.run(&["edit", "d2", "--set", "run_at=now"]);
    assert_eq!(stage.job("d2")["run_at"], Value::Null);
    refused(&stage, &["edit", "d2", "--set", "state=dead"], 2, "cannot be changed");
    refused(&stage, &["edit", "d2", "--set", "priority"], 2, "FIELD=VALUE");
    refused(&stage, &["edit", "d2", "--set", "priority=high"], 2, "whole number");
}

#[test]
fn edit_opens_one_document_for_several_jobs() {
    let stage = five();
    let with_editor = |editor: &str, jobs: &[&str]| {
        let words: Vec<&str> = ["edit"].iter().chain(jobs).copied().collect();
        stage.command(&words).env("EDITOR", editor).env_remove("VISUAL").output().expect("it runs")
    };
    let script = stage.path("editor.sh");
    std::fs::write(&script, "sed -i 's/^priority = 0/priority = 4/' \"$1\"\n").expect("written");
    let output = with_editor(&format!("sh {}", script.display()), &["m1", "d1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&stage.job("m1")["priority"], &stage.job("d1")["priority"]), (&4.into(), &4.into()));
    assert_eq!(stage.job("m2")["priority"], 0);
    let output = with_editor("true", &["m1"]);
    assert!(output.status.success() && output.stdout.is_empty(), "nothing was changed");
    let output = with_editor("false", &["m1"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("is in "), "nothing was written, so nothing is kept: {stderr}");
    // Invalid: what was written is kept, and the file is named.
    std::fs::write(&script, "echo 'priority = = 3' >> \"$1\"\n").expect("written");
    let output = with_editor(&format!("sh {}", script.display()), &["m1"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let kept = stderr.split("is in ").nth(1).expect("it is named").trim();
    assert!(std::fs::read_to_string(kept).expect("it is there").contains("= = 3"));
    std::fs::remove_file(kept).expect("it is ours");
    // Somebody else is faster.
    let line = format!(
        "{} edit m1 --set priority=9 > /dev/null; sed -i 's/priority = 4/priority = 5/' \"$1\"\n",
        env!("CARGO_BIN_EXE_queuectl")
    );
    std::fs::write(&script, line).expect("written");
    let output = with_editor(&format!("sh {}", script.display()), &["m1"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(4) && stderr.contains("meanwhile"), "{stderr}");
    assert_eq!(stage.job("m1")["priority"], 9);
    let kept = stderr.split("is in ").nth(1).expect("it is named").trim();
    std::fs::remove_file(kept).expect("it is ours");
}

#[test]
fn delete_takes_all_but_running_jobs() {
    let mut stage = five();
    stage.enqueue("long", "until [ -e go ]; do sleep 0.05; done; echo done");
    stage.run(&["edit", "long", "--set", "priority=9"]);
    stage.start_worker(&[]);
    stage.until_state("long", "processing");
    refused(&stage, &["delete", "m1", "long"], 4, "running: long");
    assert_eq!(stage.state("m1"), "pending", "nothing was deleted");
    assert_eq!(stage.run(&["delete", "m1"]), "Deleted job m1\n");
    assert_eq!(stage.run(&["delete", "all"]), "Deleted 4 jobs\n");
    assert_eq!(ids(&stage, &[]), ["long"]);
    std::fs::write(stage.path("go"), "").expect("written");
    stage.until_state("long", "completed");
    assert_eq!(stage.run(&["delete", "--state", "completed", "--quiet"]), "long\n");
    refused(&stage, &["delete", "long"], 3, "long");
}

#[test]
fn clear_reset_and_purge_ask_first() {
    let stage = five();
    stage.run(&["cancel", "m1", "d1"]);
    let answer = |arguments: &[&str], answer: &str| {
        let mut child = stage
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        child.stdin.take().expect("piped").write_all(answer.as_bytes()).expect("it listens");
        let output = child.wait_with_output().expect("our child");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let clear = ["clear", "--state", "cancelled"];
    assert_eq!(answer(&clear, ""), (Some(1), String::new()));
    assert_eq!(answer(&clear, "n\n"), (Some(1), String::new()));
    assert_eq!(answer(&clear, "y\n"), (Some(0), "Deleted 2 jobs\n".to_owned()));
    assert_eq!(ids(&stage, &[]).len(), 3);
    stage.run(&["config", "set", "max-retries", "7"]);
    assert_eq!(answer(&["reset"], "n\n").0, Some(1));
    assert_eq!(stage.run(&["reset", "--yes"]), "Deleted 3 jobs\n");
    assert_eq!(stage.run(&["config", "get", "max-retries"]), "7\n", "the configuration stays");
    stage.run(&["enqueue", "--id", "x", "-r", "1", "-c", "false"]);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(answer(&["dlq", "purge"], "y\n"), (Some(0), "Deleted 1 job\n".to_owned()));
}

#[test]
fn reset_refuses_while_workers_live() {
    let mut stage = five();
    let worker = stage.start_worker(&["-q", "none"]);
    refused(&stage, &["reset", "--yes"], 4, &worker.to_string());
    assert_eq!(ids(&stage, &[]).len(), 5);
}

#[test]
fn prune_goes_by_age_state_and_queue() {
    let stage = five();
    stage.run(&["cancel", "m1", "m2", "d1"]);
    assert_eq!(stage.run(&["prune", "--older-than", "1h"]), "Deleted 0 jobs\n");
    assert_eq!(stage.run(&["prune", "--older-than", "0", "--queue", "mail"]), "Deleted 2 jobs\n");
    assert_eq!(stage.run(&["prune", "--older-than", "0", "--state", "dead"]), "Deleted 0 jobs\n");
    assert_eq!(ids(&stage, &["--state", "cancelled"]), ["d1"]);
    refused(&stage, &["prune", "--older-than", "0", "--state", "pending"], 2, "have not ended");
}

#[test]
fn retention_is_applied_by_a_worker() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "retain-completed", "0"]);
    stage.run(&["config", "set", "--queue", "kept", "retain-completed", "none"]);
    stage.enqueue("gone", "true");
    stage.run(&["enqueue", "--id", "stays", "-q", "kept", "-c", "true"]);
    stage.run(&["worker", "start", "--drain"]);
    stage.start_worker(&[]);
    until("the first pass of retention", || ids(&stage, &[]) == ["stays"]);
}

#[test]
fn dlq_retry_by_filter_says_what_it_touches() {
    let stage = Stage::new();
    for (id, queue) in [("a", "mail"), ("b", "mail"), ("c", "other")] {
        stage.run(&["enqueue", "--id", id, "-q", queue, "-r", "1", "-c", "false"]);
    }
    stage.run(&["worker", "start", "--drain"]);
    let output = stage.output(&["dlq", "retry", "--queue", "mail"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 dead jobs"));
    assert_eq!(ids(&stage, &["--state", "dead"]), ["c"]);
    refused(&stage, &["dlq", "retry", "--queue", "nosuch"], 3, "no job matches");
    assert_eq!(stage.run(&["dlq", "retry", "--all"]).lines().count(), 1);
    assert_eq!(ids(&stage, &["--state", "pending"]).len(), 3);
    assert_eq!(stage.output(&["dlq", "retry", "a"]).status.code(), Some(1), "it is not dead");
}

#[test]
fn wait_returns_when_all_have_ended_and_says_whether_all_succeeded() {
    let mut stage = Stage::new();
    stage.start_worker(&["--count", "2"]);
    stage.enqueue("good", "true");
    stage.run(&["enqueue", "--id", "bad", "-r", "1", "-c", "exit 3"]);
    let output = stage.output(&["wait", "good", "bad"]);
    assert_eq!(output.status.code(), Some(1));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["bad dead", "good completed"]);
    assert_eq!(stage.run(&["wait", "good"]), "good completed\n", "at once");
    assert_eq!(stage.output(&["wait", "good", "bad", "--quiet"]).stdout, b"bad\n");
    let jobs: Value = serde_json::from_str(&stage.run(&["wait", "good", "--json"])).expect("JSON");
    assert_eq!(jobs[0]["state"], "completed");
    assert_eq!(stage.output(&["wait", "nosuch"]).status.code(), Some(3));
}

#[test]
fn wait_is_bounded_by_its_timeout_and_leaves_the_job() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    stage.enqueue("long", "until [ -e go ]; do sleep 0.05; done");
    stage.until_state("long", "processing");
    refused(&stage, &["wait", "long", "--timeout", "100ms"], 124, "not ended");
    assert_eq!(stage.state("long"), "processing");
    let child = stage.command(&["wait", "long"]).stdout(Stdio::piped()).spawn().expect("it runs");
    std::fs::write(stage.path("go"), "").expect("written");
    let output = child.wait_with_output().expect("our child");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"long completed\n".to_vec()));
}

#[test]
fn an_interrupted_wait_exits_130() {
    let stage = Stage::new();
    stage.enqueue("never", "true");
    let mut child = stage.command(&["wait", "never"]).spawn().expect("it runs");
    // Once it hears the signal by itself, it is not ended by it.
    until("it hears an interrupt", || has_signal(&child.id().to_string(), "SigCgt", INT));
    signal(child.id(), INT);
    let code = child.wait().expect("our child").code();
    assert_eq!(code, Some(130));
}

#[test]
fn enqueue_wait_and_add_wait_follow_their_jobs() {
    let mut stage = Stage::new();
    stage.start_worker(&[]);
    let output = stage.output(&["enqueue", "--id", "a", "-c", "true", "--wait"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Enqueued job a\na completed\n");
    assert_eq!(stage.output(&["add", "--wait", "-r", "1", "exit 4"]).status.code(), Some(1));
    let job: Value = serde_json::from_str(&stage.run(&["add", "--wait", "--json", "true"])).expect("JSON");
    assert_eq!(job["state"], "completed");
}

#[test]
fn edit_of_many_passes_over_those_that_do_not_wait() {
    let stage = five();
    stage.run(&["cancel", "m2", "d1"]);
    let output = stage.output(&["edit", "all", "--set", "priority=7"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 jobs that do not wait"));
    assert_eq!(stage.job("m1")["priority"], 7);
    assert_eq!(stage.job("m2")["priority"], 0);
    refused(&stage, &["edit", "m1", "m2", "--set", "priority=9"], 4, "m2 is cancelled");
    assert_eq!(stage.job("m1")["priority"], 7, "named one by one: all or none");
}

#[test]
fn quiet_and_json_of_the_verbs_that_change_jobs() {
    let stage = five();
    let edited: Value =
        serde_json::from_str(&stage.run(&["edit", "-q", "mail", "--set", "priority=2", "--json"]))
            .expect("one array");
    assert_eq!(edited.as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&edited[0]["id"], &edited[0]["priority"], &edited[0]["schema"]),
        (&"m1".into(), &2.into(), &1.into())
    );
    assert_eq!(stage.run(&["edit", "d1", "--set", "priority=2", "--quiet"]), "d1\n");
    assert_eq!(stage.run(&["cancel", "all", "--queue", "mail", "--quiet"]), "m1\nm2\nm3\n");
    let cancelled: Value = serde_json::from_str(&stage.run(&["cancel", "d1", "--json"])).expect("one array");
    assert_eq!(cancelled[0]["state"], "cancelled");
    assert_eq!(stage.run(&["cancel", "all", "--queue", "mail", "--json"]), "[]\n");
    assert_eq!(stage.run(&["retry", "d1", "--quiet"]), "d1\n");
    let retried: Value = serde_json::from_str(&stage.run(&["retry", "m1", "--json"])).expect("one array");
    assert_eq!(retried[0]["state"], "pending");
    refused(&stage, &["cancel", "d1", "--json", "--quiet"], 2, "cannot be used");
}

#[test]
fn edit_refuses_a_max_retries_that_is_spent_and_says_nothing_of_enqueueing() {
    let mut stage = Stage::new();
    stage.run(&["enqueue", "--id", "a", "-c", "false", "--backoff-base", "1000"]);
    stage.start_worker(&[]);
    stage.until_state("a", "failed");
    refused(&stage, &["edit", "a", "--set", "max_retries=1"], 4, "has had 1 attempt already");
    stage.run(&["edit", "a", "--set", "max_retries=2"]);
    let output = stage.output(&["edit", "a", "--set", "priority=abc"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nothing was changed; the fields are") && !said.contains("enqueue"), "{said}");
    stage.run(&["worker", "stop"]);
}

#[test]
fn what_is_said_to_people_names_the_store_that_was_named() {
    let stage = Stage::new();
    let other = stage.path("an other.db");
    let other = other.to_str().expect("UTF-8");
    let output = stage.output(&["--db", other, "enqueue", "-c", "true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("`queuectl --db '{other}' worker start`")), "{said}");
}

#[test]
fn a_slip_in_a_queues_name_is_noticed_wherever_it_is_named() {
    let stage = five();
    for arguments in
        [&["queue", "pause", "mial"][..], &["config", "set", "--queue", "maik", "max-running", "3"]]
    {
        let output = stage.output(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `mail`?"), "{arguments:?}");
    }
    refused(&stage, &["show", "-q", "maill"], 3, "did you mean `mail`?");
    refused(&stage, &["config", "set", "shell", "bash"], 2, "`bash -c`");
    stage.run(&["config", "set", "max-retries", "5"]);
    stage.run(&["config", "set", "-q", "mail", "max-retries", "9"]);
    assert_eq!(
        stage.run(&["config", "unset", "-q", "mail", "max-retries"]),
        "Unset max-retries for queue mail; now it is 5\n"
    );
}
