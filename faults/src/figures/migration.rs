//! R22, its first part: the migration to the made-up next schema is broken off at every sync, by a kill and by power cuts.
//! What is left is one of the two schemas, whole, with every row; both versions go on with it, and the next one completes it.

use std::fs;
use std::path::Path;

use queuectl_sqlite::{Access, OpenOptions, SqliteStore};

use crate::apart::{self, Own};
use crate::dice::Dice;
use crate::figures::upgrade::{Age, Both};
use crate::house::{self, House};
use crate::image::{Image, Unsynced};
use crate::script::{self, Size};
use crate::snapshot::{Snapshot, faults_in, witness};
use crate::vfs::{self, Entry, Session};
use crate::voyage::Voyage;

const SIZE: Size = Size { more: 30, bulk: 12, command: 600 };
/// What the next version says of its migration, in the directory of the database.
const LOG: &str = "migration.json";
const FATES: [Unsynced; 4] = [Unsynced::Kept, Unsynced::Dropped, Unsynced::Prefix, Unsynced::Mixed];
/// A migration changes no row of these.
const TABLES: [&str; 9] =
    ["job", "attempt", "output", "setting", "queue", "batch", "environment", "worker", "counts"];

/// What came of one script.
#[derive(Default)]
pub struct Broken {
    /// Images that one of both versions went on with.
    pub trials: u64,
    pub syncs: u64,
    /// Images that had the next schema already.
    pub migrated: u64,
    pub failures: Vec<String>,
}

/// Breaks the migration of one store off at every sync.
pub fn break_off(both: &Both, seed: u64, number: u64) -> Broken {
    let mut broken = Broken::default();
    if let Err(why) = sail(both, seed, number, &mut broken) {
        broken.failures.push(format!("store {number}: {why}"));
    }
    broken
}

fn sail(both: &Both, seed: u64, number: u64, broken: &mut Broken) -> Result<(), String> {
    let script = script::write(&mut Dice::new(seed, "R22 script", number), SIZE);
    let voyage = Voyage::record(&script)?;
    // Not read now: a look at the closed database would make its log anew, unseen by the next version.
    let before = voyage.marks.last().ok_or("an empty script")?.after.clone();
    let mut log = voyage.log.clone();
    let begin = log.len();
    log.extend(migrated_by_next(voyage.database.parent().ok_or("no directory")?)?);
    let mut house = House::new(&both.next)?;
    house.database.clone_from(&voyage.database);
    let syncs = (begin..log.len()).filter(|at| matches!(log[*at], Entry::Sync { .. }));
    for sync in syncs {
        broken.syncs += 1;
        // The last instant before it, and the first one after it.
        for cut in [sync, sync + 1] {
            for (fate, age) in FATES.iter().flat_map(|fate| [(fate, Age::Older), (fate, Age::Newer)]) {
                let mut dice = Dice::new(seed, "R22", broken.trials);
                broken.trials += 1;
                let image = Image::after(&log[..cut], *fate, &mut dice);
                image.place(&voyage.database).map_err(|e| e.to_string())?;
                match go_on(both, &mut house, &before, age) {
                    Ok(version) => broken.migrated += u64::from(version > 1),
                    Err(why) => broken.failures.push(format!(
                        "store {number}, trial {}, cut {} of {}, {fate:?}, {age:?} goes on: {why}",
                        broken.trials - 1,
                        cut - begin,
                        log.len() - begin
                    )),
                }
            }
        }
    }
    if broken.syncs == 0 {
        return Err("the migration synced nothing".to_owned());
    }
    Ok(())
}

/// The version that was found. Then the store must work, by the version that goes on.
fn go_on(both: &Both, house: &mut House, before: &Snapshot, age: Age) -> Result<i64, String> {
    let found = faults_in(&house.database).map_err(|e| e.to_string())?;
    if !found.is_empty() {
        return Err(found.join("; "));
    }
    let version = whole(house, before)?;
    both.of(age).clone_into(&mut house.program);
    if age == Age::Newer {
        house.run(&["migrate"], None)?;
        if whole(house, before)? != 2 {
            return Err("it is not migrated".to_owned());
        }
    }
    house.run(&["enqueue", "--id", "after", "-c", "true"], None)?;
    house.run(&["status"], None)?;
    let listed = house.run(&["list", "--quiet", "--limit", "100000"], None)?;
    let after = Snapshot::read(&house.database).map_err(|e| e.to_string())?.ok_or("no store is left")?;
    if !listed.lines().any(|id| id == "after") || after.get("job after").is_none() {
        return Err("what is enqueued then is not there".to_owned());
    }
    Ok(version)
}

/// The version of the schema, which is there as a whole, with every row as it was before.
fn whole(house: &House, before: &Snapshot) -> Result<i64, String> {
    let now =
        Snapshot::read(&house.database).map_err(|e| e.to_string())?.ok_or("there is no store any more")?;
    before.lives_on_in(&now, &TABLES)?;
    let version = both_or_neither(&house.database, before.table("job").count() as i64);
    let version = version.map_err(|e| e.to_string())?;
    version.ok_or_else(|| "it has the next schema by halves".to_owned())
}

fn both_or_neither(database: &Path, jobs: i64) -> rusqlite::Result<Option<i64>> {
    let connection = witness(database)?;
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = one("SELECT version FROM meta")?;
    let column = one("SELECT count(*) FROM pragma_table_info('worker') WHERE name = 'mood'")?;
    let table = one("SELECT count(*) FROM sqlite_schema WHERE name = 'diary'")?;
    // It has a word for each job that there was; twice as many if it was filled twice.
    let filled = table == 1 && one("SELECT count(*) FROM diary")? == jobs;
    let sound = match version {
        1 => column == 0 && table == 0,
        2 => column == 1 && filled,
        _ => false,
    };
    Ok(Some(version).filter(|_| sound))
}

/// The next version migrates the store in this directory; what reached the disk, in its order.
fn migrated_by_next(dir: &Path) -> Result<Vec<Entry>, String> {
    apart::play_with(&house::next("queuectl-faults")?, Own::Nothing, "R22", 0, 0, dir)?;
    let text = fs::read(dir.join(LOG)).map_err(|e| e.to_string())?;
    serde_json::from_slice(&text).map_err(|e| e.to_string())
}

/// In a process of the next version: migrates the store of this directory.
pub fn inside() -> apart::Told {
    vfs::install();
    let dir = Path::new(".").canonicalize().map_err(|e| e.to_string())?;
    let session = Session::begin(&dir, None);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let options = OpenOptions::new(dir.join("queue.db"), Access::CreateOrMigrate);
    let opened = runtime.block_on(SqliteStore::open(options)).map_err(|e| e.to_string())?;
    drop(opened.ok_or("there is no store")?);
    if !session.wait_closed() {
        return Err("its files stay open".to_owned());
    }
    let log = serde_json::to_vec(&session.log()).map_err(|e| e.to_string())?;
    fs::write(dir.join(LOG), log).map_err(|e| e.to_string())?;
    Ok(format!("{} entries", session.position()))
}
