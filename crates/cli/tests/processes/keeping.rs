//! Keeping a store: backup, restore, doctor, migrate, and a unit for the boot.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use super::stage::{KILL, Stage, TERM, refused, signal, until};

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn a_backup_under_load_restores_to_a_store_without_loss_or_doubles() {
    let mut stage = Stage::new();
    stage.enqueue("big", "seq 1 100000");
    for n in 0..60 {
        stage.enqueue(&format!("j{n}"), &format!("echo {n} >> ran; sleep 0.02"));
    }
    stage.start_worker(&["--count", "2"]);
    stage.until_state("big", "completed");
    until("some have run", || stage.lines("ran").len() > 5);
    let dir = text(&stage.path("backup"));
    let said = stage.run(&["backup", &dir]);
    assert!(said.contains("Backed up 61 jobs") && said.contains("1 output files"), "{said}");
    refused(&stage, &["backup", &dir], 5, "not empty");
    let copy = text(&stage.path("copy.db"));
    let said = stage.run(&["--db", &copy, "restore", &dir]);
    assert!(said.contains("Restored 61 jobs"), "{said}");
    let on_copy = |words: &[&str]| stage.run(&[&["--db", &copy], words].concat());
    let states: Value = serde_json::from_str(&on_copy(&["status", "--json"])).expect("JSON");
    assert_eq!(
        (&states["jobs"]["processing"], &states["total"]),
        (&0.into(), &61.into()),
        "claims went back"
    );
    assert_eq!(on_copy(&["logs", "big", "--stdout"]).lines().count(), 100_000);
    until("the original goes on", || stage.lines("ran").len() == 60);
    on_copy(&["worker", "start", "--drain"]);
    let left: Value = serde_json::from_str(&on_copy(&["status", "--json"])).expect("JSON");
    assert_eq!(left["jobs"]["completed"], 61);
    assert_eq!(stage.job("j59")["state"], "completed", "and knows nothing of the copy");
}

#[test]
fn restore_refuses_while_workers_live_and_keeps_what_is_there() {
    let mut stage = Stage::new();
    stage.enqueue("old", "true");
    let dir = text(&stage.path("backup"));
    stage.run(&["backup", &dir]);
    stage.enqueue("new", "true");
    let worker = stage.start_worker(&["-q", "none"]);
    refused(&stage, &["restore", &dir], 4, "workers are running");
    signal(worker, TERM);
    assert_eq!(stage.await_worker(worker), Some(0));
    refused(&stage, &["restore", &dir], 4, "there is a store");
    let said = stage.run(&["restore", &dir, "--force"]);
    assert_eq!(stage.run(&["list", "--quiet"]), "old\n");
    let aside =
        said.lines().find_map(|line| line.strip_prefix("What was there is now ")).expect("it is named");
    assert_eq!(stage.run(&["--db", aside, "list", "--quiet"]), "old\nnew\n");
    refused(&stage, &["--db", "other.db", "restore", "/nowhere"], 5, "no backup");
    std::fs::write(stage.path("backup/queue.db"), vec![b'x'; 8192]).expect("written");
    refused(&stage, &["--db", "other.db", "restore", &dir], 5, "");
    assert!(!stage.path("other.db").exists(), "nothing was restored");
}

#[test]
fn a_backup_that_fails_leaves_nothing_that_looks_whole() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    // No file may become larger than a few blocks: as on a full disk.
    let line = format!("ulimit -f 8; exec \"$0\" backup {}", text(&stage.path("backup")));
    let output = std::process::Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_queuectl")])
        .env("QUEUECTL_DB", &stage.database)
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{stderr}");
    assert!(!stage.path("backup").exists(), "{stderr}");
    assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
    assert_eq!(stage.output(&["--db", "none.db", "backup", "x"]).status.code(), Some(5));
}

fn findings(stage: &Stage) -> (Option<i32>, Vec<(String, String)>) {
    let output = stage.output(&["doctor", "--json"]);
    let view: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(view["schema"], 1);
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let all = view["findings"].as_array().expect("an array").iter();
    (output.status.code(), all.map(|one| (word(one, "code"), word(one, "level"))).collect())
}

#[test]
fn doctor_finds_what_is_amiss_and_says_what_to_do() {
    let mut stage = Stage::new();
    assert_eq!(findings(&stage).0, Some(0), "where there is no store");
    stage.enqueue("big", "seq 1 100000");
    stage.run(&["worker", "start", "--drain"]);
    let (code, all) = findings(&stage);
    assert!(code == Some(0) && all.iter().all(|(_, level)| level == "ok"), "{all:?}");
    let has = |code: &str, level: &str| findings(&stage).1.contains(&(code.to_owned(), level.to_owned()));
    let out = stage.path("queue.db.out");
    std::fs::write(out.join("stray"), "x").expect("written");
    assert!(has("stray_outputs", "warning"));
    let named = std::fs::read_dir(&out).expect("there").flatten().find(|one| one.file_name() != "stray");
    let named = named.expect("the output of big").path();
    std::fs::rename(&named, stage.path("moved")).expect("moved");
    assert!(has("outputs", "problem"));
    assert_eq!(findings(&stage).0, Some(1));
    std::fs::rename(stage.path("moved"), &named).expect("moved back");
    let whole = std::fs::read(&named).expect("readable");
    let mut altered = whole.clone();
    altered[1000] ^= 1;
    for damaged in [&altered[..], &whole[..5000]] {
        std::fs::write(&named, damaged).expect("written");
        let output = stage.output(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains("not what was kept: those of big ("),
            "{said}"
        );
    }
    let logs = stage.output(&["logs", "big", "--stdout"]);
    let said = String::from_utf8_lossy(&logs.stderr).into_owned();
    assert!(logs.stdout.len() == 5000 && said.contains("job big, attempt 1, is damaged"), "{said}");
    std::fs::write(&named, whole).expect("written");
    assert_eq!(findings(&stage).0, Some(0), "whole again");
    std::fs::set_permissions(&stage.database, PermissionsExt::from_mode(0o666)).expect("ours");
    assert!(has("modes", "problem"));
    std::fs::set_permissions(&stage.database, PermissionsExt::from_mode(0o600)).expect("ours");
    stage.enqueue("long", "sleep 60");
    let worker = stage.start_worker(&["--on-crash", "kill"]);
    stage.until_state("long", "processing");
    assert!(findings(&stage).1.contains(&("cgroups".to_owned(), "ok".to_owned())), "with or without");
    signal(worker, KILL);
    stage.await_worker(worker);
    let has = |code: &str, level: &str| findings(&stage).1.contains(&(code.to_owned(), level.to_owned()));
    until("its keeper is gone as well", || has("claims", "warning") && has("left", "warning"));
    assert!(stage.run(&["doctor"]).contains("queuectl worker start"), "what to do");
}

#[test]
fn migrate_with_nothing_to_do_says_so() {
    let stage = Stage::new();
    assert_eq!(stage.output(&["migrate"]).status.code(), Some(5), "no database");
    stage.run(&["init"]);
    for arguments in [&["migrate"][..], &["migrate", "--plan"]] {
        assert!(stage.run(arguments).contains("nothing to do"));
    }
}

#[test]
fn worker_unit_prints_and_installs_a_unit() {
    let stage = Stage::new();
    let unit = stage.run(&["worker", "unit", "--count", "4", "-q", "mail"]);
    for part in [
        "Type=notify",
        "KillMode=process",
        "\nUser=",
        "WatchdogSignal=SIGTERM",
        "WatchdogSec=2min",
        "Delegate=yes",
        "OOMPolicy=continue",
        "ExecReload=/bin/kill -HUP $MAINPID\n",
        "worker start --count 4 --queue mail",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.contains(part), "{part} is not in {unit}");
    }
    assert!(unit.contains(&text(&stage.database)));
    assert!(!stage.run(&["worker", "unit", "--user"]).contains("User="));
    systemd_takes(&stage, &unit);
    let unit = stage.run(&["worker", "unit", "--on-crash", "kill"]);
    for part in
        ["worker start --count 1 --on-crash kill\n", "KillMode=control-group", "WatchdogSignal=SIGKILL"]
    {
        assert!(unit.contains(part), "{part} is not in {unit}");
    }
    systemd_takes(&stage, &unit);
    let install = || {
        let mut command = stage.command(&["worker", "unit", "--user", "--install"]);
        command.env("XDG_CONFIG_HOME", stage.path("config")).output().expect("it runs")
    };
    for _ in 0..2 {
        let output = install();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("loginctl enable-linger"), "says the rest");
    }
    let path = stage.path("config/systemd/user/queuectl.service");
    assert!(std::fs::read_to_string(&path).expect("installed").contains("WantedBy=default.target"));
    assert_eq!(std::fs::metadata(&path).expect("installed").permissions().mode() & 0o777, 0o644);
    std::fs::write(&path, "[Unit]\n").expect("ours");
    assert_eq!(install().status.code(), Some(4), "never over something else");
}

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn systemd_takes(stage: &Stage, unit: &str) {
    std::fs::write(stage.path("ours.service"), unit).expect("written");
    let output =
        std::process::Command::new("systemd-analyze").arg("verify").arg(stage.path("ours.service")).output();
    let Ok(output) = output else { return skipped("there is no systemd-analyze") };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let known = |line: &&str| line.contains("ours.service") && !line.contains("queuectl(1)");
    assert_eq!(said.lines().find(known), None, "{unit}");
}

#[test]
fn a_backup_on_a_full_disk_says_so_and_leaves_nothing() {
    let stage = Stage::new();
    // More than the disk holds: once in the database, once in an output file.
    stage.enqueue("big", "head -c 3000000 /dev/urandom");
    stage.run(&["worker", "start", "--drain"]);
    std::fs::create_dir(stage.path("small")).expect("made");
    for kib in ["48", "1024"] {
        let script = "mount -t tmpfs -o size=\"$1\"k tmpfs small || exit 99\n\
                      \"$0\" backup small/kept; code=$?; ls -A small > left; exit $code";
        let output = std::process::Command::new("unshare")
            .args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_queuectl"), kib])
            .env("QUEUECTL_DB", &stage.database)
            .current_dir(stage.dir.path())
            .output();
        let Ok(output) = output else { return skipped("there is no unshare") };
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(99) || stderr.starts_with("unshare:") {
            return skipped(&format!("no disk of its own could be mounted: {stderr}"));
        }
        assert_eq!(output.status.code(), Some(5), "{kib} KiB: {stderr}");
        assert!(stderr.starts_with("Error: the disk that holds") && stderr.contains("is full"), "{stderr}");
        assert_eq!(stderr.matches("Error").count(), 1, "{stderr}");
        assert_eq!(stage.read("left"), "", "{kib} KiB");
    }
    assert_eq!(findings(&stage).0, Some(0));
    assert_eq!(stage.state("big"), "completed");
}

#[test]
fn restore_by_force_waits_for_no_job_and_is_seen_by_the_workers_that_live() {
    let mut stage = Stage::new();
    stage.enqueue("job", "echo run >> runs; until [ -e go ]; do sleep 0.02; done");
    let dir = text(&stage.path("backup"));
    stage.run(&["backup", &dir]);
    let worker = stage.start_worker(&["--count", "2"]);
    until("it runs", || stage.lines("runs").len() == 1);
    refused(&stage, &["restore", &dir], 4, "workers are running");
    // It would run again beside itself.
    refused(&stage, &["restore", &dir, "--force"], 4, "jobs are running");
    assert_eq!(stage.state("job"), "processing");
    std::fs::write(stage.path("go"), "").expect("written");
    stage.until_state("job", "completed");
    stage.run(&["restore", &dir, "--force"]);
    assert_eq!(stage.worker_pids(), [worker], "it is still known");
    until("it runs again, under a claim of the restored store", || stage.lines("runs").len() == 2);
    stage.until_state("job", "completed");
    assert_eq!(stage.job("job")["attempts"], 1);
    stage.run(&["worker", "stop"]);
    assert_eq!(findings(&stage).0, Some(0));
}

#[test]
fn doctor_and_restore_cope_with_a_database_that_cannot_be_read() {
    let stage = Stage::new();
    stage.enqueue("a", "true");
    let dir = text(&stage.path("backup"));
    stage.run(&["backup", &dir]);
    let whole = std::fs::read(&stage.database).expect("readable");
    let mut bytes = whole.clone();
    bytes[8192..].fill(0x5a);
    for broken in [bytes, b"no database at all ".repeat(1000)] {
        std::fs::write(&stage.database, &broken).expect("written");
        let (code, all) = findings(&stage);
        assert!(code == Some(1) && all.iter().any(|(_, level)| level == "problem"), "{all:?}");
        assert_ne!(stage.run(&["restore", &dir, "--force"]), "");
        assert_eq!(stage.run(&["list", "--quiet"]), "a\n");
    }
    let kept = std::fs::read(stage.path("queue.db.before-restore-2")).expect("it is kept as it is");
    assert!(kept.starts_with(b"no database"));
}

/// A worker whose manager listens.
fn managed(stage: &Stage, variables: &[(&str, &str)]) -> (std::process::Child, impl Fn() -> String + use<>) {
    let address = stage.path("notify");
    let manager = UnixDatagram::bind(&address).expect("a socket");
    manager.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a bound");
    let mut command = stage.command(&["worker", "start"]);
    command.env("NOTIFY_SOCKET", &address).envs(variables.iter().copied());
    let child = command.stderr(std::process::Stdio::null()).spawn().expect("a worker");
    let hear = move || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("word of the worker");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    (child, hear)
}

#[test]
fn a_stop_through_the_store_is_told_to_the_manager() {
    let stage = Stage::new();
    let (mut child, hear) = managed(&stage, &[]);
    assert!(hear().contains("READY=1"));
    stage.run(&["worker", "stop"]);
    // No sign of life before it: nobody asked for one.
    assert!(hear().contains("STOPPING=1"));
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn a_worker_with_a_watchdog_gives_signs_of_life_while_its_loop_turns() {
    let stage = Stage::new();
    let (mut child, hear) = managed(&stage, &[("WATCHDOG_USEC", "400000")]);
    assert!(hear().contains("READY=1"));
    let begin = queuectl_exec::now_boot_ms();
    for _ in 0..4 {
        assert_eq!(hear(), "WATCHDOG=1\n", "also of an idle one");
    }
    let took = queuectl_exec::now_boot_ms() - begin;
    assert!(took >= 500, "four signs, three times 200 ms apart: {took} ms");
    stage.enqueue("a", "env > env.txt");
    stage.until_state("a", "completed");
    assert!(!stage.read("env.txt").contains("WATCHDOG_USEC"));
    signal(child.id(), TERM);
    while !hear().contains("STOPPING=1") {}
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn a_worker_tells_its_manager_that_it_is_ready_and_its_jobs_do_not_know_him() {
    let stage = Stage::new();
    let (mut child, hear) = managed(&stage, &[]);
    assert!(hear().contains("READY=1"));
    stage.enqueue("a", "env > env.txt");
    stage.until_state("a", "completed");
    assert!(!stage.read("env.txt").contains("NOTIFY_SOCKET"));
    signal(child.id(), TERM);
    assert!(hear().contains("STOPPING=1"));
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}
