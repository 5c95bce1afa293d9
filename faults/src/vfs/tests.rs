//! The shim against a plain database.

use rusqlite::Connection;

use super::{Call, Entry, Kind, Session, Trap, install};

fn write(dir: &std::path::Path) -> rusqlite::Result<()> {
    let connection = Connection::open(dir.join("queue.db"))?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)")
}

#[test]
fn writes_and_syncs_are_logged_in_their_order() {
    install();
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().canonicalize().expect("it is there");
    let session = Session::begin(&place, None);
    write(&place).expect("it works");
    assert!(session.wait_closed());
    let log = session.log();
    let wal = |entry: &Entry| matches!(entry, Entry::Write { kind: Kind::Wal, .. });
    let written = log.iter().position(wal).expect("the log was written");
    let synced = Entry::Sync { kind: Kind::Wal, directory: true };
    assert!(log[written..].contains(&synced), "and then synced, with its new name: {log:?}");
    assert!(
        log.contains(&Entry::Delete { kind: Kind::Wal, directory: false }),
        "and gone with the last connection"
    );
}

#[test]
fn the_call_that_is_told_fails() {
    install();
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().canonicalize().expect("it is there");
    let session = Session::begin(&place, None);
    write(&place).expect("it works");
    let calls = session.calls();
    drop(session);
    for at in 1..=calls {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().canonicalize().expect("it is there");
        let session = Session::begin(&place, Some(Trap { of: None, at, persistent: true, full: false }));
        let _ = write(&place);
        assert!(session.wait_closed());
        assert!(!session.failed().is_empty(), "call {at} of {calls} failed");
    }
}

#[test]
fn a_trap_for_one_kind_of_call_fails_that_kind() {
    install();
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().canonicalize().expect("it is there");
    let trap = Trap { of: Some(Call::Sync), at: 2, persistent: false, full: false };
    let session = Session::begin(&place, Some(trap));
    let _ = write(&place);
    assert!(session.wait_closed());
    assert_eq!(session.failed().into_iter().collect::<Vec<_>>(), [Call::Sync]);
    let syncs = |entry: &&Entry| matches!(entry, Entry::Sync { .. } | Entry::SyncFailed(_));
    let second = session.log().iter().filter(syncs).nth(1).cloned();
    assert!(matches!(second, Some(Entry::SyncFailed(_))), "{second:?}");
}
