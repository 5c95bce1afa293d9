//! Completions: the protocol that every shell speaks, and the shells themselves where they are installed.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::stage::Stage;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

/// What a shell is offered for the last of these words.
fn offered(stage: &Stage, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = stage.command(&["--", "queuectl"]);
    command.args(words).env("QUEUECTL_COMPLETE", shell).env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{shell} {words:?}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    // Some shells get a help text behind the value, after a tab or a colon.
    lines.lines().map(|line| line.split(['\t', ':']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_shell_is_offered_verbs_states_queues_keys_and_ids() {
    let stage = Stage::new();
    stage.run(&["enqueue", "--id", "alpha", "-q", "mail", "-c", "echo one"]);
    stage.run(&["enqueue", "--id", "beta", "-c", "echo two"]);
    std::fs::write(stage.path("jobs.json"), "").expect("written");
    for shell in SHELLS {
        let cases: [(&[&str], &[&str]); 14] = [
            (&["enqueue", "--backoff", "l"], &["linear"]),
            (&["enqueue", "--leftovers", ""], &["keep", "kill"]),
            (&["enqueue", "@jo"], &["@jobs.json"]),
            (&["enqueue", "--file", "jo"], &["jobs.json"]),
            (&["sho"], &["show"]),
            (&["worker", "st"], &["start", "stop"]),
            (&["list", "--state", "p"], &["pending", "processing"]),
            (&["list", "--state=d"], &["--state=dead"]),
            (&["list", "--queue", ""], &["default", "mail"]),
            (&["worker", "start", "-q", "ma"], &["mail"]),
            (&["config", "set", "max-re"], &["max-retries"]),
            (&["show", "al"], &["alpha"]),
            (&["cancel", "alpha", "be"], &["beta"]),
            (&["worker", "start", "--det"], &["--detach"]),
        ];
        for (words, expected) in cases {
            let mut found = offered(&stage, shell, words);
            found.sort();
            assert_eq!(found, expected, "{shell} {words:?}");
        }
        let ids: Vec<String> =
            offered(&stage, shell, &["show", ""]).into_iter().filter(|word| !word.starts_with('-')).collect();
        assert_eq!(ids, ["beta", "alpha"], "{shell}: the newest first");
    }
}

#[test]
fn the_dead_letter_queue_is_offered_dead_jobs_only() {
    let stage = Stage::new();
    stage.enqueue("alive", "true");
    let found = offered(&stage, "fish", &["dlq", "retry", ""]);
    assert!(!found.contains(&"alive".to_owned()), "{found:?}");
}

#[test]
fn no_more_than_the_newest_ids_are_offered() {
    let stage = Stage::new();
    let lines: String = (0..120).map(|n| format!("{{\"id\":\"job-{n}\",\"command\":\"true\"}}\n")).collect();
    std::fs::write(stage.path("jobs"), lines).expect("written");
    stage.run(&["enqueue", "@jobs", "--quiet"]);
    let found = offered(&stage, "fish", &["show", "job-"]);
    assert_eq!((found.len(), found[0].as_str(), found[49].as_str()), (50, "job-119", "job-70"));
}

#[test]
fn a_store_that_is_missing_or_no_store_offers_nothing_and_says_nothing() {
    let stage = Stage::new();
    assert_eq!(offered(&stage, "bash", &["cancel", "x"]), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(stage.dir.path()).expect("readable").count(), 0, "nothing was made");
    for database in ["/etc/passwd", "/", "/proc/none/x.db", "postgres://x"] {
        assert_eq!(offered(&stage, "bash", &["--db", database, "cancel", "x"]), Vec::<String>::new());
    }
    std::fs::write(stage.path("junk.db"), [7; 5000]).expect("written");
    assert_eq!(offered(&stage, "bash", &["--db=junk.db", "cancel", "x"]), Vec::<String>::new());
    assert_eq!(offered(&stage, "nonsense", &["cancel", "x"]), Vec::<String>::new());
}

#[test]
fn the_database_that_the_line_names_is_asked() {
    let stage = Stage::new();
    let other = stage.path("other.db");
    let other = other.to_str().expect("UTF-8");
    stage.run(&["--db", other, "enqueue", "--id", "elsewhere", "-c", "true"]);
    assert_eq!(offered(&stage, "bash", &["--db", other, "show", "el"]), ["elsewhere"]);
    assert_eq!(offered(&stage, "bash", &["show", "el"]), Vec::<String>::new());
}

#[test]
fn each_shell_has_its_script() {
    let stage = Stage::new();
    for shell in SHELLS {
        let script = stage.run(&["completions", shell]);
        assert!(script.contains("QUEUECTL_COMPLETE") && script.contains(shell), "{shell}: {script}");
    }
    let refused = stage.output(&["completions", "tcsh"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("bash, elvish, fish, powershell, zsh"), "{said}");
    let homeless =
        stage.command(&["completions", "bash"]).env_remove("HOME").env_remove("QUEUECTL_DB").output();
    assert!(homeless.expect("it runs").status.success(), "it needs no place for a store");
}

#[expect(clippy::disallowed_methods, reason = "the shells are where the tester has them")]
fn search_path() -> String {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_queuectl"));
    let own = binary.parent().expect("a folder").display();
    format!("{own}:{}", std::env::var("PATH").unwrap_or_default())
}

/// Runs a script in a real shell that finds the binary as `queuectl`; `None` if the shell is not installed.
fn in_shell(stage: &Stage, shell: &str, flags: &[&str], script: &str) -> Option<String> {
    let mut command = Command::new(shell);
    command.args(flags).env("PATH", search_path());
    command.env("QUEUECTL_DB", &stage.database).env("HOME", stage.dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        let _ = writeln!(std::io::stderr(), "skipped: {shell} is not installed");
        return None;
    };
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{shell}: {said}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn bash_completes() {
    let stage = Stage::new();
    stage.enqueue("alpha", "true");
    let script = "source <(queuectl completions bash)\n\
        COMP_WORDS=(queuectl show al); COMP_CWORD=2; COMP_TYPE=9\n\
        _clap_complete_queuectl queuectl al show\n\
        echo \"${COMPREPLY[@]}\"\n";
    if let Some(said) = in_shell(&stage, "bash", &["--norc", "--noprofile"], script) {
        assert_eq!(said, "alpha\n");
    }
}

#[test]
fn fish_completes() {
    let stage = Stage::new();
    stage.enqueue("alpha", "true");
    let script = "queuectl completions fish | source\ncomplete -C 'queuectl show al'\n";
    if let Some(said) = in_shell(&stage, "fish", &["--no-config"], script) {
        assert_eq!(said, "alpha\tpending: true\n");
    }
}

#[test]
fn zsh_completes() {
    let stage = Stage::new();
    stage.enqueue("alpha", "true");
    // Without a line editor `_describe` cannot be asked; what it is handed can.
    let script = "compdef() { }\nsource <(queuectl completions zsh)\n\
        _describe() { print -r -- ${(P)@[-1]} }\n\
        words=(queuectl show al); CURRENT=3\n_clap_dynamic_completer_queuectl\n";
    if let Some(said) = in_shell(&stage, "zsh", &["-f"], script) {
        assert_eq!(said, "alpha:pending: true\n");
    }
}
