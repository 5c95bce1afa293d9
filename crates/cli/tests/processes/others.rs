//! What others do to a store: hold it, take it over with a newer version, copy it, break off while they make it, reboot
//! the machine under it.

use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::fire::can_inject;
use super::stage::{KILL, Stage, TERM, keeper_of, processes_of, signal, until};

fn raw(database: &Path) -> Connection {
    Connection::open(database).expect("there")
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_store_that_another_process_holds_for_long_is_waited_for_then_refused_and_used_again() {
    let mut stage = Stage::new();
    stage.enqueue("a", "echo run >> runs; until [ -e go ]; do sleep 0.02; done");
    let worker = stage.start_worker(&[]);
    until("it runs", || stage.lines("runs").len() == 1);
    let holder = raw(&stage.database);
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    std::fs::write(stage.path("go"), "").expect("written");
    let enqueue = stage.command(&["enqueue", "--id", "b", "-c", "true"]).stderr(Stdio::piped()).spawn();
    let enqueue = enqueue.expect("the binary runs");
    // Readers wait for nobody.
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
    let output = enqueue.wait_with_output().expect("it ends");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("another process has kept the database for too long") && text.contains("Hint: "),
        "{text}"
    );
    until("the worker says so", || stage.log().contains("the store cannot be used"));
    holder.execute_batch("ROLLBACK").expect("free again");
    stage.until_state("a", "completed");
    stage.enqueue("c", "true");
    stage.until_state("c", "completed");
    assert_eq!((stage.lines("runs").len(), stage.run(&["list", "--quiet"]).as_str()), (1, "a\nc\n"));
    signal(worker, TERM);
    assert_eq!(stage.await_worker(worker), Some(0));
}

#[test]
fn an_older_queuectl_leaves_a_newer_store_alone() {
    let mut stage = Stage::new();
    stage.enqueue("a", "true");
    let worker = stage.start_worker(&["-q", "none"]);
    let newer = |sql: &str| raw(&stage.database).execute_batch(sql).expect("written");
    // One that older versions may still read.
    newer("UPDATE meta SET version = 99, min_writer = 99");
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
    for verb in [&["enqueue", "-c", "true"][..], &["cancel", "a"], &["worker", "start"], &["init"]] {
        let output = stage.output(verb);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{verb:?}: {text}");
        assert!(text.contains("schema 99") && text.contains("up to 1"), "{verb:?}: {text}");
        assert!(text.contains("Hint: use the newest queuectl"), "{verb:?}: {text}");
    }
    newer("UPDATE meta SET min_reader = 99");
    let output = stage.output(&["list"]);
    assert!(output.status.code() == Some(5) && said(&output).contains("schema 99"), "{}", said(&output));
    let ended = stage.await_worker(worker);
    assert!(ended.is_some() && stage.log().contains("schema 99"), "{ended:?}: {}", stage.log());
}

#[test]
fn making_a_store_may_be_broken_off_anywhere() {
    if !can_inject() {
        return;
    }
    let stage = Stage::new();
    let mut killed = 0;
    for at in (1..).step_by(3) {
        let database = stage.path(&format!("at-{at}.db"));
        let mut traced = Command::new("strace");
        traced.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=pwrite64,ftruncate,fsync,fdatasync,unlink",
        ]);
        traced
            .args(["-e", &format!("inject=pwrite64,ftruncate,fsync,fdatasync,unlink:signal=KILL:when={at}")]);
        traced.args([env!("CARGO_BIN_EXE_queuectl"), "init", "--db"]).arg(&database);
        let whole = traced.output().expect("strace was there").status.success();
        let on_it = |words: &[&str]| stage.run(&[&["--db", &database.to_string_lossy()], words].concat());
        on_it(&["enqueue", "--id", "a", "-c", "true"]);
        assert_eq!(on_it(&["list", "--quiet"]), "a\n", "broken off at {at}");
        assert!(on_it(&["doctor"]).contains("the database is sound"), "broken off at {at}");
        if whole {
            break;
        }
        killed += 1;
    }
    assert!(killed > 10, "{killed} places");
}

#[test]
fn a_reboot_in_mid_job_gives_it_back_uncounted() {
    let mut stage = Stage::new();
    stage.run(&["config", "set", "crash-limit", "1"]);
    stage.enqueue("a", "echo run >> runs; until [ -e go ]; do sleep 0.02; done");
    let worker = stage.start_worker(&[]);
    until("it runs", || stage.lines("runs").len() == 1);
    let keeper = keeper_of(worker);
    signal(worker, KILL);
    signal(keeper, KILL);
    assert_eq!(stage.await_worker(worker), None);
    until("nothing is left of it", || processes_of(&stage.database).is_empty());
    // As if all of that had been in another boot: the keeper's name and its records carry it.
    let run = stage.path("queue.db.run");
    let owner: String = raw(&stage.database)
        .query_row("SELECT owner FROM job WHERE id = 'a'", [], |row| row.get(0))
        .expect("it is marked as running");
    let other = format!("{}-0123abcd", owner.rsplit_once('-').expect("it names its boot").0);
    for entry in std::fs::read_dir(&run).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(&owner) {
            std::fs::rename(entry.path(), run.join(name.replace(&owner, &other))).expect("renamed");
        }
    }
    raw(&stage.database).execute("UPDATE job SET owner = ?", [&other]).expect("written");
    std::fs::write(stage.path("go"), "").expect("written");
    stage.run(&["worker", "start", "--drain"]);
    let job = stage.job("a");
    assert_eq!((&job["state"], &job["attempts"]), (&"completed".into(), &1.into()), "{job}");
    assert_eq!((stage.lines("runs").len(), &job["interruptions"]), (2, &0.into()), "{job}");
    assert_eq!(job["attempts_log"][0]["outcome"], "shutdown", "{job}");
}

#[test]
fn a_copy_in_the_place_of_a_store_takes_no_outcome_of_the_old_one() {
    let mut stage = Stage::new();
    stage.enqueue("a", "echo run >> runs; until [ -e go ]; do sleep 0.02; done; exit 7");
    let worker = stage.start_worker(&[]);
    until("it runs", || stage.lines("runs").len() == 1);
    let copy = stage.path("copy.db");
    raw(&stage.database).execute("VACUUM INTO ?", [copy.to_string_lossy()]).expect("copied");
    std::fs::rename(&copy, &stage.database).expect("put in its place");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(stage.path(&format!("queue.db{suffix}")));
    }
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(worker), Some(5), "{}", stage.log());
    assert!(stage.log().contains("was replaced by another file"), "{}", stage.log());
    stage.run(&["edit", "a", "--set", "max_retries=1"]);
    assert_eq!(stage.state("a"), "pending", "what nobody here holds went back");
    stage.run(&["worker", "start", "--drain"]);
    let job = stage.job("a");
    assert_eq!((&job["state"], &job["attempts"]), (&"dead".into(), &1.into()), "{job}");
    assert_eq!(stage.lines("runs").len(), 2);
}

#[test]
fn callers_that_live_for_one_commit_keep_the_log_short() {
    let stage = Stage::new();
    // Each writes some eighty pages, and nobody else is there to write the log out.
    let line = format!("true {}", "x".repeat(120_000));
    for n in 0..40 {
        stage.enqueue(&format!("j{n}"), &line);
    }
    let log = std::fs::metadata(stage.path("queue.db-wal")).map_or(0, |found| found.len());
    assert!(log < 6 * 1024 * 1024, "the log has {log} bytes");
}
