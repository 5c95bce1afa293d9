//! The store under fire, as people meet it: what is said, with which code, and what goes on.

#![expect(clippy::disallowed_methods, reason = "a test with real processes lives in real time")]

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::stage::{Stage, until};

/// How long a transaction of the test waits for its turn.
const PATIENCE: Duration = Duration::from_secs(60);

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// True if this machine lets one process make the system calls of another fail.
pub fn can_inject() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        skipped("strace is missing, or may not trace");
    }
    can
}

const EVERY_SYNC_FAILS: [&str; 4] = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];

/// Enqueues a job while the disk refuses calls, as these arguments of strace say. Its exit code, and what it said.
fn enqueue_refused(stage: &Stage, refusing: &[&str]) -> (Option<i32>, String) {
    let enqueue = stage.command(&["enqueue", "--id", "b", "-c", "true"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o"]).arg(stage.path("trace")).args(refusing);
    traced.arg(enqueue.get_program()).args(enqueue.get_args()).env("QUEUECTL_DB", &stage.database);
    let output = traced.output().expect("strace was there");
    assert!(output.stdout.is_empty(), "nothing is acknowledged");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// From now on every sync of a process fails.
fn fail_syncs_of(stage: &Stage, pid: u32) -> Child {
    let mut command = Command::new("strace");
    command.args(EVERY_SYNC_FAILS).args(["-f", "-o"]).arg(stage.path("trace")).args(["-p", &pid.to_string()]);
    let child = command.stderr(Stdio::null()).spawn().expect("strace was there");
    let traced = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut states =
            tasks.map(|task| std::fs::read_to_string(task.path().join("status")).unwrap_or_default());
        states.all(|status| !status.contains("TracerPid:\t0\n"))
    };
    until("every thread is traced", traced);
    child
}

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
    // One whose options do not even read keeps nobody from anything.
    let raw = Connection::open(&stage.database).expect("there");
    raw.execute("UPDATE job SET spec = '{' WHERE id = 'a'", []).expect("written");
    for verb in
        [&["list"][..], &["show", "a"], &["explain", "a"], &["dlq", "list"], &["stats"], &["logs", "a"]]
    {
        stage.run(verb);
    }
    // Brought back, it is refused again.
    stage.run(&["retry", "a"]);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!((stage.read("ran"), stage.state("a")), ("other\n".to_owned(), "dead".to_owned()));
    stage.run(&["delete", "a"]);
    assert_eq!(stage.output(&["doctor"]).status.code(), Some(0));
}

#[test]
fn a_damaged_environment_is_mended_by_the_next_job_that_brings_it() {
    let stage = Stage::new();
    let enqueue =
        |id| stage.run(&["enqueue", "--id", id, "--env", "WORD=harmless", "-c", "echo $WORD >> ran"]);
    enqueue("a");
    into_one_file(&stage);
    assert!(damage(&stage.database, "harmless", "harmfull") > 0);
    enqueue("b");
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(stage.read("ran"), "harmless\nharmless\n");
}

#[test]
fn a_failed_sync_ends_the_writing_leaves_a_mark_and_the_next_writer_checks() {
    if !can_inject() {
        return;
    }
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let (code, said) = enqueue_refused(&stage, &EVERY_SYNC_FAILS);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.starts_with("Error: the disk failed to keep") && said.contains("\nHint: "), "{said}");
    let mark = stage.path("queue.db.suspect");
    assert_eq!(std::fs::metadata(&mark).expect("it is left").permissions().mode() & 0o777, 0o600);
    // Readers go on, and leave the check to a writer.
    assert!(stage.run(&["list", "--quiet"]).starts_with("a\n"));
    assert!(stage.run(&["doctor"]).contains("warning  the disk failed"));
    assert!(mark.exists());
    stage.enqueue("c", "true");
    assert!(!mark.exists());
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!((stage.state("a"), stage.state("c")), ("completed".to_owned(), "completed".to_owned()));
}

#[test]
fn a_worker_whose_sync_fails_stops_and_the_next_one_records_what_it_could_not() {
    if !can_inject() {
        return;
    }
    let mut stage = Stage::new();
    stage.enqueue("a", "echo run >> runs; until [ -e go ]; do sleep 0.02; done");
    stage.enqueue("b", "true");
    let worker = stage.start_worker(&[]);
    until("it runs", || stage.lines("runs").len() == 1);
    let mut strace = fail_syncs_of(&stage, worker);
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(worker), Some(5), "{}", stage.log());
    let _ = strace.wait();
    assert!(stage.log().contains("Error: the disk failed to keep what was written"), "{}", stage.log());
    assert!(stage.path("queue.db.suspect").exists());
    stage.run(&["worker", "start", "--drain"]);
    assert!(!stage.path("queue.db.suspect").exists());
    assert_eq!((stage.state("a"), stage.state("b")), ("completed".to_owned(), "completed".to_owned()));
    assert_eq!(stage.lines("runs"), ["run"], "it ran once");
}

#[test]
fn an_idle_worker_whose_database_is_deleted_says_so_and_ends() {
    let mut stage = Stage::new();
    stage.enqueue("a", "true");
    let worker = stage.start_worker(&[]);
    stage.until_state("a", "completed");
    std::fs::remove_file(&stage.database).expect("deleted");
    assert_eq!(stage.await_worker(worker), Some(5), "{}", stage.log());
    assert!(stage.log().contains("was deleted or renamed while it was in use"), "{}", stage.log());
    assert!(!stage.database.exists(), "it makes nothing in its place");
}

#[test]
fn a_log_whose_database_was_moved_away_is_written_over_by_nobody() {
    let stage = Stage::new();
    stage.run(&["init"]);
    stage.run(&["backup", "kept"]);
    stage.enqueue("a", "true");
    let (aside, log) = (stage.path("aside.db"), stage.path("queue.db-wal"));
    std::fs::rename(&stage.database, &aside).expect("moved");
    let before = std::fs::read(&log).expect("there");
    let verbs: [&[&str]; 6] = [
        &["enqueue", "-c", "true"],
        &["list"],
        &["status"],
        &["worker", "start", "--drain"],
        &["migrate"],
        &["restore", "kept", "--force"],
    ];
    for verb in verbs {
        let output = stage.output(verb);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(5) && said.contains("its log is there"), "{verb:?}: {said}");
    }
    let doctor = stage.output(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.code() == Some(1) && said.contains("its log is there"), "{said}");
    assert!(!stage.database.exists() && std::fs::read(&log).expect("there") == before);
    std::fs::rename(&aside, &stage.database).expect("put back");
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
}

#[test]
fn an_idle_worker_whose_log_is_deleted_ends_and_leaves_the_next_one_alone() {
    for name in ["queue.db-wal", "queue.db-shm"] {
        let mut stage = Stage::new();
        stage.enqueue("a", "true");
        let worker = stage.start_worker(&[]);
        stage.until_state("a", "completed");
        std::fs::remove_file(stage.path(name)).expect("deleted");
        assert_eq!(stage.await_worker(worker), Some(5), "{}", stage.log());
        assert!(stage.log().contains(&format!("{name} was ")), "{}", stage.log());
    }
}

#[test]
fn a_database_that_is_mounted_by_itself_is_refused() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    std::fs::create_dir(stage.path("inside")).expect("made");
    std::fs::write(stage.path("inside/queue.db"), "").expect("made");
    let script = "mount --bind queue.db inside/queue.db || exit 99\n\
                  for verb in list 'enqueue -c true'; do \"$0\" --db inside/queue.db $verb; echo code $?; done; ls inside";
    let Some(said) = in_own_mounts(&stage, script) else { return };
    assert_eq!(said.matches("code 5").count(), 2, "{said}");
    assert_eq!(said.matches("is mounted by itself").count(), 2, "{said}");
    assert!(!said.contains("queue.db-wal"), "{said}");
}

#[test]
fn a_used_up_quota_is_a_full_disk() {
    if !can_inject() {
        return;
    }
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let refuse = |file: &str, error: &str| {
        let (path, inject) = (stage.path(file), format!("inject=pwrite64:error={error}"));
        let path = path.to_str().expect("plain");
        let (code, said) = enqueue_refused(&stage, &["-P", path, "-e", "trace=pwrite64", "-e", &inject]);
        assert!(code == Some(5) && said.contains("the disk is full"), "{said}");
        said
    };
    refuse("queue.db-wal", "EDQUOT");
    assert!(!stage.path("queue.db.suspect").exists());
    // A suspect database that cannot be written out for want of room is not called damaged.
    std::fs::write(stage.path("queue.db.suspect"), "then").expect("marked");
    let said = refuse("queue.db", "ENOSPC");
    assert!(!said.contains("restore"), "{said}");
}

#[test]
fn a_keeper_of_another_machine_keeps_workers_away() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let run_dir = stage.path("queue.db.run");
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&run_dir).expect("made");
    let lock = std::fs::File::create(run_dir.join("keeper-k1-0badb007.lock")).expect("made");
    lock.lock().expect("held");
    let output = stage.output(&["worker", "start", "--drain"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(5) && said.contains("another machine uses this store"), "{said}");
    assert_eq!(stage.state("a"), "pending");
    drop(lock);
    stage.run(&["worker", "start", "--drain"]);
    assert_eq!(stage.state("a"), "completed");
}

#[test]
fn a_full_disk_with_no_room_for_the_index_is_called_so() {
    let stage = Stage::new();
    std::fs::create_dir(stage.path("small")).expect("made");
    let script = "mount -t tmpfs -o size=1m tmpfs small || exit 99\n\
                  export QUEUECTL_DB=$PWD/small/q.db; \"$0\" enqueue -c true >/dev/null 2>&1 || exit 98\n\
                  rm small/q.db-shm; cat /dev/zero > small/fill 2>/dev/null\n\
                  for verb in list status; do \"$0\" $verb; echo code $?; done";
    let Some(said) = in_own_mounts(&stage, script) else { return };
    assert_eq!(said.matches("code 5").count(), 2, "{said}");
    assert_eq!(said.matches("the disk is full").count(), 2, "{said}");
    assert!(!said.contains("--db"), "{said}");
}

#[test]
fn a_worker_whose_database_is_renamed_loses_no_outcome_and_writes_to_no_other() {
    let mut stage = Stage::new();
    let line = "echo run >> runs; until [ -e go ]; do sleep 0.02; done; exit 3";
    stage.run(&["enqueue", "--id", "a", "-r", "1", "-c", line]);
    let worker = stage.start_worker(&[]);
    until("it runs", || stage.lines("runs").len() == 1);
    let aside = stage.path("aside.db");
    std::fs::rename(&stage.database, &aside).expect("renamed");
    std::fs::write(stage.path("go"), "").expect("written");
    assert_eq!(stage.await_worker(worker), Some(5), "{}", stage.log());
    assert!(!stage.database.exists());
    std::fs::rename(&aside, &stage.database).expect("back again");
    let next = stage.start_worker(&[]);
    stage.until_state("a", "dead");
    assert_eq!(
        (&stage.job("a")["exit_code"], stage.lines("runs").len()),
        (&3.into(), 1),
        "as it ended, once"
    );
    super::stage::signal(next, super::stage::TERM);
}

#[test]
fn a_log_that_another_process_keeps_long_is_told_of_and_emptied_when_he_ends() {
    let mut stage = Stage::new();
    stage.enqueue("a", "true");
    stage.start_worker(&[]);
    stage.until_state("a", "completed");
    let reader = Connection::open(&stage.database).expect("there");
    reader.execute_batch("BEGIN; SELECT count(*) FROM job").expect("it reads");
    let writer = Connection::open(&stage.database).expect("there");
    writer.busy_timeout(PATIENCE).expect("set");
    for n in 0..70 {
        let text = char::from(b'0' + n).to_string().repeat(1024 * 1024);
        writer.execute("UPDATE job SET last_error = ?", [&text]).expect("written");
    }
    drop(writer);
    until("the worker tells of it", || stage.log().contains("the write-ahead log of the database grows"));
    let status = stage.output(&["status"]);
    assert!(String::from_utf8_lossy(&status.stderr).contains("Note: the write-ahead log"));
    assert!(stage.run(&["doctor"]).contains("warning  the write-ahead log has"));
    drop(reader);
    let begin = Instant::now();
    let log = stage.path("queue.db-wal");
    until("it is emptied", || std::fs::metadata(&log).is_ok_and(|found| found.len() < 1024 * 1024));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    until("and that is told", || stage.log().contains("was emptied"));
    assert_eq!(stage.log().matches("database grows").count(), 1, "told once a minute: {}", stage.log());
}

#[test]
fn a_salvage_brings_what_is_whole_into_a_new_store_that_works() {
    let mut stage = Stage::new();
    let lines: String = (0..60)
        .map(|n| format!("{{\"id\":\"j{n}\",\"command\":\"echo j{n} >> ran; : {}\"}}\n", "x".repeat(600)))
        .collect();
    std::fs::write(stage.path("jobs"), lines).expect("written");
    stage.enqueue("big", "seq 1 100000");
    stage.run(&["worker", "start", "--drain"]);
    stage.run(&["enqueue", "@jobs"]);
    let new = stage.path("new.db").to_string_lossy().into_owned();
    let worker = stage.start_worker(&["-q", "none"]);
    let refused = stage.output(&["doctor", "--salvage", &new]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(4) && said.contains("queuectl worker stop"), "{said}");
    super::stage::signal(worker, super::stage::TERM);
    assert_eq!(stage.await_worker(worker), Some(0));
    into_one_file(&stage);
    // A page of the table, so that it reads as nothing.
    let mut bytes = std::fs::read(&stage.database).expect("readable");
    let at = bytes.windows(9).position(|part| part == b"echo j30 ").expect("it is there");
    bytes[at / 4096 * 4096..][..8].fill(0xff);
    std::fs::write(&stage.database, &bytes).expect("written");
    let doctor = stage.output(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("queuectl doctor --salvage NEW"));
    let before = std::fs::read(&stage.database).expect("readable");
    let output = stage.output(&["doctor", "--salvage", &new]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("Not saved: ") && said.contains("j30") && said.contains("1 output files"),
        "{said}"
    );
    assert_eq!(std::fs::read(&stage.database).expect("readable"), before, "the old file is as it was");
    let on_new = |words: &[&str]| stage.run(&[&["--db", &new], words].concat());
    on_new(&["worker", "start", "--drain"]);
    let ran = stage.lines("ran");
    assert!((40..60).contains(&ran.len()) && ran.contains(&"j59".to_owned()), "{ran:?}");
    assert_eq!(on_new(&["logs", "big", "--stdout"]).lines().count(), 100_000);
    assert!(on_new(&["doctor"]).contains("the kept counts are right"));
    let again = stage.output(&["doctor", "--salvage", &new]);
    assert_eq!(again.status.code(), Some(5), "never over something");
    let none = stage.output(&["--db", "none.db", "doctor", "--salvage", "other.db"]);
    assert_eq!(none.status.code(), Some(5));
}

/// Runs a script in a mount namespace of its own, where `$0` is the binary and `ro DIR` makes a directory read-only.
/// `None` where that is not possible.
fn in_own_mounts(stage: &Stage, script: &str) -> Option<String> {
    let script = format!(
        "ro() {{ mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 99; }}\n{script}"
    );
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_queuectl")])
        .env("QUEUECTL_DB", &stage.database)
        .current_dir(stage.dir.path())
        .output();
    let Ok(output) = output else {
        skipped("there is no unshare");
        return None;
    };
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(99) || stderr.starts_with("unshare:") {
        skipped(&format!("nothing could be mounted: {stderr}"));
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &stderr)
}

#[test]
fn a_read_only_place_is_read_and_a_write_says_why_not() {
    let mut stage = Stage::new();
    stage.database = stage.path("place with #?%/queue.db");
    stage.enqueue("a", "true");
    let dir = stage.database.parent().expect("made").to_string_lossy().into_owned();
    // With a log that was not read in, as after a crash: no reading of an older state.
    let mut script = format!("ro '{dir}'; \"$0\" list --quiet; echo code $?");
    assert!(std::fs::metadata(format!("{dir}/queue.db-wal")).is_ok_and(|log| log.len() > 0));
    std::fs::remove_file(format!("{dir}/queue.db-shm")).expect("it was there");
    let Some(said) = in_own_mounts(&stage, &script) else { return };
    assert!(said.contains("code 5") && said.contains("copy both files"), "{said}");
    // At rest.
    stage.run(&["backup", "kept"]);
    assert!(!stage.path("place with #?%/queue.db-wal").exists(), "the backup has read it in");
    script = format!(
        "ro '{dir}'; \"$0\" list --quiet && \"$0\" show a >/dev/null && \"$0\" status >/dev/null && echo read; \
         \"$0\" wait a --timeout 0.2; echo waited $?; \
         for verb in 'enqueue -c true' 'cancel a' 'config set max-retries 2' 'worker start --drain'; do \
         \"$0\" $verb; echo code $?; done"
    );
    let Some(said) = in_own_mounts(&stage, &script) else { return };
    assert!(said.starts_with("a\nread\nwaited 124\n"), "{said}");
    assert_eq!(said.matches("code 5").count(), 4, "{said}");
    assert_eq!(said.matches("Error:").count(), 5, "{said}");
    assert!(said.matches("read-only").count() >= 3, "{said}");
}

#[test]
fn a_damaged_beginning_and_a_cut_off_file_are_refused_and_left_as_they_are() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let log = stage.path("queue.db-wal");
    assert!(std::fs::metadata(&log).is_ok_and(|found| found.len() > 0), "the log was not read in");
    std::fs::write(&stage.database, "").expect("cut off");
    let before = std::fs::read(&log).expect("readable");
    for verb in [&["list"][..], &["enqueue", "-c", "true"]] {
        let output = stage.output(verb);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(5) && said.contains("has cut the file off"), "{said}");
    }
    assert_eq!(std::fs::read(&log).expect("readable"), before);
    let stage = Stage::new();
    stage.enqueue("b", "true");
    into_one_file(&stage);
    let mut bytes = std::fs::read(&stage.database).expect("readable");
    bytes[..32].fill(0xee);
    std::fs::write(&stage.database, &bytes).expect("written");
    for verb in [&["list"][..], &["enqueue", "-c", "true"], &["worker", "start"]] {
        let output = stage.output(verb);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(5) && said.contains("doctor --salvage"), "{said}");
    }
    assert_eq!(std::fs::read(&stage.database).expect("readable"), bytes);
    stage.run(&["doctor", "--salvage", "new.db"]);
    assert_eq!(stage.run(&["--db", "new.db", "list", "--quiet"]), "b\n");
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_all_goes_on_once_there_is_room() {
    let stage = Stage::new();
    std::fs::create_dir(stage.path("small")).expect("made");
    let script = "mount -t tmpfs -o size=400k tmpfs small || exit 99\n\
                  export QUEUECTL_DB=$PWD/small/q.db; x=$(head -c 3000 /dev/zero | tr '\\0' x); n=0\n\
                  while :; do \"$0\" enqueue --id \"j$n\" -c \"true $x\" >/dev/null 2>err; code=$?\n\
                  [ $code = 0 ] || break; n=$((n+1)); done\n\
                  echo \"code $code acknowledged $n\"; cat err; echo \"there $(\"$0\" list --quiet | wc -l)\"\n\
                  ls small; mount -o remount,size=4m small\n\
                  \"$0\" enqueue --id after -c true && \"$0\" worker start --drain 2>/dev/null; \"$0\" doctor; \"$0\" status";
    let Some(said) = in_own_mounts(&stage, script) else { return };
    let number = |word: &str| -> u64 {
        let rest = said.split(word).nth(1).unwrap_or_else(|| panic!("{word}: {said}"));
        rest.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
    };
    assert_eq!((number("code "), number("acknowledged ")), (5, number("there ")), "{said}");
    assert!(said.contains("Error: the disk is full") && !said.contains("suspect"), "{said}");
    assert!(said.contains("the database is sound") && said.contains("the kept counts are right"), "{said}");
    assert_eq!(number("completed:"), number("there ") + 1, "{said}");
}
