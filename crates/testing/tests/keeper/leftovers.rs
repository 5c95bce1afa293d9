//! Processes that outlive the attempt's own.

use crate::harness::{Kept, is_alive, marked, until};
use queuectl_exec::protocol::{End, ExitRecord, Leftovers};
use rustix::process::{Pid, Signal, kill_process};

fn left_behind(kept: &Kept, record: &ExitRecord) -> Vec<u32> {
    kept.text(&record.stdout).lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn who_holds_stdout_does_not_hold_up_the_end_and_is_killed_and_counted() {
    let mut kept = Kept::new();
    let record = kept.run(kept.rude(1, &["leave", "3"]));
    assert_eq!(record.end, End::Exited { code: 0 });
    let left = left_behind(&kept, &record);
    assert_eq!((left.len(), record.leftovers_killed), (3, 3));
    assert!(!left.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn who_left_group_and_session_is_killed_and_counted() {
    let mut kept = Kept::new();
    // Another attempt runs, so that there is a choice whose it is.
    let other = kept.start(kept.shell(1, "while [ ! -e go ]; do sleep 0.01; done"));
    kept.started(other);
    let record = kept.run(kept.rude(2, &["escape"]));
    assert_eq!(record.leftovers_killed, 1);
    assert_eq!(marked(record.claim), [0; 0]);
    assert!(!is_alive(left_behind(&kept, &record)[0]));
    std::fs::write(kept.dir().join("go"), "").unwrap();
    let record = kept.exited(other);
    assert_eq!((record.end, record.leftovers_killed), (End::Exited { code: 0 }, 0));
}

#[test]
fn who_has_no_mark_is_killed_if_no_other_attempt_can_have_started_it() {
    let mut kept = Kept::new();
    let record = kept.run(kept.rude(1, &["escape-unmarked"]));
    assert_eq!(record.leftovers_killed, 1);
    assert!(!is_alive(left_behind(&kept, &record)[0]));
}

#[test]
fn an_attempts_orphan_lives_as_long_as_the_attempt() {
    let mut kept = Kept::new();
    let long = kept.start(kept.rude(1, &["escape-and-wait"]));
    kept.has_printed(long, "\n");
    // Who told of the orphan ends a moment later.
    until("only the attempt's process and its orphan are left", || marked(long).len() == 2);
    // Attempts come and go meanwhile.
    for number in 2..10 {
        let record = kept.run(kept.shell(number, "true"));
        assert_eq!((record.end, record.leftovers_killed), (End::Exited { code: 0 }, 0));
    }
    assert_eq!(marked(long).len(), 2);
}

#[test]
fn leftovers_that_are_to_be_kept_live_on() {
    let mut kept = Kept::new();
    let mut start = kept.rude(1, &["leave", "2"]);
    start.leftovers = Leftovers::Keep;
    let record = kept.run(start);
    assert_eq!((record.end.clone(), record.leftovers_killed), (End::Exited { code: 0 }, 0));
    let left = left_behind(&kept, &record);
    // The next attempt's end does not touch them either.
    assert_eq!(kept.run(kept.rude(2, &["leave", "1"])).leftovers_killed, 1);
    assert_eq!(left.len(), 2);
    for pid in left {
        assert!(is_alive(pid));
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    }
}

#[test]
fn closed_pipes_do_not_end_an_attempt() {
    let mut kept = Kept::new();
    let mut start = kept.rude(1, &["close-pipes"]);
    start.timeout_ms = Some(700);
    let record = kept.run(start);
    assert_eq!(record.end, End::TimedOut);
    assert_eq!(record.stdout.bytes_total, 0);
}

#[test]
fn who_breeds_without_end_is_ended() {
    let mut kept = Kept::new();
    let mut start = kept.rude(1, &["breed"]);
    start.timeout_ms = Some(300);
    start.kill_grace_ms = 0;
    let record = kept.run(start);
    assert_eq!(record.end, End::TimedOut);
    assert_eq!(marked(record.claim), [0; 0]);
}

#[test]
fn zombies_of_orphans_do_not_pile_up() {
    let mut kept = Kept::new();
    let record = kept.run(kept.shell(1, "for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 &) ; done; sleep 0.3"));
    assert_eq!(record.end, End::Exited { code: 0 });
    kept.run(kept.shell(2, "true"));
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.unwrap().path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (parent == kept.pid()).then_some(stat)
    });
    assert_eq!(children.collect::<Vec<_>>(), Vec::<String>::new());
}
