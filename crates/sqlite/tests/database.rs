//! What only a database file can get wrong: its making, its identity, its age, its neighbours, its plans.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use queuectl_core::outcome::Interruption;
use queuectl_core::state::State;
use queuectl_core::store::{Attempts, Exchange, Jobs, StopMode, Store, StoreError, Topic, Wakeups, Workers};
use queuectl_sqlite::{Access, OpenOptions, SqliteStore};
use queuectl_testing::given::{Turn, With, id, insert, job, worker};
use rusqlite::Connection;

async fn open(path: &Path) -> SqliteStore {
    let options = OpenOptions::new(path, Access::CreateOrMigrate);
    SqliteStore::open(options).await.expect("it opens").expect("it is made")
}

async fn refusal(path: &Path, access: Access) -> StoreError {
    match SqliteStore::open(OpenOptions::new(path, access)).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep/er/queue.db");
    (dir, path)
}

#[tokio::test]
async fn many_make_it_at_once_and_use_it_together() {
    let (_dir, path) = place();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = open(&path).await;
                insert(&store, [job(&format!("j{n}"))]).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("none saw a locked database");
    }
    let counts = open(&path).await.counts().await.expect("it works");
    assert_eq!(counts.iter().map(|count| count.jobs).sum::<u64>(), 20);
    let mode = |path: &Path| std::fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().expect("made"))), (0o600, 0o700));
}

#[tokio::test]
async fn a_store_that_lost_its_write_ahead_log_gets_it_back() {
    let (_dir, path) = place();
    open(&path).await;
    let mode = |sql: &str| -> String {
        let connection = Connection::open(&path).expect("it opens");
        connection.query_row(sql, [], |row| row.get(0)).expect("a mode")
    };
    // As a store was left that met an error while it was made.
    assert_eq!(mode("PRAGMA journal_mode = DELETE"), "delete");
    open(&path).await;
    assert_eq!(mode("PRAGMA journal_mode"), "wal", "without it a power cut can undo a synced commit");
}

#[tokio::test]
async fn a_reader_makes_nothing() {
    let (dir, path) = place();
    let options = OpenOptions::new(path, Access::ReadOnlyIfExists);
    assert!(SqliteStore::open(options).await.expect("no error").is_none());
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn what_is_no_queue_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = dir.path().join("text");
    std::fs::write(&text, "not a database at all, but long enough to have a header of its own".repeat(40))
        .expect("written");
    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).expect("made").execute_batch("CREATE TABLE theirs (x)").expect("made");
    for access in [Access::CreateOrMigrate, Access::ReadOnlyIfExists] {
        assert!(matches!(refusal(dir.path(), access).await, StoreError::Unavailable { .. }));
        assert!(matches!(refusal(&text, access).await, StoreError::Unavailable { .. }));
    }
    let before = std::fs::read(&foreign).expect("readable");
    assert!(matches!(refusal(&foreign, Access::CreateOrMigrate).await, StoreError::Unavailable { .. }));
    assert_eq!(std::fs::read(&foreign).expect("readable"), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_before_any_write() {
    let (_dir, path) = place();
    drop(open(&path).await);
    let raw = Connection::open(&path).expect("there");
    raw.execute_batch("UPDATE meta SET version = 99, min_writer = 99, min_reader = 99").expect("written");
    for access in [Access::CreateOrMigrate, Access::ReadOnlyIfExists] {
        assert!(matches!(refusal(&path, access).await, StoreError::Incompatible { .. }));
    }
}

#[tokio::test]
async fn a_store_that_a_newer_one_has_taken_over_is_written_no_more() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    let raw = Connection::open(&path).expect("there");
    raw.execute_batch("UPDATE meta SET version = 99, min_writer = 99").expect("written");
    let excluded = |error: StoreError| assert!(matches!(error, StoreError::Incompatible { .. }), "{error}");
    excluded(store.insert(vec![job("b")]).await.expect_err("excluded"));
    for want in [0, 1] {
        excluded(store.exchange(Turn::of("w").want(want).request()).await.expect_err("excluded"));
    }
    assert_eq!(store.counts().await.expect("readable").len(), 1);
}

#[tokio::test]
async fn a_copy_is_a_store_of_its_own() {
    let (dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("runs"), job("once").with(|spec| spec.at_most_once = true)]).await;
    let claims = Turn::of("w").want(2).at(&store).await.claims;
    let copy = dir.path().join("copy.db");
    Connection::open(&path)
        .expect("there")
        .execute("VACUUM INTO ?", [copy.to_string_lossy()])
        .expect("copied");
    // A look changes nothing; whoever opens it for writing makes it another store.
    let look = OpenOptions::new(&copy, Access::ReadOnlyIfExists);
    let look = SqliteStore::open(look).await.expect("it opens").expect("it is there");
    assert_eq!(look.get(&id("runs")).await.expect("it works").expect("there").state, State::Processing);
    let copied = open(&copy).await;
    insert(&copied, [job("new")]).await;
    let runs = copied.get(&id("runs")).await.expect("it works").expect("there");
    assert_eq!((runs.state, runs.attempts, runs.interruptions), (State::Pending, 0, 0));
    assert_eq!(copied.get(&id("once")).await.expect("it works").expect("there").state, State::Dead);
    let rows = copied.attempts(&id("runs"), false).await.expect("it works");
    assert_eq!(rows[0].outcome, queuectl_core::outcome::Outcome::Interrupted(Interruption::Stop));
    let again = Turn::of("w").want(1).at(&copied).await.claims;
    assert_ne!(again[0].token.incarnation, claims[0].token.incarnation);
    // The original is not touched.
    assert_eq!(store.get(&id("runs")).await.expect("it works").expect("there").state, State::Processing);
}

#[tokio::test]
async fn a_ring_wakes_another_process_and_never_waits_for_a_full_one() {
    let (_dir, path) = place();
    let (one, other) = (open(&path).await, open(&path).await);
    let mut listener = other.listen(Topic::Work).await.expect("it listens");
    insert(&one, [job("a")]).await;
    assert!(listener.wait(Duration::from_secs(20)).await);
    // Nobody reads this one, as if its process were stopped.
    let deaf = other.listen(Topic::Work).await.expect("it listens");
    for n in 0..100 {
        insert(&one, [job(&format!("j{n}"))]).await;
    }
    assert!(listener.wait(Duration::from_secs(20)).await);
    drop(deaf);
    drop(listener);
    let left = std::fs::read_dir(&one.place().run_dir).expect("there").flatten();
    let sockets = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("ring-")).count();
    assert_eq!(sockets, 0, "sockets go with their listeners");
}

#[tokio::test]
async fn whoever_has_a_reply_may_exit_for_the_ring_is_out() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let _listener = store.listen(Topic::Work).await.expect("it makes the run directory");
    let ear = std::os::unix::net::UnixDatagram::bind(store.place().run_dir.join("ring-work-1-0.sock"));
    let ear = ear.expect("bound");
    ear.set_nonblocking(true).expect("a socket");
    for n in 0..200 {
        insert(&store, [job(&format!("j{n}"))]).await;
        assert!(ear.recv(&mut [0; 8]).is_ok(), "the ring of insert {n}");
    }
}

#[tokio::test]
async fn a_dead_listeners_socket_is_removed_by_the_next_ring() {
    let (_dir, path) = place();
    let store = open(&path).await;
    drop(store.listen(Topic::Work).await.expect("it makes the directory"));
    let stale = store.place().run_dir.join("ring-work-99999-0.sock");
    drop(std::os::unix::net::UnixDatagram::bind(&stale).expect("bound"));
    insert(&store, [job("a")]).await;
    assert!(!stale.exists());
}

#[tokio::test]
async fn the_views_speak_the_contracts_words() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a").tag("k", "v").delayed(3600)]).await;
    let raw = Connection::open(&path).expect("there");
    let (state, created, run_at, retries): (String, String, String, i64) = raw
        .query_row("SELECT state, created_at, run_at, max_retries FROM jobs WHERE id = 'a'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .expect("readable");
    assert_eq!((state.as_str(), retries), ("pending", 3));
    let job = store.get(&id("a")).await.expect("it works").expect("there");
    assert_eq!((created, Some(run_at)), (job.created_at.to_string(), job.run_at.map(|at| at.to_string())));
    for view in ["attempts", "workers"] {
        raw.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get::<_, i64>(0))
            .expect("readable");
    }
}

#[tokio::test]
async fn claims_and_promotions_walk_their_partial_indexes() {
    let (_dir, path) = place();
    drop(open(&path).await);
    let raw = Connection::open(&path).expect("there");
    for (sql, index) in [
        (
            "SELECT seq FROM job WHERE ready = 1 AND kind = 'k' ORDER BY priority DESC, due_at, seq LIMIT 8",
            "job_first",
        ),
        (
            "SELECT seq FROM job WHERE ready = 1 AND queue = 'q' AND kind = 'k'
             ORDER BY priority DESC, due_at, seq LIMIT 8",
            "job_ready",
        ),
        (
            "SELECT seq FROM job INDEXED BY job_due WHERE state = 'pending' AND ready = 0 AND due_at <= 9
             ORDER BY due_at",
            "job_due",
        ),
        ("SELECT name FROM queue WHERE paused = 1 ORDER BY name", "queue_paused"),
        ("SELECT id FROM batch WHERE loader IS NOT NULL AND open = 1 ORDER BY id", "batch_loader"),
        ("SELECT seq FROM job WHERE claim = 5 AND incarnation = 1 AND state = 'processing'", "job_claim"),
    ] {
        let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid");
        let plan: Vec<String> = statement
            .query_map([], |row| row.get(3))
            .expect("a plan")
            .map(|line| line.expect("text"))
            .collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn a_change_of_a_job_makes_no_table_of_its_own() {
    let (_dir, path) = place();
    drop(open(&path).await);
    let raw = Connection::open(&path).expect("there");
    let sql = "UPDATE job SET state = 'dead', ready = 0, retrying = 0, completed_at = 1 WHERE seq = 1";
    let mut statement = raw.prepare(&format!("EXPLAIN {sql}")).expect("valid");
    let steps = statement.query_map([], |row| row.get::<_, String>(1)).expect("a program");
    let steps: Vec<String> = steps.map(|step| step.expect("text")).collect();
    assert!(steps.iter().any(|step| step == "Program"), "it is counted: {steps:?}");
    assert!(!steps.iter().any(|step| step == "OpenEphemeral"), "{steps:?}");
}

#[tokio::test]
async fn an_idle_exchange_writes_nothing() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("later").delayed(3600)]).await;
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let before = std::fs::metadata(&log).expect("there").len();
    for _ in 0..20 {
        let reply = Turn::of("w").want(4).at(&store).await;
        assert!(reply.claims.is_empty());
    }
    assert_eq!(std::fs::metadata(&log).expect("there").len(), before);
}

#[tokio::test]
async fn an_exchange_that_changes_nothing_waits_for_no_writer() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    store.register(worker("w")).await.expect("it works");
    store.request_stop(&["w".to_owned()], StopMode::Drain).await.expect("it works");
    let writer = Connection::open(&path).expect("opens");
    writer.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    // A job is there but none is wanted; then one is wanted but none is there.
    for turn in [Turn::of("w"), Turn::of("w").want(4).queues(&["other"])] {
        let reply = tokio::time::timeout(Duration::from_secs(10), turn.at(&store)).await;
        assert_eq!(reply.expect("it answers meanwhile").stop, Some(StopMode::Drain));
    }
}

/// Who found work is likely to find more: the look that saves others a commit would be a second one for him.
#[tokio::test]
async fn who_found_work_claims_without_a_look_until_there_is_none() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    assert_eq!(Turn::of("w").want(1).at(&store).await.claims.len(), 1);
    let writer = Connection::open(&path).expect("opens");
    let begin = || writer.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let bound = Duration::from_millis(200);
    begin();
    let asks_for_none = tokio::time::timeout(Duration::from_secs(10), Turn::of("w").at(&store)).await;
    asks_for_none.expect("it looks");
    let claim = tokio::time::timeout(bound, Turn::of("w").want(1).at(&store)).await;
    assert!(claim.is_err(), "it looked, and found nothing");
    writer.execute_batch("COMMIT").expect("it works");
    // In one commit with the one before, or after it.
    assert_eq!(Turn::of("w").want(1).at(&store).await.claims.len(), 0);
    begin();
    let claim = tokio::time::timeout(Duration::from_secs(10), Turn::of("w").want(1).at(&store)).await;
    claim.expect("it looks again");
}

/// `<database><suffix>`.
fn with(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn told(error: &StoreError, words: &str) {
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_log_without_its_database_is_not_written_over() {
    let (dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    let aside = dir.path().join("aside.db");
    std::fs::rename(&path, &aside).expect("renamed");
    let log = std::fs::read(with(&path, "-wal")).expect("there");
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    for name in [&path, &link] {
        for access in [Access::CreateOrMigrate, Access::CreateHere, Access::ReadOnlyIfExists] {
            told(&refusal(name, access).await, "is missing, and its log is there");
        }
    }
    assert!(!path.exists());
    assert_eq!(std::fs::read(with(&path, "-wal")).expect("there"), log);
    std::fs::rename(&aside, &path).expect("put back");
    assert!(open(&path).await.get(&id("a")).await.expect("it works").is_some());
}

#[tokio::test]
async fn the_file_alone_has_the_schema_from_the_first() {
    let (dir, path) = place();
    let _store = open(&path).await;
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'job', 'counts')";
    let raw = Connection::open(&copy).expect("it opens");
    assert_eq!(raw.query_row(tables, [], |row| row.get::<_, i64>(0)).expect("readable"), 3);
}

#[tokio::test]
async fn links_that_lead_in_a_circle_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    std::os::unix::fs::symlink(&one, &other).expect("a link");
    std::os::unix::fs::symlink(&other, &one).expect("a link");
    for access in [Access::CreateHere, Access::ReadOnlyIfExists] {
        told(&refusal(&one, access).await, "cannot look at");
    }
}

#[tokio::test]
async fn a_second_name_is_refused_for_reading_too_and_leaves_no_log() {
    let (dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    let second = dir.path().join("second.db");
    std::fs::hard_link(&path, &second).expect("linked");
    for access in [Access::CreateHere, Access::ReadOnlyIfExists] {
        told(&refusal(&second, access).await, "has 2 names");
    }
    assert!(!with(&second, "-wal").exists() && !with(&second, "-shm").exists());
}

/// Whoever comes then would make another, and share nothing with those who have the old one.
#[tokio::test]
async fn a_log_that_is_deleted_under_a_store_ends_its_use_and_the_next_log_is_left_alone() {
    for suffix in ["-wal", "-shm"] {
        let (_dir, path) = place();
        let store = open(&path).await;
        insert(&store, [job("a")]).await;
        std::fs::remove_file(with(&path, suffix)).expect("it was there");
        let closed = |error: StoreError| assert!(matches!(error, StoreError::Closed { .. }), "{error}");
        closed(store.exchange(Turn::of("w").request()).await.expect_err("an idle worker sees it"));
        closed(store.insert(vec![job("b")]).await.expect_err("a writer sees it"));
        std::fs::write(with(&path, suffix), "another's").expect("written");
        closed(store.counts().await.expect_err("it is not the same"));
        drop(store);
        // The writer's thread ends by itself.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let left = std::fs::read(with(&path, suffix)).expect("it is still there");
        assert_eq!(left, b"another's", "{suffix}");
    }
}

#[tokio::test]
async fn a_copy_in_the_place_of_the_original_is_told_by_its_birth() {
    let (dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    let first = Turn::of("w").want(1).at(&store).await.claims;
    drop(store);
    let raw = Connection::open(&path).expect("there");
    let (birth, inode): (i64, i64) = raw
        .query_row("SELECT born, inode FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("readable");
    let found = std::fs::metadata(&path).expect("there");
    let Ok(made) = found.created() else {
        eprintln!("skipped: this file system does not say when a file was made");
        return;
    };
    let made = made.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    assert_eq!((birth, inode), (made, found.ino() as i64));
    // As if the file had been made anew and been given the same inode.
    raw.execute_batch("UPDATE meta SET born = born - 1").expect("written");
    drop(raw);
    let again = Turn::of("w").want(1).at(&open(&path).await).await.claims;
    assert_ne!(again[0].token.incarnation, first[0].token.incarnation);
    drop(dir);
}
