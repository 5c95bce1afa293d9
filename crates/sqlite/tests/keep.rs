//! Copies of whole databases: a backup under writers, and its way into a file that others have open.

use std::path::{Path, PathBuf};

use queuectl_core::command::Command;
use queuectl_core::job::NewJob;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::State;
use queuectl_core::store::{Jobs, Settled};
use queuectl_sqlite::keep::{Progress, backup, examine, restore};
use queuectl_sqlite::{Access, OpenOptions, SqliteStore};
use queuectl_testing::given::{Turn, With, exited, id, insert, job, outcome};
use rusqlite::Connection;

async fn open(path: &Path) -> SqliteStore {
    let options = OpenOptions::new(path, Access::CreateOrMigrate);
    SqliteStore::open(options).await.expect("it opens").expect("it is made")
}

fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, kept) = (dir.path().join("queue.db"), dir.path().join("kept"));
    (dir, path, kept)
}

/// A job that fills pages.
fn large(name: &str) -> NewJob {
    job(name).with(|spec| spec.command = Some(Command::shell("x".repeat(30_000)).expect("a command")))
}

async fn ids(store: &SqliteStore) -> Vec<String> {
    let page = Page { order: Order::OldestFirst, after: None, rows: 1000 };
    let jobs = store.list(&Filter::default(), page).await.expect("it works");
    jobs.iter().map(|job| job.id.to_string()).collect()
}

#[tokio::test]
async fn a_backup_is_one_state_however_much_is_written_meanwhile() {
    let (_dir, path, kept) = place();
    let store = open(&path).await;
    insert(&store, (0..300).map(|n| large(&format!("a{n}")))).await;
    let raw = Connection::open(&path).expect("there");
    let mut looks = 0;
    backup(&path, &kept, &mut |progress| {
        let Progress::Pages { done, total } = progress else { panic!("there are no outputs") };
        looks += 1;
        // Another process commits between any two steps.
        raw.execute("UPDATE job SET priority = priority + 1", []).expect("written");
        assert!(done <= total && looks < 100, "it makes headway");
    })
    .expect("backed up");
    assert!(looks > 1, "several steps, or the test shows nothing");
    let copy = kept.join("queue.db");
    assert!(!kept.join("queue.db-wal").exists(), "all is in the one file");
    let found = examine(&copy).expect("readable");
    assert_eq!((found.damage, found.miscounted), (vec![], vec![]));
    let (jobs, states): (i64, i64) = Connection::open(&copy)
        .expect("there")
        .query_row("SELECT count(*), count(DISTINCT priority) FROM job", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("readable");
    assert_eq!((jobs, states), (300, 1));
}

#[tokio::test]
async fn a_restore_under_an_open_store_is_seen_whole_and_fences_its_claims() {
    let (_dir, path, kept) = place();
    let store = open(&path).await;
    insert(&store, [job("old")]).await;
    backup(&path, &kept, &mut |_| ()).expect("backed up");
    insert(&store, [job("new")]).await;
    let claims = Turn::of("w").want(2).at(&store).await.claims;
    let report = restore(&kept, &path, true, &|_| false, &mut |_| ()).expect("restored");
    assert_eq!(ids(&store).await, ["old"]);
    let reply = Turn::of("w").settle(outcome(&claims[0], exited(0))).at(&store).await;
    assert!(matches!(reply.settled[..], [Settled::Lost]), "{:?}", reply.settled);
    let again = Turn::of("w").want(2).at(&store).await.claims;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].token.incarnation, claims[0].token.incarnation);
    // Whoever opens it now finds it at home: nothing is redrawn, nothing given back.
    let other = open(&path).await;
    assert_eq!(other.get(&id("old")).await.expect("it works").expect("there").state, State::Processing);
    // The last one to close it leaves a whole database.
    drop((store, other));
    assert_eq!(examine(&path).expect("readable").damage, Vec::<String>::new());
    let aside = open(&report.aside.expect("it is kept")).await;
    assert_eq!(ids(&aside).await, ["old", "new"]);
}

#[tokio::test]
async fn a_restore_that_fails_leaves_what_was_there() {
    let (dir, path, kept) = place();
    let store = open(&path).await;
    insert(&store, [job("old")]).await;
    backup(&path, &kept, &mut |_| ()).expect("backed up");
    insert(&store, [job("new")]).await;
    drop(store);
    // The backup names an output, and a file is where outputs are to go.
    Connection::open(kept.join("queue.db"))
        .expect("there")
        .execute_batch(
            "INSERT INTO output SELECT seq, 1, 'stdout', 1, 0, 1, x'00', NULL, 'a.out', 1 FROM job",
        )
        .expect("written");
    std::fs::write(dir.path().join("queue.db.out"), "").expect("written");
    restore(&kept, &path, false, &|_| false, &mut |_| ()).expect_err("it cannot");
    assert_eq!(ids(&open(&path).await).await, ["old", "new"]);
    let left = std::fs::read_dir(dir.path()).expect("readable").flatten();
    let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.contains("restor")), "{left:?}");
    let elsewhere = dir.path().join("elsewhere.db");
    std::fs::write(dir.path().join("elsewhere.db.out"), "").expect("written");
    restore(&kept, &elsewhere, false, &|_| false, &mut |_| ()).expect_err("it cannot");
    assert!(!elsewhere.exists(), "nothing is made");
}

#[tokio::test]
async fn a_name_in_a_backup_that_leaves_its_directory_is_damage() {
    let (dir, path, kept) = place();
    insert(&open(&path).await, [job("a")]).await;
    backup(&path, &kept, &mut |_| ()).expect("backed up");
    Connection::open(kept.join("queue.db"))
        .expect("there")
        .execute_batch(
            "INSERT INTO output SELECT seq, 1, 'stdout', 1, 0, 1, x'00', NULL, '../stolen', 1 FROM job",
        )
        .expect("written");
    let target = dir.path().join("target.db");
    let error = restore(&kept, &target, false, &|_| false, &mut |_| ()).expect_err("it is refused");
    assert!(error.to_string().contains("../stolen") && !target.exists(), "{error}");
}

#[tokio::test]
async fn a_backup_touches_nothing_but_its_own_and_leaves_nothing_behind() {
    let (dir, path, kept) = place();
    let store = open(&path).await;
    insert(&store, [large("a")]).await;
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    // Somebody's own, whatever it is called.
    std::fs::create_dir(dir.path().join("kept.partial")).expect("made");
    std::fs::write(dir.path().join("kept.partial/file"), "precious").expect("written");
    let before = names();
    for wrong in [path.clone(), dir.path().join("queue.db.out/below"), dir.path().join("kept.partial")] {
        backup(&path, &wrong, &mut |_| ()).expect_err("no place for a backup");
        assert_eq!(names(), before, "{}", wrong.display());
    }
    backup(&path, &kept, &mut |_| ()).expect("backed up");
    assert_eq!(names().len(), before.len() + 1);
    assert!(dir.path().join("kept.partial/file").exists());
}
