//! What cannot be started: whose fault it is, and what is tried again.

use crate::harness::Kept;
use queuectl_exec::protocol::{End, Event, OnCrash, Request, StopReason};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A program, and somebody who has it open for writing.
fn being_written(kept: &Kept) -> (PathBuf, File) {
    let path = kept.dir().join("program");
    std::fs::copy("/bin/true", &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    (path, file)
}

fn could_not_start(end: End) -> (String, bool) {
    match end {
        End::CouldNotStart { message, ours } => (message, ours),
        other => panic!("it ended as {other:?}"),
    }
}

#[test]
fn a_program_that_is_being_written_runs_once_it_is_whole() {
    let mut kept = Kept::new();
    let (path, file) = being_written(&kept);
    let first = kept.start(kept.order(1, &[path.to_str().unwrap()]));
    // Others do not wait for it.
    assert_eq!(kept.run(kept.shell(2, "true")).end, End::Exited { code: 0 });
    drop(file);
    let record = kept.exited(first);
    assert_eq!(record.end, End::Exited { code: 0 });
}

#[test]
fn a_program_that_stays_open_for_writing_is_the_jobs_own_failure_in_the_end() {
    let mut kept = Kept::new();
    let (path, _file) = being_written(&kept);
    let record = kept.run(kept.order(1, &[path.to_str().unwrap()]));
    let message = format!("cannot run `{}`: Text file busy", path.display());
    assert_eq!(could_not_start(record.end), (message, false));
}

#[test]
fn a_start_that_waits_can_be_cancelled_and_stopped() {
    let mut kept = Kept::new();
    let (path, _file) = being_written(&kept);
    for (number, reason) in [(1, StopReason::Cancelled), (2, StopReason::WorkerStopping)] {
        let claim = kept.start(kept.order(number, &[path.to_str().unwrap()]));
        kept.line().send(&Request::Stop { claim, reason, grace_ms: 0 });
        match (reason, kept.exited(claim).end) {
            (StopReason::Cancelled, end) => assert_eq!(end, End::Stopped { reason }),
            (StopReason::WorkerStopping, end) => assert!(could_not_start(end).1, "it was not charged"),
        }
    }
}

#[test]
fn a_start_that_waits_is_adopted_like_one_that_runs() {
    let mut kept = Kept::with(OnCrash::Adopt);
    let (path, file) = being_written(&kept);
    let claim = kept.start(kept.order(1, &[path.to_str().unwrap()]));
    kept.line().send(&Request::HandOver);
    assert_eq!(kept.line().next(), None);
    let mut adopter = kept.adopter();
    let running = adopter.wait_for(|event| match event {
        Event::Adopted { running, lost } => Some((running.clone(), lost.clone())),
        _ => None,
    });
    assert_eq!(running, (vec![claim], vec![]));
    kept.take_line(adopter);
    drop(file);
    assert_eq!(kept.exited(claim).end, End::Exited { code: 0 });
}

#[test]
fn a_lack_of_descriptors_is_our_fault_and_passes() {
    let mut kept = Kept::new();
    let keeper = Pid::from_raw(kept.pid().cast_signed());
    // Fewer than it has open already.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let none = Rlimit { current: Some(3), maximum };
    let before = prlimit(keeper, Resource::Nofile, none).unwrap();
    let record = kept.run(kept.shell(1, "true"));
    assert_eq!(could_not_start(record.end), ("cannot make a pipe: Too many open files".to_owned(), true));
    prlimit(keeper, Resource::Nofile, before).unwrap();
    assert_eq!(kept.run(kept.shell(2, "true")).end, End::Exited { code: 0 });
}

#[test]
fn arguments_that_are_too_long_are_the_jobs_own_fault() {
    let mut kept = Kept::new();
    let record = kept.run(kept.order(1, &["/bin/true", &"x".repeat(128 * 1024)]));
    let message = "cannot run `/bin/true`: Argument list too long".to_owned();
    assert_eq!(could_not_start(record.end), (message, false));
}

#[test]
fn a_path_through_a_file_is_the_jobs_own_fault() {
    let mut kept = Kept::new();
    std::fs::write(kept.dir().join("file"), "").unwrap();
    let program = kept.dir().join("file/program");
    let record = kept.run(kept.order(1, &[program.to_str().unwrap()]));
    let (message, ours) = could_not_start(record.end);
    assert!(!ours && message.contains(": Not a directory"), "{message}");
    let mut start = kept.shell(2, "true");
    start.dir = kept.dir().join("file").into_os_string().into_encoded_bytes();
    let (message, ours) = could_not_start(kept.run(start).end);
    assert!(!ours && message.contains("cannot enter directory") && message.contains(": Not a directory"));
}
