//! The shim against a plain database.

use rusqlite::Connection;

use super::{Entry, Kind, Session, Trap, install};

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
        let session = Session::begin(&place, Some(Trap { at, persistent: true, full: false }));
        let _ = write(&place);
        assert!(session.wait_closed());
        assert!(!session.failed().is_empty(), "call {at} of {calls} failed");
    }
}
