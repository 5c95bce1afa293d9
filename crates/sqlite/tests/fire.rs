//! The store under fire: what is altered, cut off, moved away or left behind by others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use queuectl_core::command::Command;
use queuectl_core::edit::Edit;
use queuectl_core::limits::LOG_ALARM_BYTES;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::queue::QueueName;
use queuectl_core::state::State;
use queuectl_core::store::{
    EditOne, Edited, Exchange, Jobs, Selection, SettingsStore, Settled, StoreError, Topic, Upkeep, Wakeups,
};
use queuectl_sqlite::keep::examine;
use queuectl_sqlite::salvage::salvage;
use queuectl_sqlite::{Access, OpenOptions, SqliteStore};
use queuectl_testing::given::{Turn, With, exited, id, insert, job, outcome, set};
use rusqlite::Connection;

async fn open(path: &Path) -> SqliteStore {
    let options = OpenOptions::new(path, Access::CreateOrMigrate);
    SqliteStore::open(options).await.expect("it opens").expect("it is made")
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("queue.db");
    (dir, path)
}

async fn state(store: &SqliteStore, name: &str) -> State {
    store.get(&id(name)).await.expect("it works").expect("there").state
}

#[tokio::test]
async fn a_command_that_is_not_what_was_enqueued_is_not_handed_out_and_holds_up_no_other() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let altered = ["command", "spec", "text", "environment", "kind", "digest", "none", "swapped"];
    let with_environment = |name: &str| {
        job(name).with(|spec| {
            spec.environment.set(b"K".to_vec(), name.as_bytes().to_vec()).expect("valid");
            spec.command = Some(Command::shell(format!("echo {name}")).expect("a command"));
        })
    };
    insert(&store, altered.iter().map(|name| with_environment(name))).await;
    insert(&store, [with_environment("whole")]).await;
    let raw = Connection::open(&path).expect("there");
    raw.execute_batch(
        "UPDATE job SET command = 'echo x' WHERE id = 'command';
         UPDATE job SET spec = replace(spec, 'echo', 'rm') WHERE id = 'spec';
         UPDATE job SET spec = CAST(x'7bff7d' AS TEXT) WHERE id = 'text';
         UPDATE environment SET variables = replace(variables, 'environment', 'other')
           WHERE id = (SELECT environment FROM job WHERE id = 'environment');
         UPDATE job SET kind = 'command ' WHERE id = 'kind';
         UPDATE job SET digest = x'00' WHERE id = 'digest';
         UPDATE job SET digest = NULL WHERE id = 'none';
         UPDATE job SET (command, spec, digest, environment) =
           (SELECT command, spec, digest, environment FROM job WHERE id = 'whole') WHERE id = 'swapped'",
    )
    .expect("written");
    let found = examine(&path).expect("readable").altered;
    assert_eq!((found.0.len(), found.1), (altered.len(), altered.len() as u64), "{found:?}");
    // One slot: each look buries one and asks for another look.
    let mut claimed = Vec::new();
    for _ in 0..=altered.len() {
        claimed.extend(Turn::of("w").want(1).at(&store).await.claims);
    }
    let names: Vec<&str> = claimed.iter().map(|claim| claim.job.id.as_str()).collect();
    assert_eq!(names, ["whole"]);
    let dead: i64 = raw
        .query_row(
            "SELECT count(*) FROM job WHERE state = 'dead' AND claim IS NULL AND completed_at IS NOT NULL
               AND last_error LIKE '%not what was enqueued%doctor%'",
            [],
            |row| row.get(0),
        )
        .expect("readable");
    assert_eq!(dead, altered.len() as i64);
    assert_eq!(examine(&path).expect("readable").miscounted, vec![]);
    // They are seen, and can be deleted.
    let page = Page { order: Order::OldestFirst, after: None, rows: 100 };
    assert_eq!(store.list(&Filter::default(), page).await.expect("it works").len(), altered.len() + 1);
    let unreadable = store.get(&id("text")).await.expect("it works").expect("there");
    assert_eq!((unreadable.state, unreadable.spec.command), (State::Dead, None));
    let deleted = store.delete(Selection::Ids(vec![id("text")])).await.expect("it works");
    assert_eq!(deleted.deleted, [id("text")]);
}

#[tokio::test]
async fn what_is_altered_while_it_runs_is_settled_and_keeps_nobody_from_recovery() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a"), job("b"), job("c")]).await;
    let claims = Turn::of("w").want(3).at(&store).await.claims;
    let raw = Connection::open(&path).expect("there");
    raw.execute_batch("UPDATE job SET spec = CAST(x'7bff7d' AS TEXT) WHERE id IN ('a', 'b')")
        .expect("written");
    let reply = Turn::of("w").settle(outcome(&claims[0], exited(0))).at(&store).await;
    assert_eq!(reply.settled, [Settled::Done]);
    assert_eq!(
        store.claims_of(&claims[0].job.owner.clone().expect("claimed")).await.expect("it works").len(),
        2
    );
    let copy = path.with_extension("copy");
    raw.execute("VACUUM INTO ?", [copy.to_string_lossy()]).expect("copied");
    // Claims of a copy go back, readable or not; what is altered is not run there either.
    let copied = open(&copy).await;
    let again = Turn::of("w").want(3).at(&copied).await.claims;
    assert_eq!(again.iter().map(|claim| claim.job.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!((state(&copied, "a").await, state(&copied, "b").await), (State::Completed, State::Dead));
}

#[tokio::test]
async fn an_edit_renews_the_digest_of_a_whole_job_and_of_no_other() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("whole"), job("altered")]).await;
    let raw = Connection::open(&path).expect("there");
    raw.execute("UPDATE job SET spec = replace(spec, 'echo', 'rm') WHERE id = 'altered'", [])
        .expect("written");
    let edit = |name: &str| EditOne {
        id: id(name),
        edit: Edit { priority: Some(9), ..Edit::default() },
        seen: None,
    };
    assert!(matches!(store.edit(&[edit("whole")]).await, Ok(Edited::All)));
    let refused = store.edit(&[edit("altered")]).await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    let claims = Turn::of("w").want(2).at(&store).await.claims;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].job.id.as_str(), claims[0].job.spec.priority), ("whole", 9));
    assert_eq!(state(&store, "altered").await, State::Dead);
}

#[tokio::test]
async fn who_waits_on_an_altered_job_or_behind_it_is_rung_when_it_dies() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("altered")]).await;
    let raw = Connection::open(&path).expect("there");
    raw.execute("UPDATE job SET spec = replace(spec, 'echo', 'rm')", []).expect("written");
    let listen = async |topic| store.listen(topic).await.expect("it works");
    let (mut work, mut outcomes) = (listen(Topic::Work).await, listen(Topic::Outcome).await);
    assert!(Turn::of("w").want(1).at(&store).await.claims.is_empty());
    let long = Duration::from_secs(20);
    assert!(work.wait(long).await && outcomes.wait(long).await);
}

fn mark_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.suspect", path.display()))
}

#[tokio::test]
async fn a_suspect_database_is_checked_before_it_is_written_and_the_mark_goes() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    std::fs::write(mark_of(&path), "2026-01-01T00:00:00.000Z disk I/O error").expect("written");
    // Whoever only reads leaves it to others.
    let look = OpenOptions::new(&path, Access::ReadOnlyIfExists);
    let look = SqliteStore::open(look).await.expect("it opens").expect("it is there");
    assert_eq!(state(&look, "a").await, State::Pending);
    assert!(examine(&path).expect("readable").suspect.is_some_and(|when| when.contains("2026-01-01")));
    assert!(mark_of(&path).exists());
    // The first write of one that was opened to read, and an opening to write.
    insert(&look, [job("b")]).await;
    assert!(!mark_of(&path).exists());
    std::fs::write(mark_of(&path), "again").expect("written");
    drop(open(&path).await);
    assert!(!mark_of(&path).exists());
}

#[tokio::test]
async fn a_suspect_database_that_is_damaged_is_not_written_and_stays_readable() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, (0..200).map(|n| job(&format!("j{n}")))).await;
    drop(store);
    spoil_page(&path, "echo j150");
    std::fs::write(mark_of(&path), "then").expect("written");
    let error = refusal(&path).await;
    let said = error.to_string();
    assert!(matches!(error, StoreError::Damaged { .. }), "{said}");
    assert!(said.contains("suspect") && said.contains("then") && said.contains("--salvage"), "{said}");
    assert!(mark_of(&path).exists());
    let look = OpenOptions::new(&path, Access::ReadOnlyIfExists);
    let look = SqliteStore::open(look).await.expect("it opens").expect("it is there");
    assert_eq!(state(&look, "j7").await, State::Pending);
    let refused = look.insert(vec![job("new")]).await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
}

/// Makes the page of a closed database unreadable that holds this text.
fn spoil_page(path: &Path, text: &str) {
    const PAGE: usize = 4096;
    let raw = Connection::open(path).expect("there");
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written out");
    drop(raw);
    let mut bytes = std::fs::read(path).expect("readable");
    let at = bytes.windows(text.len()).position(|part| part == text.as_bytes()).expect("it is there");
    let start = at / PAGE * PAGE;
    assert!(start > 0, "not the first page");
    bytes[start..start + 8].fill(0xff);
    std::fs::write(path, bytes).expect("written");
}

async fn refusal(path: &Path) -> StoreError {
    let options = OpenOptions::new(path, Access::CreateOrMigrate);
    match SqliteStore::open(options).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_file_that_is_no_longer_at_its_path_is_neither_written_nor_read() {
    for how in ["deleted", "renamed", "replaced"] {
        let (dir, path) = place();
        let store = open(&path).await;
        insert(&store, [job("a")]).await;
        // A store that was opened and has not written yet.
        let fresh = open(&path).await;
        let aside = dir.path().join("aside.db");
        match how {
            "deleted" => std::fs::remove_file(&path).expect("deleted"),
            _ => std::fs::rename(&path, &aside).expect("renamed"),
        }
        if how == "replaced" {
            std::fs::copy(&aside, &path).expect("copied");
        }
        for store in [&store, &fresh] {
            let error = store.insert(vec![job("b")]).await.expect_err(how);
            assert!(matches!(error, StoreError::Closed { .. }), "{how}: {error:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            let error = store.counts().await.expect_err(how);
            assert!(matches!(error, StoreError::Closed { .. }), "{how}: {error:?}");
        }
        if how != "replaced" {
            assert!(!path.exists(), "{how}: nothing was made in its place");
            assert!(refusal(&path).await.to_string().contains("its log is there"), "{how}");
        }
    }
}

#[tokio::test]
async fn a_database_that_was_given_a_second_name_is_not_opened_for_writing() {
    let (dir, path) = place();
    insert(&open(&path).await, [job("a")]).await;
    let look = OpenOptions::new(&path, Access::ReadOnlyIfExists);
    let look = SqliteStore::open(look).await.expect("it opens").expect("it is there");
    std::fs::hard_link(&path, dir.path().join("other.db")).expect("linked");
    assert!(refusal(&path).await.to_string().contains("hard links"));
    let error = look.insert(vec![job("b")]).await.expect_err("not written");
    assert!(error.to_string().contains("hard links"), "{error}");
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_long_holds_up_nobody_and_is_emptied_once_he_is_gone() {
    let (_dir, path) = place();
    let store = open(&path).await;
    insert(&store, [job("a")]).await;
    let foreign = Connection::open(&path).expect("there");
    foreign.execute_batch("BEGIN; SELECT count(*) FROM job").expect("it reads");
    let large = |name: String| job(&name).with(|spec| spec.payload = Some("x".repeat(1_000_000)));
    insert(&store, (0..70).map(|n| large(format!("j{n}")))).await;
    let trimmed = tokio::time::timeout(Duration::from_secs(10), store.trim_log()).await;
    trimmed.expect("it waits for no reader").expect("it works");
    assert!(store.log_bytes().await.expect("it works") > LOG_ALARM_BYTES);
    insert(&store, [job("b")]).await;
    let seen: i64 = foreign.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).expect("readable");
    assert_eq!(seen, 1, "the reader has its old state");
    drop(foreign);
    store.trim_log().await.expect("it works");
    assert_eq!(store.log_bytes().await.expect("it works"), 0);
    let all: usize = store.counts().await.expect("it works").iter().map(|count| count.jobs as usize).sum();
    assert_eq!(all, 72);
}

#[tokio::test]
async fn a_log_is_emptied_though_another_process_writes() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let large = |name: String| job(&name).with(|spec| spec.payload = Some("x".repeat(1_000_000)));
    insert(&store, (0..4).map(|n| large(format!("j{n}")))).await;
    assert!(store.log_bytes().await.expect("it works") > 4_000_000);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let other = Connection::open(&path).expect("there");
        other.execute_batch("BEGIN IMMEDIATE; UPDATE job SET priority = 1").expect("it writes");
        begun.send(()).expect("heard");
        std::thread::sleep(Duration::from_millis(50));
        other.execute_batch("COMMIT").expect("it writes");
        // The last one to close would empty it.
        other
    });
    has_begun.recv().expect("it has begun");
    store.trim_log().await.expect("it works");
    assert_eq!(store.log_bytes().await.expect("it works"), 0);
    drop(writer.join().expect("no panic"));
}

#[tokio::test]
async fn a_salvage_saves_what_is_whole_and_counts_what_is_not() {
    let (dir, path) = place();
    let store = open(&path).await;
    let wide = |n: usize| {
        job(&format!("j{n}")).with(|spec| {
            spec.command = Some(Command::shell(format!("echo j{n}; {}", ": ".repeat(300))).expect("valid"));
            spec.environment.set(b"N".to_vec(), (n % 3).to_string().into_bytes()).expect("valid");
        })
    };
    insert(&store, (0..300).map(wide)).await;
    let claims = Turn::of("w").want(20).at(&store).await.claims;
    let mut turn = Turn::of("w");
    for claim in &claims[..10] {
        turn = turn.settle(outcome(claim, exited(0)));
    }
    turn.at(&store).await;
    set(&store, None, "max-retries", "7").await;
    drop(store);
    for text in ["echo j40;", "echo j150;", "echo j151;", "echo j299;"] {
        spoil_page(&path, text);
    }
    // One command altered, and the first bytes of the file gone.
    let mut bytes = std::fs::read(&path).expect("readable");
    let at = bytes.windows(10).position(|part| part == b"echo j200;").expect("there");
    bytes[at..at + 4].copy_from_slice(b"ECHO");
    bytes[..16].fill(0);
    std::fs::write(&path, &bytes).expect("written");
    let new = dir.path().join("new.db");
    let report = salvage(&path, &new).expect("salvaged");
    assert_eq!(std::fs::read(&path).expect("readable"), bytes, "the old file is as it was");
    let lost = report.lost.expect("the index of ids is whole");
    assert_eq!(report.jobs + lost, 300, "{report:?}");
    // Four pages with a few jobs each, and the altered one.
    assert!((5..30).contains(&lost), "{report:?}");
    for name in ["j40", "j150", "j151", "j200", "j299"] {
        assert!(lost > 10 || report.lost_ids.contains(&name.to_owned()), "{name}: {report:?}");
    }
    assert_eq!(report.attempts, 10, "{report:?}");
    let found = examine(&new).expect("readable");
    assert_eq!((found.damage, found.miscounted, found.altered.1), (vec![], vec![], 0));
    let saved = open(&new).await;
    let states: Vec<State> = [state(&saved, "j0").await, state(&saved, "j15").await].into();
    assert_eq!(states, [State::Completed, State::Pending], "what was running goes back");
    for name in ["j40", "j150", "j200", "j299"] {
        assert!(saved.get(&id(name)).await.expect("it works").is_none(), "{name}");
    }
    let job = saved.get(&id("j100")).await.expect("it works").expect("saved");
    assert!(!job.spec.environment.is_empty());
    let again = Turn::of("w").want(1).at(&saved).await.claims;
    assert_ne!(again[0].token.incarnation, claims[0].token.incarnation);
    assert!(again[0].token.number > claims[19].token.number);
    assert_eq!(saved.settings().await.expect("it works").for_queue(&QueueName::default()).max_retries, 7);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("readable").flatten().map(|one| one.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
    assert!(salvage(&path, &new).expect_err("never over something").to_string().contains("exists already"));
}
