//! Salvage: one store, damaged in each of the ways that files are, and what is saved of it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use queuectl_core::command::Command;
use queuectl_core::state::State;
use queuectl_core::store::{Jobs, SettingsStore};
use queuectl_sqlite::keep::examine;
use queuectl_sqlite::salvage::{SalvageReport, salvage};
use queuectl_sqlite::{Access, OpenOptions, SqliteStore};
use queuectl_testing::given::{Turn, With, exited, id, insert, job, outcome, set};
use rusqlite::Connection;

const PAGE: usize = 4096;
const JOBS: usize = 400;

async fn open(path: &Path) -> SqliteStore {
    let options = OpenOptions::new(path, Access::CreateOrMigrate);
    SqliteStore::open(options).await.expect("it opens").expect("it is made")
}

/// A closed store of 400 jobs, some of them run, one with a command of several pages.
struct Stage {
    _dir: tempfile::TempDir,
    path: PathBuf,
    new: PathBuf,
    bytes: Vec<u8>,
}

impl Stage {
    async fn new() -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, new) = (dir.path().join("queue.db"), dir.path().join("new.db"));
        let store = open(&path).await;
        let jobs = (0..JOBS).map(|n| {
            job(&format!("j{n}")).with(|spec| {
                let long = if n == 7 { 9000 } else { 40 };
                spec.command =
                    Some(Command::shell(format!("echo j{n}; {}", ": ".repeat(long))).expect("valid"));
                spec.environment.set(b"HOME".to_vec(), b"/nowhere".to_vec()).expect("valid");
            })
        });
        insert(&store, jobs).await;
        let mut turn = Turn::of("w");
        for claim in &Turn::of("w").want(20).at(&store).await.claims[..10] {
            turn = turn.settle(outcome(claim, exited(0)));
        }
        turn.at(&store).await;
        set(&store, None, "max-retries", "7").await;
        drop(store);
        let raw = Connection::open(&path).expect("there");
        raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written out");
        raw.close().expect("closed");
        let bytes = std::fs::read(&path).expect("readable");
        Stage { _dir: dir, path, new, bytes }
    }

    fn zero(&mut self, page: usize) {
        self.bytes[(page - 1) * PAGE..][..PAGE].fill(0);
    }

    fn root(&self, name: &str) -> usize {
        let raw = Connection::open(&self.path).expect("there");
        raw.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?", [name], |row| row.get::<_, i64>(0))
            .expect("there") as usize
    }

    /// Salvages the damaged store, which stays as it is; what is saved is sound, and no job in it is there twice or altered.
    fn salvage(&self) -> SalvageReport {
        std::fs::write(&self.path, &self.bytes).expect("written");
        let report = salvage(&self.path, &self.new).expect("salvaged");
        assert!(std::fs::read(&self.path).expect("readable") == self.bytes, "the old file is as it was");
        let found = examine(&self.new).expect("readable");
        assert_eq!((&found.damage, &found.miscounted), (&vec![], &vec![]));
        let raw = Connection::open(&self.new).expect("there");
        let (jobs, dead): (u64, u64) = raw
            .query_row("SELECT count(*), count(*) FILTER (WHERE state = 'dead') FROM job", [], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
            })
            .expect("readable");
        assert_eq!((jobs, dead), (report.jobs, report.buried), "{report:?}");
        assert!(report.lost_ids.iter().all(|id| id.starts_with('j')), "{report:?}");
        let lost = report.lost.unwrap_or(0);
        assert!(report.jobs + lost <= JOBS as u64 && report.lost_ids.len() as u64 <= 10, "{report:?}");
        let left = std::fs::read_dir(self.new.parent().expect("made")).expect("readable").flatten();
        let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let ours = ["queue.db", "new.db"];
        assert!(
            left.iter()
                .all(|name| ours.iter().any(|our| name == our || name.starts_with(&format!("{our}-")))),
            "{left:?}"
        );
        report
    }

    async fn saved(self, jobs: Range<u64>) -> SqliteStore {
        let report = self.salvage();
        assert!(jobs.contains(&report.jobs), "{report:?}");
        let store = open(&self.new).await;
        assert_eq!(
            store.get(&id("j1")).await.expect("it works").expect("it is there").state,
            State::Completed
        );
        assert_eq!(
            store.get(&id("j15")).await.expect("it works").expect("it is there").state,
            State::Pending
        );
        store
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_loses_what_was_cut_off() {
    for (cut, jobs) in [(PAGE, 360..401), (3 * PAGE - 77, 300..401)] {
        let mut stage = Stage::new().await;
        stage.bytes.truncate(stage.bytes.len() - cut);
        stage.saved(jobs).await;
    }
    let mut stage = Stage::new().await;
    stage.bytes.truncate(stage.bytes.len() / 2);
    let report = stage.salvage();
    assert!((100..300).contains(&report.jobs), "{report:?}");
}

#[tokio::test]
async fn no_byte_of_the_header_is_needed() {
    for at in [0, 17, 18, 28, 29, 30, 31, 43, 47, 55, 59, 67] {
        let mut stage = Stage::new().await;
        stage.bytes[at] ^= 0x5a;
        let report = stage.salvage();
        assert_eq!((report.jobs, report.lost, report.buried, report.attempts), (400, Some(0), 0, 10), "{at}");
        assert!(report.gaps.is_empty(), "{at}: {report:?}");
    }
    let mut stage = Stage::new().await;
    stage.bytes[..100].iter_mut().zip(1_u8..).for_each(|(byte, n)| *byte = n.wrapping_mul(83));
    assert_eq!(stage.salvage().jobs, 400);
}

#[tokio::test]
async fn without_the_list_of_tables_the_pages_tell() {
    let mut stage = Stage::new().await;
    stage.zero(1);
    let report = stage.salvage();
    assert_eq!((report.jobs, report.lost, report.buried, report.attempts), (400, None, 0, 10), "{report:?}");
    assert!(report.gaps.contains("paused queues"), "{report:?}");
    let store = open(&stage.new).await;
    let settings = store.settings().await.expect("it works");
    assert!(format!("{settings:?}").contains("max-retries"), "{settings:?}");
}

#[tokio::test]
async fn without_the_root_of_its_table_every_job_is_found() {
    let mut stage = Stage::new().await;
    stage.zero(stage.root("job"));
    let report = stage.salvage();
    assert_eq!((report.jobs, report.lost, report.attempts), (400, Some(0), 10), "{report:?}");
    let mut stage = Stage::new().await;
    stage.zero(stage.root("attempt"));
    let report = stage.salvage();
    assert_eq!((report.jobs, report.lost), (400, Some(0)), "{report:?}");
    assert!(report.gaps.contains("attempts"), "{report:?}");
}

#[tokio::test]
async fn a_job_whose_environment_is_lost_is_saved_and_never_run() {
    let mut stage = Stage::new().await;
    stage.zero(stage.root("environment"));
    let report = stage.salvage();
    assert_eq!((report.jobs, report.buried, report.lost), (400, 390, Some(0)), "{report:?}");
    assert!(report.gaps.contains("environments"), "{report:?}");
    let store = open(&stage.new).await;
    let job = store.get(&id("j100")).await.expect("it works").expect("it is there");
    assert_eq!(job.state, State::Dead);
    assert!(job.last_error.is_some_and(|why| why.contains("environment was lost")));
    assert_eq!(Turn::of("w").want(5).at(&store).await.claims.len(), 0);
}

#[tokio::test]
async fn flipped_bits_cost_the_rows_that_they_hit() {
    for seed in 1..4_u64 {
        let mut stage = Stage::new().await;
        let mut random = seed;
        for _ in 0..60 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bit = (random >> 20) as usize % (stage.bytes.len() * 8);
            stage.bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let report = stage.salvage();
        assert!(report.jobs - report.buried > 250, "{report:?}");
    }
}

#[tokio::test]
async fn pages_that_are_each_others_place_end_the_walk() {
    let mut stage = Stage::new().await;
    let root = (stage.root("job") - 1) * PAGE;
    assert_eq!(stage.bytes[root], 5, "an inner page");
    let cell = |stage: &Stage, n: usize| {
        let at = root + 12 + 2 * n;
        root + usize::from(u16::from_be_bytes([stage.bytes[at], stage.bytes[at + 1]]))
    };
    let (tenth, twentieth, next) = (cell(&stage, 10), cell(&stage, 20), cell(&stage, 21));
    let lost = u32::from_be_bytes(stage.bytes[next..next + 4].try_into().expect("four"));
    stage.bytes.copy_within(tenth..tenth + 4, twentieth);
    stage.zero(lost as usize);
    // The page behind cell 20 is in no tree, and is found all the same.
    let report = stage.salvage();
    let lost = report.lost.expect("the ids are whole");
    assert!(report.jobs + lost == 400 && (1..20).contains(&lost), "{report:?}");
    // A page that is its own child.
    let mut stage = Stage::new().await;
    stage.bytes[twentieth..twentieth + 4].copy_from_slice(&((root / PAGE) as u32 + 1).to_be_bytes());
    let report = stage.salvage();
    assert_eq!((report.jobs, report.lost), (400, Some(0)), "{report:?}");
}

#[tokio::test]
async fn every_fifth_page_lost_leaves_the_rest() {
    for first in 1..6 {
        let mut stage = Stage::new().await;
        let pages = stage.bytes.len() / PAGE;
        (first..=pages).step_by(5).for_each(|page| stage.zero(page));
        let report = stage.salvage();
        assert!(report.jobs > 250, "{first}: {report:?}");
    }
}

#[tokio::test]
async fn a_deleted_job_does_not_come_back() {
    for map in [true, false] {
        let mut stage = Stage::new().await;
        let raw = Connection::open(&stage.path).expect("there");
        raw.execute_batch(
            "PRAGMA foreign_keys = ON; DELETE FROM job WHERE seq BETWEEN 100 AND 200; PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .expect("deleted");
        raw.close().expect("closed");
        stage.bytes = std::fs::read(&stage.path).expect("readable");
        stage.zero(1);
        if map {
            let report = stage.salvage();
            assert_eq!((report.jobs, report.buried), (299, 0), "{report:?}");
            continue;
        }
        // Where nothing tells what is free, what may be gone is there, and does not run.
        stage.zero(2);
        let report = stage.salvage();
        assert!(report.jobs > 299 && report.buried == report.jobs - 10, "{report:?}");
        let store = open(&stage.new).await;
        assert_eq!(Turn::of("w").want(5).at(&store).await.claims.len(), 0);
    }
}

#[tokio::test]
async fn what_is_only_in_the_log_is_saved_from_it() {
    let mut stage = Stage::new().await;
    let raw = Connection::open(&stage.path).expect("there");
    raw.execute("UPDATE job SET state = 'cancelled', ready = 0 WHERE id = 'j300'", []).expect("written");
    let log = std::fs::read(stage.path.with_file_name("queue.db-wal")).expect("there");
    drop(raw);
    stage.zero(stage.root("job"));
    stage.bytes[47] ^= 1;
    std::fs::write(stage.path.with_file_name("queue.db-wal"), log).expect("written");
    let _ = std::fs::remove_file(stage.path.with_file_name("queue.db-shm"));
    let report = stage.salvage();
    assert_eq!((report.jobs, report.lost), (400, Some(0)), "{report:?}");
    let store = open(&stage.new).await;
    assert_eq!(store.get(&id("j300")).await.expect("it works").expect("there").state, State::Cancelled);
}

#[tokio::test]
async fn where_nothing_is_whole_it_says_so_and_leaves_nothing() {
    let mut stage = Stage::new().await;
    stage.bytes.fill(0);
    std::fs::write(&stage.path, &stage.bytes).expect("written");
    let said = salvage(&stage.path, &stage.new).expect_err("nothing is there").to_string();
    assert!(said.contains("no whole job") && !said.contains("damaged/"), "{said}");
    assert!(!said.contains("new.db") && !stage.new.exists(), "{said}");
}
