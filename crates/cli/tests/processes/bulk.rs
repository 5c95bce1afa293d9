//! Many jobs at once: part B's `enqueue -`, part C's `--lines`, all or nothing.

use std::io::Write;
use std::process::{Child, Output, Stdio};

use super::stage::{KILL, Stage, signal, until};

fn begin(stage: &Stage, arguments: &[&str]) -> Child {
    let mut command = stage.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

fn feed(stage: &Stage, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = begin(stage, arguments);
    child.stdin.take().expect("piped").write_all(input).expect("it reads to the end");
    child.wait_with_output().expect("our child")
}

fn json_lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"id\": \"j{n}\", \"command\": \"true\"}}\n")).collect()
}

fn count(stage: &Stage) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&stage.run(&["status", "--json"])).expect("JSON");
    status["total"].as_u64().expect("a number")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn more_jobs_than_one_transaction_are_all_there_or_none_is() {
    let stage = Stage::new();
    let output = feed(&stage, &["enqueue", "-"], json_lines(25_000).as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Enqueued 25000 jobs\n", "{}", stderr(&output));
    assert_eq!(count(&stage), 25_000);
    assert_eq!(stage.job("j24999")["state"], "pending");
    // A duplicate in the last step undoes all.
    let input = json_lines(25_000).replace("\"j", "\"k").replace("\"k24999\"", "\"j7\"");
    let output = feed(&stage, &["enqueue", "-"], input.as_bytes());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("`j7` already exists"), "{}", stderr(&output));
    assert_eq!(count(&stage), 25_000);
    assert_eq!(stage.output(&["show", "k0"]).status.code(), Some(3));
    let ids = feed(&stage, &["enqueue", "-", "--quiet"], input.replace("\"j7\"", "\"k24999\"").as_bytes());
    assert_eq!(String::from_utf8_lossy(&ids.stdout).lines().count(), 25_000);
}

#[test]
fn a_loader_that_dies_leaves_nothing_behind() {
    let mut stage = Stage::new();
    // Enough that it is in the middle when it dies.
    let input = json_lines(60_000);
    let mut child = begin(&stage, &["enqueue", "-"]);
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let run = stage.path("queue.db.run");
    let lock = || {
        std::fs::read_dir(&run).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("loader-"))
        })
    };
    until("it loads", lock);
    signal(child.id(), KILL);
    let output = child.wait_with_output().expect("our child");
    assert!(output.stdout.is_empty(), "it had acknowledged nothing");
    assert_eq!(count(&stage), 0);
    assert_eq!(stage.run(&["list", "--json"]), "[]\n");
    stage.start_worker(&[]);
    until("the worker removes what is left", || !lock());
    // Its ids are free again.
    stage.enqueue("j0", "true");
    stage.until_state("j0", "completed");
}

#[test]
fn every_wrong_line_is_named_and_nothing_is_enqueued() {
    let stage = Stage::new();
    let input = "{\"id\":\"a\",\"command\":\"true\"}\n{\"command\": \n\n{\"id\":\"a\",\"command\":\"true\"}\n\
                 {\"comand\":\"true\"}\n{\"id\":\"b\",\"command\":\"true\"}\n";
    let output = feed(&stage, &["enqueue", "-"], input.as_bytes());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "Error: invalid JSON at line 2 column",
        "line 4: job `a` already exists",
        "line 5: there is no field `comand`",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(count(&stage), 0);
    let output = feed(&stage, &["enqueue", "-", "--skip-invalid"], input.as_bytes());
    let said = stderr(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Enqueued job a\nEnqueued job b\n", "{said}");
    assert!(said.contains("skipped 3 lines") && said.contains("line 5"), "{said}");
    let output =
        feed(&stage, &["enqueue", "-", "--skip-invalid"], json_lines(2).replace("j0", "a").as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Enqueued job j1\n");
    assert!(stderr(&output).contains("already exist: a"));
    let mut many = String::new();
    for n in 0..50 {
        many += &format!("{{\"nosuch{n}\": 1}}\n");
    }
    let said = stderr(&feed(&stage, &["enqueue", "-"], many.as_bytes()));
    assert!(
        said.contains("line 10:") && !said.contains("line 11:") && said.contains("and 40 more"),
        "{said}"
    );
}

#[test]
fn lines_are_handed_over_never_spliced() {
    let stage = Stage::new();
    let nasty = "plain\n$(touch evil) `touch evil`; touch evil\n--flag\n two  blanks \n\n";
    let output = feed(&stage, &["enqueue", "--lines", "-c", "printf '[%s]' \"$1\""], nasty.as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 5, "{}", stderr(&output));
    stage.run(&["worker", "start", "--drain"]);
    let printed: Vec<String> =
        stage.run(&["list", "--quiet"]).lines().map(|id| stage.run(&["logs", id, "--stdout"])).collect();
    let expected =
        ["[plain]", "[$(touch evil) `touch evil`; touch evil]", "[--flag]", "[ two  blanks ]", "[]"];
    assert_eq!(printed, expected);
    assert!(!stage.path("evil").exists());
}

#[test]
fn lines_may_end_with_nul_and_go_to_a_program() {
    let stage = Stage::new();
    let output =
        feed(&stage, &["enqueue", "--lines", "-0", "-q", "mail", "--", "echo", "-n"], b"one\ntwo\0\xff\0");
    assert!(output.status.success(), "{}", stderr(&output));
    stage.run(&["worker", "start", "--drain"]);
    let ids = stage.run(&["list", "--quiet", "--queue", "mail"]);
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(stage.run(&["logs", ids[0], "--stdout"]), "one\ntwo");
    assert_eq!(stage.output(&["logs", ids[1], "--stdout"]).stdout, [0xff]);
    for (arguments, says) in [
        (&["enqueue", "--lines"][..], "what is to be run"),
        (&["enqueue", "--lines", "--id", "x", "-c", "true"], "--id"),
        (&["enqueue", "--lines", "{}", "-c", "true"], "one of these"),
    ] {
        let output = feed(&stage, arguments, b"");
        assert!(output.status.code() == Some(2) && stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn a_slow_writer_holds_up_nobody() {
    let stage = Stage::new();
    let mut child = begin(&stage, &["enqueue", "-"]);
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"{\"id\":\"slow\",").expect("it reads");
    stage.enqueue("quick", "true");
    assert_eq!(count(&stage), 1);
    input.write_all(b"\"command\":\"true\"}\n").expect("it reads");
    drop(input);
    assert!(child.wait_with_output().expect("our child").status.success());
    assert_eq!(count(&stage), 2);
}
