//! A keeper whose worker is gone: its jobs run on, and whoever comes next takes over.

use crate::harness::{ID, Kept, is_alive, marked, until};
use queuectl_core::limits::KEEPER_TURN_MAX;
use queuectl_exec::protocol::{
    ClaimKey, End, Event, OnCrash, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, Request,
};
use queuectl_exec::rundir::{self, orphans};
use queuectl_exec::try_take;

/// A job that says where it is and goes on once the file is there.
const WAITS: &str = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; exit 3";

fn go(kept: &Kept) {
    std::fs::write(kept.dir().join("go"), "").unwrap();
}

fn is_orphaned(kept: &Kept) -> bool {
    orphans(&kept.run_dir()).unwrap() == [ID]
}

fn adopted(event: &Event) -> Option<(Vec<ClaimKey>, Vec<ClaimKey>)> {
    match event {
        Event::Adopted { running, lost } => Some((running.clone(), lost.clone())),
        _ => None,
    }
}

#[test]
fn a_job_outlives_its_worker_and_the_next_one_hears_how_it_ended() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let done = kept.start(kept.shell(1, "echo done; exit 4"));
    kept.exited(done);
    let running = kept.start(kept.shell(2, WAITS));
    let pid = kept.started(running);
    kept.has_printed(running, "one");
    assert!(!is_orphaned(&kept), "its worker is there");
    assert!(kept.adopter().next().is_none(), "one worker at a time");
    kept.lose_worker();
    until("it says that its worker is gone", || is_orphaned(&kept));

    let mut line = kept.adopter();
    let told = line.wait_for(|event| match event {
        Event::Exited(record) => Some(record.end.clone()),
        other => panic!("{other:?} before what has ended"),
    });
    assert_eq!(told, End::Exited { code: 4 }, "what nobody has settled is told again");
    assert_eq!(line.wait_for(adopted), (vec![running], vec![]));
    assert!(!is_orphaned(&kept));
    assert!(kept.adopter().next().is_none(), "one worker at a time");
    kept.take_line(line);
    assert!(is_alive(pid), "the same process");
    go(&kept);
    let record = kept.exited(running);
    assert_eq!(
        (record.end.clone(), kept.text(&record.stdout)),
        (End::Exited { code: 3 }, "one\ntwo\n".to_owned())
    );
    kept.line().send(&Request::Settled { claims: vec![done, running] });
    kept.line().send(&Request::Leave);
    assert!(kept.wait().success());
    assert_eq!(std::fs::read_dir(kept.run_dir()).unwrap().count(), 0);
}

#[test]
fn an_orphan_that_nobody_adopts_ends_with_its_last_job_and_leaves_its_record() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let running = kept.start(kept.shell(1, WAITS));
    kept.has_printed(running, "one");
    kept.lose_worker();
    until("it says that its worker is gone", || is_orphaned(&kept));
    go(&kept);
    assert!(kept.wait().success());
    assert!(!is_orphaned(&kept));
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    let exit = estate.remains[0].exit.clone().unwrap();
    assert_eq!(
        (exit.end.clone(), kept.text(&exit.stdout)),
        (End::Exited { code: 3 }, "one\ntwo\n".to_owned())
    );
}

#[test]
fn a_keeper_without_jobs_ends_with_its_worker() {
    let mut kept = Kept::with(OnCrash::Adopt);
    kept.lose_worker();
    assert!(kept.wait().success());
    assert_eq!(std::fs::read_dir(kept.run_dir()).unwrap().count(), 0);
}

#[test]
fn what_is_handed_over_runs_on_even_if_a_crash_would_end_it() {
    let mut kept = Kept::with(OnCrash::Kill);
    let running = kept.start(kept.shell(1, WAITS));
    kept.has_printed(running, "one");
    kept.line().send(&Request::HandOver);
    while kept.line().next().is_some() {}
    kept.lose_worker();
    assert!(is_orphaned(&kept));
    // What counts is what the next worker has in mind.
    for _ in 0..2 {
        let mut line = kept.adopter();
        assert_eq!(line.wait_for(adopted), (vec![running], vec![]));
        drop(line);
        until("it says that its worker is gone", || is_orphaned(&kept));
    }
    let mut line = kept.adopter_who(OnCrash::Kill);
    assert_eq!(line.wait_for(adopted), (vec![running], vec![]));
    drop(line);
    assert!(kept.wait().success());
    assert_eq!(marked(running), [0; 0]);
}

#[test]
fn a_keeper_that_nobody_can_find_ends_its_jobs() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let running = kept.start(kept.rude(1, &["ignore-term"]));
    kept.has_printed(running, "ready");
    std::fs::remove_file(kept.run_dir().join(rundir::lock_name(rundir::Kind::Keeper, ID))).unwrap();
    let record = kept.exited(running);
    assert!(matches!(record.end, End::Interrupted { .. }), "{:?}", record.end);
    assert_eq!(marked(running), [0; 0]);
    // Its worker is there, and may start another one.
    assert!(kept.wait().success());
}

#[test]
fn a_keeper_that_is_out_of_reach_for_a_while_goes_on() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let running = kept.start(kept.shell(1, "while [ ! -e go ]; do sleep 0.01; done"));
    kept.started(running);
    let (dir, away) = (kept.run_dir(), kept.run_dir().with_extension("away"));
    std::fs::rename(&dir, &away).unwrap();
    // Nothing can be looked at by this name: it leads to itself.
    std::os::unix::fs::symlink(&dir, &dir).unwrap();
    // Two looks and more.
    std::thread::sleep(KEEPER_TURN_MAX * 5 / 2);
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&away, &dir).unwrap();
    std::fs::write(kept.dir().join("go"), "").unwrap();
    assert_eq!(kept.exited(running).end, End::Exited { code: 0 });
}

#[test]
fn a_keeper_whose_database_has_gone_ends_its_jobs() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let running = kept.start(kept.shell(1, WAITS));
    kept.has_printed(running, "one");
    kept.lose_worker();
    // Another file in its place is another database.
    std::fs::write(kept.dir().join("another"), "").unwrap();
    std::fs::rename(kept.dir().join("another"), kept.guard()).unwrap();
    assert!(kept.wait().success());
    assert_eq!(marked(running), [0; 0]);
}

#[test]
fn a_newer_worker_is_served_in_the_version_that_both_know_and_one_too_old_is_not() {
    let kept = Kept::with(OnCrash::Adopt);
    let newer = kept.greeted_with(PROTOCOL_VERSION + 1);
    assert!(matches!(newer.0, Some(Event::Hello { version: PROTOCOL_VERSION, .. })), "{:?}", newer.0);
    let claim = ClaimKey { incarnation: 0, number: 0 };
    let mut line = newer.1;
    line.send(&Request::Follow { claim, stdout_from: 0, stderr_from: 0 });
    line.wait_for(|event| matches!(event, Event::Ended { .. }).then_some(()));
    let (hello, mut older) = kept.greeted_with(PROTOCOL_VERSION_MIN - 1);
    assert!(
        matches!(hello, Some(Event::Hello { version: PROTOCOL_VERSION, .. })),
        "it is told what would be right"
    );
    assert_eq!(older.next(), None, "and nothing else");
}
