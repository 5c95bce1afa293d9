//! A schema that a newer queuectl made, with more columns and tables than this one knows, and that admits it: all of the
//! port works as ever.

mod fixture;

use std::path::Path;

use fixture::sqlite;
use queuectl_core::store::{Jobs, Workers};
use queuectl_sqlite::keep::{backup, restore};
use queuectl_sqlite::salvage::salvage;
use queuectl_sqlite::{Access, OpenOptions, SqliteStore};
use queuectl_testing::given::{Turn, exited, insert, job, outcome, worker};
use rusqlite::Connection;

queuectl_testing::conformance!(sqlite(Access::CreateOrMigrate, widen));

/// As a migration would that admits the one before.
fn widen(database: &Path) {
    let connection = Connection::open(database).expect("it opens");
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .and_then(|mut all| all.query_map([], |row| row.get(0))?.collect())
        .expect("tables");
    for table in tables {
        let more = format!("ALTER TABLE {table} ADD COLUMN made_up TEXT NOT NULL DEFAULT 'new'");
        connection.execute_batch(&more).expect("it has one more");
    }
    connection
        .execute_batch("CREATE TABLE made_up (a TEXT) STRICT; UPDATE meta SET version = 99")
        .expect("a newer version");
}

async fn open(path: &Path) -> SqliteStore {
    let options = OpenOptions::new(path, Access::Create);
    SqliteStore::open(options).await.expect("it opens").expect("it is there")
}

/// A newer store in which something has happened.
async fn lived_in(path: &Path) {
    drop(open(path).await);
    widen(path);
    let store = open(path).await;
    insert(&store, [job("done"), job("waits")]).await;
    store.register(worker("w")).await.expect("it works");
    let claims = Turn::of("w").want(1).at(&store).await.claims;
    Turn::of("w").settle(outcome(&claims[0], exited(0))).at(&store).await;
}

#[tokio::test]
async fn what_a_newer_one_made_is_salvaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, new) = (dir.path().join("old.db"), dir.path().join("new.db"));
    lived_in(&old).await;
    let report = salvage(&old, &new).expect("salvaged");
    assert_eq!(
        (report.jobs, report.lost, report.attempts, report.gaps.is_empty()),
        (2, Some(0), 1, true),
        "{report:?}"
    );
}

#[tokio::test]
async fn what_a_newer_one_made_is_backed_up_and_restored() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, kept, older) =
        (dir.path().join("queue.db"), dir.path().join("kept"), dir.path().join("older"));
    lived_in(&path).await;
    backup(&path, &kept, &mut |_| ()).expect("backed up");
    let plain = dir.path().join("plain.db");
    insert(&open(&plain).await, [job("plain")]).await;
    backup(&plain, &older, &mut |_| ()).expect("backed up");
    // The workers that the store knows stay, whichever of both has the column.
    for (from, jobs) in [(&older, 1), (&kept, 2)] {
        restore(from, &path, true, &|_| false, &mut |_| ()).expect("restored");
        let store = open(&path).await;
        assert_eq!(store.workers().await.expect("it works").len(), 1);
        let there: u64 = store.counts().await.expect("it works").iter().map(|count| count.jobs).sum();
        assert_eq!(there, jobs);
    }
}
