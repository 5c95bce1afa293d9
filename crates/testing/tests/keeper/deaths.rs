//! The death of the worker, of the keeper, and what an heir finds.

use crate::harness::{ID, Kept, is_alive, marked, until};
use queuectl_core::limits::KEEPER_BACKLOG_BYTES_MAX;
use queuectl_exec::protocol::{Body, End, Event, Interruption, Request};
use queuectl_exec::rundir::{self, Kind};
use queuectl_exec::{SweepReport, sweep, try_take};
use std::collections::HashSet;

#[test]
fn without_its_worker_a_keeper_kills_its_trees_and_leaves_records() {
    let mut kept = Kept::new();
    let done = kept.start(kept.shell(1, "echo done; exit 3"));
    kept.exited(done);
    let running = kept.start(kept.rude(2, &["escape-and-wait"]));
    let stubborn = kept.start(kept.rude(3, &["ignore-term"]));
    kept.has_printed(running, "\n");
    kept.has_printed(stubborn, "ready");
    assert!(try_take(&kept.run_dir(), ID).unwrap().is_none(), "the keeper lives");
    kept.lose_worker();
    assert!(kept.wait().success());
    assert_eq!((marked(running), marked(stubborn)), (vec![], vec![]));
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    assert_eq!(estate.damage, None);
    let ends: Vec<_> = estate.remains.iter().map(|one| (one.claim, one.exit.clone().unwrap().end)).collect();
    let lost = End::Interrupted { cause: Interruption::WorkerLost };
    assert_eq!(ends, [(done, End::Exited { code: 3 }), (running, lost.clone()), (stubborn, lost)]);
    assert_eq!(estate.remains[0].exit.as_ref().unwrap().stdout.body, Body::Inline(b"done\n".to_vec()));
    assert!(estate.remains.iter().all(|one| one.started.is_some()));
    estate.remove().unwrap();
    assert_eq!(std::fs::read_dir(kept.run_dir()).unwrap().count(), 0);
}

#[test]
fn a_killed_keepers_orphans_are_swept_and_then_its_files_removed() {
    let mut kept = Kept::new();
    let escaped = kept.start(kept.rude(1, &["escape-and-wait"]));
    let unmarked = kept.start(kept.shell(2, "env -i sleep 300 & echo ready; wait"));
    let children = [kept.started(escaped), kept.started(unmarked)];
    kept.has_printed(escaped, "\n");
    kept.has_printed(unmarked, "ready");
    kept.kill();
    until("the direct children die with their keeper", || !children.iter().any(|pid| is_alive(*pid)));
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    assert_eq!(estate.remains.len(), 2);
    assert!(estate.remains.iter().all(|one| one.exit.is_none()));
    let claims: Vec<_> = estate.remains.iter().map(|one| one.claim).collect();
    let started: Vec<_> = estate.remains.iter().filter_map(|one| one.started.clone()).collect();
    assert_eq!(
        sweep(&claims, &started).unwrap(),
        SweepReport { killed: 2 },
        "one by its mark, one by its group"
    );
    assert_eq!(marked(escaped), [0; 0]);
    estate.remove().unwrap();
    assert_eq!(rundir::list(&kept.run_dir()).unwrap(), []);
}

#[test]
fn the_spool_is_empty_once_all_is_settled_and_a_farewell_leaves_no_trace() {
    let mut kept = Kept::new();
    let spool = kept.run_dir().join(rundir::spool_name(ID));
    let len = || std::fs::metadata(&spool).unwrap().len();
    let one = kept.run(kept.shell(1, "echo hello")).claim;
    let two = kept.run(kept.order(2, &["no-such-program"])).claim;
    assert!(len() > 0);
    kept.line().send(&Request::Settled { claims: vec![one] });
    kept.run(kept.shell(3, "true"));
    assert!(len() > 0);
    let three = kept.claim(3);
    kept.line().send(&Request::Settled { claims: vec![two, three] });
    until("the spool is emptied", || len() == 0);
    assert!(rundir::is_alive(&kept.run_dir(), Kind::Keeper, ID).unwrap());
    kept.line().send(&Request::Leave);
    while kept.line().next().is_some() {}
    assert!(kept.wait().success());
    assert_eq!(std::fs::read_dir(kept.run_dir()).unwrap().count(), 0);
}

#[test]
fn after_a_farewell_what_runs_may_end() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.shell(1, "while [ ! -e go ]; do sleep 0.01; done"));
    kept.started(claim);
    kept.line().send(&Request::Leave);
    kept.lose_worker();
    // A sign that it has noticed.
    until("the keeper lives on", || is_alive(kept.pid()));
    std::fs::write(kept.dir().join("go"), "").unwrap();
    assert!(kept.wait().success());
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    assert_eq!(estate.remains[0].exit.as_ref().unwrap().end, End::Exited { code: 0 });
}

#[test]
fn intent_and_start_are_in_the_spool_before_the_worker_hears() {
    let mut kept = Kept::new();
    let claim = kept.start(kept.shell(1, "sleep 300"));
    let pid = kept.started(claim);
    let bytes = std::fs::read(kept.run_dir().join(rundir::spool_name(ID))).unwrap();
    kept.kill();
    let contents = queuectl_exec::spool::decode(&bytes);
    assert_eq!(contents.records.len(), 2);
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    let started = estate.remains[0].started.clone().unwrap();
    assert_eq!((started.pid.cast_unsigned(), started.group.cast_unsigned()), (pid, pid));
    assert_eq!(started.boot_id, queuectl_exec::boot_id());
    sweep(&[claim], &[started]).unwrap();
}

#[test]
fn a_worker_that_does_not_read_loses_nothing() {
    let mut kept = Kept::new();
    let spool = kept.run_dir().join(rundir::spool_name(ID));
    let start =
        |kept: &mut Kept, number| kept.start(kept.order(number, &["head", "-c", "16384", "/dev/zero"]));
    // Just below the bound of what waits for a worker, eight attempts at a time.
    let many = KEEPER_BACKLOG_BYTES_MAX as u64 / 16384 - 24;
    for number in 0..many {
        start(&mut kept, number);
        if number % 8 == 7 {
            let enough = (number - 7) * 16384;
            until("attempts end", || std::fs::metadata(&spool).unwrap().len() > enough);
        }
    }
    // And beyond it.
    for number in many..many + 100 {
        start(&mut kept, number);
    }
    let mut ended = HashSet::new();
    while ended.len() < many as usize + 100 {
        if let Some(Event::Exited(record)) = kept.line().next() {
            assert_eq!((record.stdout.bytes_total, &record.end), (16384, &End::Exited { code: 0 }));
            assert!(ended.insert(record.claim));
        }
    }
    assert_eq!(kept.run(kept.shell(5000, "exit 7")).end, End::Exited { code: 7 });
}
