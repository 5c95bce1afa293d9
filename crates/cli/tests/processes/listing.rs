//! Listings and watches for programs: whole, one value a line, without colours unless asked for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::stage::{Stage, TERM, signal};

/// Longer than any line takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

/// A verb that goes on, and the lines that it prints.
struct Going {
    child: Child,
    lines: Receiver<String>,
}

impl Going {
    fn start(stage: &Stage, arguments: &[&str]) -> Going {
        let mut child = stage.command(arguments).stdout(Stdio::piped()).spawn().expect("it runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Going { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// The first line that is so.
    fn line_with(&self, text: &str) -> String {
        std::iter::repeat_with(|| self.line()).find(|line| line.contains(text)).expect("endless")
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // Ours, or ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn list_jsonl_is_one_job_a_line_and_json_one_array_on_one_line() {
    let stage = Stage::new();
    assert_eq!(
        (stage.run(&["list", "--jsonl"]), stage.run(&["list", "--json"])),
        (String::new(), "[]\n".to_owned())
    );
    for id in ["a", "b", "c"] {
        stage.enqueue(id, "true");
    }
    let lines = stage.run(&["list", "--jsonl"]);
    let ids: Vec<Value> = lines.lines().map(|line| parse(line)["id"].clone()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let array = stage.run(&["list", "--json"]);
    assert_eq!(array, format!("[{}]\n", lines.lines().collect::<Vec<_>>().join(", ")));
    assert_eq!(stage.run(&["list", "--jsonl", "-n", "2"]).lines().count(), 2);
    assert_eq!(stage.run(&["dlq", "list", "--jsonl"]), "");
    assert_eq!(stage.run(&["dlq", "list", "--json"]), "[]\n");
    assert_eq!(stage.output(&["list", "--json", "--jsonl"]).status.code(), Some(2));
}

#[test]
fn color_never_reaches_json_and_stands_before_or_after_the_verb() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    stage.run(&["cancel", "a"]);
    for arguments in [&["--color", "always", "list"][..], &["list", "--color=always"]] {
        assert!(stage.run(arguments).contains("\x1b[35mcancelled\x1b[0m"), "{arguments:?}");
    }
    assert!(!stage.run(&["--color", "always", "list", "--json"]).contains('\x1b'));
    assert!(!stage.run(&["list"]).contains('\x1b'));
    assert!(stage.run(&["list", "--help", "--color", "always"]).contains("\x1b["));
    let with = |name: &str, arguments: &[&str]| {
        let output = stage.command(arguments).env(name, "1").output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(with("CLICOLOR_FORCE", &["list"]).contains('\x1b'));
    assert!(!with("CLICOLOR_FORCE", &["list", "--color", "never"]).contains('\x1b'));
    assert!(with("NO_COLOR", &["list", "--color", "always"]).contains('\x1b'));
    let mistake = stage.output(&["--color", "always", "show", "nobody"]).stderr;
    assert!(String::from_utf8_lossy(&mistake).contains("Error:\x1b[0m there is no job"));
}

#[test]
fn the_reason_says_what_a_job_waits_for() {
    let mut stage = Stage::new();
    stage.enqueue("alone", "true");
    stage.run(&["enqueue", "--id", "held", "-q", "mail", "-c", "true"]);
    stage.run(&["queue", "pause", "mail"]);
    stage.run(&["enqueue", "--id", "later", "--run-at", "2099-01-01T00:00:00Z", "-c", "true"]);
    let row = |stage: &Stage, id: &str| {
        let list = stage.run(&["list"]);
        list.lines().find(|line| line.starts_with(&format!("{id} "))).expect("its row").to_owned()
    };
    assert!(row(&stage, "alone").ends_with("no worker"));
    assert!(row(&stage, "held").ends_with("queue paused"));
    assert!(row(&stage, "later").ends_with("runs at 2099-01-01T00:00:00.000Z"));
    stage.run(&["enqueue", "--id", "again", "--backoff-base", "600", "-c", "exit 1"]);
    stage.start_worker(&["--queue", "default"]);
    stage.until_state("again", "failed");
    assert!(row(&stage, "again").contains("retry at 20"), "{}", row(&stage, "again"));
}

#[test]
fn watch_json_prints_one_value_a_line_at_each_change() {
    let stage = Stage::new();
    let status = Going::start(&stage, &["status", "--watch=0.2", "--json"]);
    assert_eq!(parse(&status.line())["total"], 0);
    stage.enqueue("a", "true");
    assert_eq!(parse(&status.line_with("\"total\": 1"))["jobs"]["pending"], 1);
    let list = Going::start(&stage, &["list", "--watch", "--jsonl"]);
    assert_eq!(parse(&list.line())["id"], "a");
    stage.enqueue("b", "true");
    assert_eq!(parse(&list.line())["id"], "b");
    stage.run(&["cancel", "a"]);
    let changed = parse(&list.line());
    assert_eq!((&changed["id"], &changed["state"]), (&"a".into(), &"cancelled".into()));
}

#[test]
fn watch_without_a_terminal_prints_each_table_apart_and_ends_at_term() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let mut list = Going::start(&stage, &["list", "--watch"]);
    assert!(list.line().starts_with("ID"));
    assert!(list.line().starts_with("a "));
    stage.enqueue("b", "true");
    assert_eq!(list.line(), "");
    list.line_with("b ");
    signal(list.child.id(), TERM);
    assert_eq!(list.child.wait().expect("ours").code(), Some(143));
    let mut unread =
        stage.command(&["status", "--watch=0.1"]).stdout(Stdio::piped()).spawn().expect("it runs");
    drop(unread.stdout.take());
    assert_eq!(unread.wait().expect("ours").code(), Some(0), "it ends once nobody reads it");
}
