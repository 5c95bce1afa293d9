//! R2: the power goes. Whatever the disk made of what was not synced, each acknowledged change is there, and nothing by
//! halves.

use std::path::Path;
use std::sync::Arc;

use queuectl_core::claim::{ClaimToken, Incarnation};
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::State;
use queuectl_core::store::{Jobs, Settled, Store};
use queuectl_sqlite::{Access, SqliteStore};
use queuectl_testing::ManualClock;
use queuectl_testing::given::{self, Turn};

use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Profile, Verdict};
use crate::image::{Image, Unsynced};
use crate::play::{WORKER, open};
use crate::script::{self, Size};
use crate::snapshot::{Snapshot, faults_in};
use crate::vfs::Session;
use crate::voyage::{Mark, Voyage};

pub const FIGURE: Figure = Figure {
    name: "R2",
    what: "power cut: disk images built from the logged writes and syncs, unsynced ones kept, dropped or torn, reopened",
    target: "0 acknowledged changes lost, 0 by halves",
    short: Some(300),
    long: Some(10_000),
    run,
};

/// Few small jobs, many middling ones, and enough for SQLite's own checkpoints.
const SIZES: [Size; 3] = [
    Size { more: 80, bulk: 20, command: 300 },
    Size { more: 60, bulk: 40, command: 1500 },
    Size { more: 8, bulk: 220, command: 16_000 },
];

fn run(plan: &Plan) -> Outcome {
    let trials = plan.trials.unwrap_or_default();
    let per_voyage = match plan.profile {
        Profile::Short => 50,
        Profile::Long => 250,
    };
    let seed = plan.seed;
    let voyages = crew::each(trials.div_ceil(per_voyage), |number| {
        let first = number * per_voyage;
        sail(seed, number, first..trials.min(first + per_voyage))
    });
    let (mut acknowledged, mut failures) = (0, Vec::new());
    for voyage in voyages {
        acknowledged += voyage.acknowledged;
        failures.extend(voyage.failures);
    }
    crew::report("R2", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} images of {trials} wrong; {acknowledged} acknowledged changes looked for",
            failures.len()
        ),
        verdict: Verdict::of(failures.is_empty() && acknowledged > 0),
    }
}

#[derive(Default)]
struct Sailed {
    /// Over all images: changes that had been acknowledged before the cut.
    acknowledged: u64,
    failures: Vec<String>,
}

fn sail(seed: u64, number: u64, trials: std::ops::Range<u64>) -> Sailed {
    let size = SIZES[number as usize % SIZES.len()];
    let script = script::write(&mut Dice::new(seed, "R2 script", number), size);
    let voyage = match Voyage::record(&script) {
        Ok(voyage) => voyage,
        Err(why) => return Sailed { acknowledged: 0, failures: vec![format!("script {number}: {why}")] },
    };
    let mut sailed = Sailed::default();
    for trial in trials {
        let mut dice = Dice::new(seed, "R2", trial);
        let cut = dice.below(voyage.log.len() + 1);
        let unsynced = Unsynced::draw(&mut dice);
        let image = Image::after(&voyage.log[..cut], unsynced, &mut dice);
        sailed.acknowledged +=
            voyage.marks.iter().filter(|mark| mark.changed && mark.position <= cut).count() as u64;
        // One half reopens the file that the power cut left; the other a copy of it, on another disk.
        let checked = if dice.percent(50) {
            check(&voyage, cut, &image, &voyage.database, &voyage.session, true)
        } else {
            elsewhere(&voyage, cut, &image)
        };
        if let Err(why) = checked {
            let total = voyage.log.len();
            sailed
                .failures
                .push(format!("trial {trial} (script {number}, cut {cut} of {total}, {unsynced:?}): {why}"));
        }
    }
    sailed
}

fn elsewhere(voyage: &Voyage, cut: usize, image: &Image) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let place = dir.path().canonicalize().map_err(|e| e.to_string())?;
    let session = Session::begin(&place, None);
    check(voyage, cut, image, &place.join("queue.db"), &session, false)
}

/// Opens an image and looks for everything that had been acknowledged before the cut.
fn check(
    voyage: &Voyage,
    cut: usize,
    image: &Image,
    database: &Path,
    session: &Arc<Session>,
    home: bool,
) -> Result<(), String> {
    image.place(database).map_err(|e| e.to_string())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let known = voyage.marks.iter().filter(|mark| mark.position <= cut).count();
    let clock = ManualClock::default();
    clock.advance(given::secs(1_000_000));
    let looked = runtime.block_on(async {
        let store = open(database.to_owned(), Access::ReadOnlyIfExists, clock.clone())
            .await
            .map_err(|e| e.to_string())?;
        match store {
            Some(store) => read_through(&store, database).await,
            None if known == 0 => Ok(()),
            None => Err("there is no store any more".to_owned()),
        }
    });
    closed(session)?;
    looked?;
    let found = faults_in(database).map_err(|e| e.to_string())?;
    if !found.is_empty() {
        return Err(found.join("; "));
    }
    let snapshot = Snapshot::read(database).map_err(|e| e.to_string())?.unwrap_or_default();
    compare(voyage, known, cut, &snapshot)?;
    let goes_on = runtime.block_on(async {
        let store =
            open(database.to_owned(), Access::CreateOrMigrate, clock).await.map_err(|e| e.to_string())?;
        go_on(&store.ok_or("nothing was made")?, &snapshot, home).await
    });
    closed(session)?;
    goes_on?;
    let found = faults_in(database).map_err(|e| e.to_string())?;
    if found.is_empty() { Ok(()) } else { Err(format!("after it went on: {}", found.join("; "))) }
}

fn closed(session: &Session) -> Result<(), String> {
    if session.wait_closed() { Ok(()) } else { Err("its files stay open".to_owned()) }
}

/// The port reads what is in the tables.
async fn read_through(store: &SqliteStore, database: &Path) -> Result<(), String> {
    let snapshot = Snapshot::read(database).map_err(|e| e.to_string())?.unwrap_or_default();
    let (mut after, mut listed) = (None, 0);
    loop {
        let page = Page { order: Order::OldestFirst, after, rows: 500 };
        let jobs = store.list(&Filter::default(), page).await.map_err(|e| e.to_string())?;
        let Some(last) = jobs.last() else { break };
        after = Some(last.seq);
        listed += jobs.len() as u64;
        for job in &jobs {
            let row = snapshot.get(&format!("job {}", job.id)).ok_or("a job in no table")?;
            if row.get("state") != job.state.as_str() || row.get("attempts") != job.attempts.to_string() {
                return Err(format!("job {} is listed as {:?}, and kept as {row:?}", job.id, job));
            }
            if job.state == State::Dead || job.state == State::Completed {
                let attempts = queuectl_core::store::Attempts::attempts(store, &job.id, true).await;
                let attempts = attempts.map_err(|e| e.to_string())?;
                if attempts.len() != job.runs as usize {
                    return Err(format!(
                        "job {} ran {} times, with {} attempts",
                        job.id,
                        job.runs,
                        attempts.len()
                    ));
                }
            }
        }
    }
    let counted: u64 = store.counts().await.map_err(|e| e.to_string())?.iter().map(|count| count.jobs).sum();
    if counted == listed { Ok(()) } else { Err(format!("{counted} jobs counted, {listed} listed")) }
}

/// The database is as the last acknowledged step left it, or as the one after it did.
fn compare(voyage: &Voyage, known: usize, cut: usize, snapshot: &Snapshot) -> Result<(), String> {
    let nothing = Snapshot::default();
    let before = known.checked_sub(1).map_or(&nothing, |at| &*voyage.marks[at].after);
    let since_before = before.differences(snapshot);
    let Some(next) = voyage.marks.get(known) else { return same(&since_before, "the last step") };
    if since_before.is_empty() {
        return Ok(());
    }
    let until_next = next.after.differences(snapshot);
    if until_next.is_empty() {
        return Ok(());
    }
    if next.parts.is_empty() {
        return same(
            if since_before.len() <= until_next.len() { &since_before } else { &until_next },
            &next.what,
        );
    }
    in_parts(before, next, cut, snapshot)
}

fn same(differences: &[String], what: &str) -> Result<(), String> {
    match differences.len() {
        0 => Ok(()),
        count => Err(format!(
            "neither as before nor as after {what}: {count} rows differ: {}",
            differences[..count.min(6)].join(", ")
        )),
    }
}

/// Of a step in parts each is there or not; those that were acknowledged before the cut are.
fn in_parts(before: &Snapshot, next: &Mark, cut: usize, snapshot: &Snapshot) -> Result<(), String> {
    for (key, position) in &next.parts {
        match snapshot.get(key) {
            None if *position <= cut => return Err(format!("{key} was acknowledged, and is lost")),
            Some(row) if next.after.get(key) != Some(row) => {
                return Err(format!("{key} is another: {row:?}"));
            }
            _ => {}
        }
    }
    let is_part = |key: &String| next.parts.iter().any(|(part, _)| part == key);
    let sums = ["counts ", "sequence ", "queue ", "environment "];
    let mut others = before.differences(snapshot);
    others.retain(|key| !is_part(key) && !sums.iter().any(|table| key.starts_with(table)));
    same(&others, &next.what)
}

/// The store works on: at home the claims that it had given out still hold, elsewhere they are another store's.
async fn go_on(store: &SqliteStore, snapshot: &Snapshot, home: bool) -> Result<(), String> {
    let store: &dyn Store = store;
    let mut highest = 0;
    for (id, row) in snapshot.table("job").filter(|(_, row)| row.get("state") == State::Processing.as_str()) {
        let token = token(row.get("incarnation"), row.get("claim")).ok_or("a claim without its numbers")?;
        highest = highest.max(token.number);
        let job =
            store.get(&given::id(id)).await.map_err(|e| e.to_string())?.ok_or("a claimed job is gone")?;
        let claim = queuectl_core::store::Claim { token, attempt: job.runs + 1, job };
        let turn = Turn::of(WORKER).settle(given::outcome(&claim, given::exited(0)));
        let reply = store.exchange(turn.request()).await.map_err(|e| e.to_string())?;
        let wanted = if home { Settled::Done } else { Settled::Lost };
        if reply.settled != [wanted] {
            return Err(format!("the claim of job {id} was settled with {:?}", reply.settled));
        }
    }
    store.insert(vec![given::job("afterwards")]).await.map_err(|e| e.to_string())?;
    let reply = store.exchange(Turn::of(WORKER).want(1000).request()).await.map_err(|e| e.to_string())?;
    if reply.claims.is_empty() {
        return Err("nothing could be claimed".to_owned());
    }
    match reply.claims.iter().find(|claim| claim.token.number <= highest) {
        None => Ok(()),
        Some(claim) => Err(format!("claim {} was given out twice", claim.token)),
    }
}

fn token(incarnation: &str, number: &str) -> Option<ClaimToken> {
    let incarnation: i64 = incarnation.parse().ok()?;
    let number: i64 = number.parse().ok()?;
    Some(ClaimToken { incarnation: Incarnation(incarnation as u64), number: number as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Entry, Kind, install};

    fn record(size: Size) -> Voyage {
        install();
        Voyage::record(&script::write(&mut Dice::new(1, "R2 script", 0), size)).expect("nothing fails")
    }

    #[test]
    fn a_disk_that_lies_about_its_syncs_is_found_out() {
        let mut voyage = record(Size { more: 0, bulk: 5, command: 100 });
        for entry in &mut voyage.log {
            if let Entry::Sync { kind, .. } = *entry {
                *entry = Entry::SyncFailed(kind);
            }
        }
        let cut = voyage.log.len();
        let lost = (0..10).filter(|trial| {
            let image = Image::after(&voyage.log, Unsynced::Mixed, &mut Dice::new(1, "lies", *trial));
            elsewhere(&voyage, cut, &image).is_err()
        });
        assert!(lost.count() > 0, "acknowledged changes are missed");
    }

    #[test]
    fn the_largest_script_makes_sqlite_checkpoint_by_itself() {
        let voyage = record(SIZES[2]);
        let by_itself = voyage.marks.windows(2).filter(|pair| {
            let moved = |entry: &Entry| matches!(entry, Entry::Write { kind: Kind::Database, .. });
            let what = &pair[1].what;
            let asked = ["Checkpoint", "Close", "Open"].iter().any(|name| what.ends_with(name));
            !asked && voyage.log[pair[0].position..pair[1].position].iter().any(moved)
        });
        assert!(by_itself.count() > 0, "while a verb commits");
    }
}
