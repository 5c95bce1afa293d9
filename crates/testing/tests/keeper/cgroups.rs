//! A keeper to which a control group is delegated. Where none can be made, each test says so and is over.

use crate::harness::{ID, Kept, is_alive, until};
use queuectl_exec::protocol::{ClaimKey, End, Leftovers, OnCrash, Request};
use queuectl_exec::{end_cgroups, has_groups, rundir, sweep, try_take};
use queuectl_testing::delegated::{Delegated, skipped};
use std::fs;
use std::path::{Path, PathBuf};

/// A keeper in it.
fn keeper(delegated: &Delegated, on_crash: OnCrash) -> Kept {
    Kept::by(&delegated.entering(Path::new(env!("CARGO_BIN_EXE_bare-keeper"))), on_crash)
}

fn home(delegated: &Delegated) -> PathBuf {
    delegated.group.join(format!("queuectl-{ID}"))
}

/// The groups that a keeper has made, sorted.
fn groups(delegated: &Delegated) -> Vec<String> {
    let entries = fs::read_dir(home(delegated)).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A line that leaves behind a process without environment, parents and session of its job's, and its pid in a file.
fn hide(kept: &Kept) -> String {
    let file = kept.dir().join("hidden");
    let file = file.to_str().unwrap();
    format!(
        "env -i setsid sh -c 'sleep 300 < /dev/null > /dev/null 2>&1 & echo $! > {file}.new; mv {file}.new {file}'; \
         while [ ! -e {file} ]; do sleep 0.01; done"
    )
}

fn hidden(kept: &Kept) -> u32 {
    let read = || fs::read_to_string(kept.dir().join("hidden")).ok();
    until("something is hidden", || read().is_some());
    let pid = read().unwrap();
    fs::remove_file(kept.dir().join("hidden")).unwrap();
    pid.trim().parse().unwrap()
}

/// Another attempt, so that there is a choice whose a process is.
fn bystander(kept: &mut Kept, number: u64) -> ClaimKey {
    let claim = kept.start(kept.shell(number, "while [ ! -e go ]; do sleep 0.01; done"));
    kept.started(claim);
    claim
}

#[test]
fn who_hides_everywhere_is_ended_with_its_own_attempt() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    let other = bystander(&mut kept, 1);
    let record = kept.run(kept.shell(2, &format!("{}; exit 3", hide(&kept))));
    assert_eq!((record.end, record.leftovers_killed), (End::Exited { code: 3 }, 1));
    assert!(!is_alive(hidden(&kept)));
    fs::write(kept.dir().join("go"), "").unwrap();
    let record = kept.exited(other);
    assert_eq!((record.end, record.leftovers_killed), (End::Exited { code: 0 }, 0));
}

#[test]
fn who_hides_everywhere_is_ended_with_the_time_limit() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    bystander(&mut kept, 1);
    let mut start = kept.shell(2, &format!("{}; sleep 300", hide(&kept)));
    (start.timeout_ms, start.kill_grace_ms) = (Some(2000), 0);
    assert_eq!(kept.run(start).end, End::TimedOut);
    assert!(!is_alive(hidden(&kept)));
}

#[test]
fn a_group_is_used_again_once_it_is_empty_and_none_is_left() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    assert!(has_groups(&rundir::connect(&kept.run_dir(), ID).unwrap(), ID));
    for number in 1..6 {
        let told = kept.run(kept.shell(number, "sed -n s,^0::,,p /proc/self/cgroup"));
        let told = kept.text(&told.stdout);
        assert!(told.ends_with(&format!("/queuectl-{ID}/slot-1\n")), "{told}");
    }
    let [one, two] = [bystander(&mut kept, 6), bystander(&mut kept, 7)];
    assert_eq!(groups(&delegated), ["slot-1", "slot-2"]);
    fs::write(kept.dir().join("go"), "").unwrap();
    kept.exited(one);
    kept.exited(two);
    kept.line().send(&Request::Leave);
    assert!(kept.wait().success());
    assert!(!home(&delegated).exists());
}

/// Newer kernels kill what begins in a group in which all was killed at once before.
#[test]
fn what_follows_in_the_place_of_what_was_killed_lives() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    let mut limited = kept.shell(1, "trap '' TERM; sleep 300 & sleep 300");
    (limited.timeout_ms, limited.kill_grace_ms) = (Some(100), 0);
    assert_eq!(kept.run(limited).end, End::TimedOut);
    let left = kept.run(kept.shell(2, "sleep 300 & exit 2"));
    assert_eq!((left.end, left.leftovers_killed), (End::Exited { code: 2 }, 1));
    for number in 3..6 {
        assert_eq!(kept.run(kept.shell(number, "exit 3")).end, End::Exited { code: 3 });
    }
}

#[test]
fn a_group_that_its_job_has_frozen_is_not_used_again() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    let frozen = home(&delegated).join("slot-1/cgroup.freeze");
    let mut start = kept.shell(1, &format!("echo 1 > {}; sleep 300", frozen.to_str().unwrap()));
    (start.timeout_ms, start.kill_grace_ms) = (Some(300), 0);
    assert_eq!(kept.run(start).end, End::TimedOut);
    assert_eq!(kept.run(kept.shell(2, "exit 4")).end, End::Exited { code: 4 });
    assert_eq!(groups(&delegated), ["slot-2"]);
}

#[test]
fn a_killed_keepers_groups_are_emptied_by_the_finder() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Adopt);
    let done = kept.run(kept.shell(1, "true")).claim;
    let open = kept.start(kept.shell(2, &format!("{}; sleep 300", hide(&kept))));
    let started = kept.started(open);
    let hidden = hidden(&kept);
    kept.kill();
    until("the direct child dies with its keeper", || !is_alive(started));
    assert!(is_alive(hidden));
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    let remains = estate.remains.iter().find(|one| one.claim == open).unwrap();
    let started = remains.started.clone().unwrap();
    sweep(&[open], &[started]).unwrap();
    assert!(is_alive(hidden), "it cannot be told in another way");
    assert_eq!(end_cgroups(&[remains.cgroup.clone().unwrap()]).unwrap(), 1);
    assert!(!is_alive(hidden));
    assert!(!home(&delegated).exists());
    // The other one's was the same.
    let ended: Vec<_> = estate.remains.iter().filter(|one| one.claim == done).collect();
    assert_eq!(ended[0].cgroup, remains.cgroup);
    assert_eq!(end_cgroups(&[remains.cgroup.clone().unwrap()]).unwrap(), 0, "gone");
    estate.remove().unwrap();
    assert_eq!(rundir::list(&kept.run_dir()).unwrap(), []);
}

#[test]
fn kept_leftovers_have_a_group_for_themselves() {
    let Some(delegated) = Delegated::marked() else { return };
    let mut kept = keeper(&delegated, OnCrash::Kill);
    for number in [1, 2] {
        let mut start = kept.shell(number, &if number == 1 { hide(&kept) } else { "true".to_owned() });
        start.leftovers = Leftovers::Keep;
        let record = kept.run(start);
        assert_eq!((record.end, record.leftovers_killed), (End::Exited { code: 0 }, 0));
    }
    let daemon = hidden(&kept);
    kept.run(kept.shell(3, "true"));
    assert!(is_alive(daemon));
    assert_eq!(groups(&delegated), ["kept-1", "slot-3"], "without leftovers it goes at once");
    let claims = [1, 2, 3].map(|number| kept.claim(number)).to_vec();
    kept.line().send(&Request::Settled { claims });
    kept.line().send(&Request::Leave);
    assert!(kept.wait().success());
    assert!(is_alive(daemon));
    assert_eq!(groups(&delegated), ["kept-1"]);
    fs::write(home(&delegated).join("kept-1/cgroup.kill"), "1").unwrap();
    until("the daemon is dead", || !is_alive(daemon));
    let empty = home(&delegated).join("kept-1/cgroup.events");
    until("its group is empty", || fs::read_to_string(&empty).unwrap().contains("populated 0"));
    // The next keeper clears away what this one has left.
    let mut next = keeper(&delegated, OnCrash::Kill);
    next.run(next.shell(1, "true"));
    assert_eq!(groups(&delegated), ["slot-1"]);
}

#[test]
fn a_group_that_is_not_delegated_is_left_alone() {
    let Some(delegated) = Delegated::unmarked() else { return };
    if !rustix::process::geteuid().is_root() {
        return skipped("what a user owns is his");
    }
    let mut kept = keeper(&delegated, OnCrash::Adopt);
    let claim = kept.start(kept.shell(1, "sed -n s,^0::,,p /proc/self/cgroup; sleep 300"));
    kept.has_printed(claim, &format!("{}\n", Path::new(delegated.group.file_name().unwrap()).display()));
    assert!(!has_groups(&rundir::connect(&kept.run_dir(), ID).unwrap(), ID));
    assert!(!home(&delegated).exists());
    kept.kill();
    let estate = try_take(&kept.run_dir(), ID).unwrap().unwrap();
    assert_eq!(estate.remains[0].cgroup, None);
}
