//! The store under fire, as people meet it: what is said, with which code, and what goes on.

use std::path::Path;

use super::stage::Stage;

/// Replaces bytes of a file that nobody has open, as a failing disk would.
fn damage(path: &Path, from: &str, to: &str) -> usize {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).expect("readable");
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    for at in &places {
        bytes[*at..*at + to.len()].copy_from_slice(to.as_bytes());
    }
    std::fs::write(path, bytes).expect("written");
    places.len()
}

/// Takes everything out of the write-ahead log, whose checksums would find the damage.
fn into_one_file(stage: &Stage) {
    stage.run(&["backup", "whole"]);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(stage.path(&format!("queue.db{suffix}")));
    }
    std::fs::copy(stage.path("whole/queue.db"), &stage.database).expect("copied");
}

#[test]
fn a_damaged_command_is_never_run_and_the_others_are() {
    let stage = Stage::new();
    stage.enqueue("a", "echo harmless >> ran");
    stage.enqueue("b", "echo other >> ran");
    into_one_file(&stage);
    assert_eq!(damage(&stage.database, "harmless", "harmfull"), 2, "as text, and in the options");
    let output = stage.output(&["worker", "start", "--drain"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(stage.read("ran"), "other\n");
    assert_eq!((stage.state("a"), stage.state("b")), ("dead".to_owned(), "completed".to_owned()));
    let told: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(told.len() == 1 && told[0].contains("job.id=a") && told[0].contains("queuectl doctor"), "{log}");
    let error = stage.job("a")["last_error"].to_string();
    assert!(error.contains("not what was enqueued"), "{error}");
    let doctor = stage.output(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(said.contains("none of them is run: a") && said.contains("queuectl delete ID"), "{said}");
    // Brought back, it is refused again.
    stage.run(&["retry", "a"]);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!((stage.read("ran"), stage.state("a")), ("other\n".to_owned(), "dead".to_owned()));
}
