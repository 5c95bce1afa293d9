//! R14: the file is damaged while nobody has it open. Whatever a worker is handed of it is what was enqueued, and the file
//! is left where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use queuectl_core::command::Command;
use queuectl_core::job::{JobSpec, NewJob};
use queuectl_core::store::{Claim, Exchange, ExchangeRequest, Inserted, Jobs};
use queuectl_sqlite::{Access, SqliteStore};
use queuectl_testing::ManualClock;
use queuectl_testing::given::{self, Turn, With};
use tokio::runtime::Runtime;

use crate::apart;
use crate::crew;
use crate::dice::Dice;
use crate::figure::{Figure, Outcome, Plan, Verdict};
use crate::play::{WORKER, open};
use crate::vfs::Session;

pub const FIGURE: Figure = Figure {
    name: "R14",
    what: "a closed database with flipped bits, zeroed, swapped or overwritten pages, or cut short; then every job is claimed",
    target: "0 altered jobs claimed, 0 files discarded",
    short: Some(100),
    long: Some(1000),
    run,
};

/// Jobs in the database.
const JOBS: usize = 120;
/// Of the database, in bytes.
const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// Claimed at once.
const WANT: usize = 16;

fn run(plan: &Plan) -> Outcome {
    let (seed, trials) = (plan.seed, plan.trials.unwrap_or_default());
    let whole = match Whole::make(&mut Dice::new(seed, "R14 jobs", 0)) {
        Ok(whole) => whole,
        Err(why) => {
            return Outcome {
                trials: 0,
                result: format!("without any damage: {why}"),
                verdict: Verdict::Fail,
            };
        }
    };
    let found = crew::each(trials, |trial| {
        let mut dice = Dice::new(seed, "R14", trial);
        let (damage, bytes) = loop {
            let (damage, bytes) = damage(&whole.bytes, &mut dice);
            if bytes != whole.bytes {
                break (damage, bytes);
            }
        };
        (trial, damage, claim_all(&whole, &bytes))
    });
    let (mut sum, mut failures) = (Found::default(), Vec::new());
    for (trial, damage, found) in found {
        match found {
            Ok(found) => {
                let told = found.altered.iter().chain(&found.discarded);
                let told = told.map(|what| format!("trial {trial}, {damage}: {what}"));
                failures.extend(told);
                sum.add(found);
            }
            Err(why) => failures.push(format!("trial {trial}, {damage}: {why}")),
        }
    }
    crew::report("R14", seed, &failures);
    Outcome {
        trials,
        result: format!(
            "{} altered jobs of {} claimed, {} files discarded; {} databases refused a call",
            sum.altered.len(),
            sum.claimed,
            sum.discarded.len(),
            sum.refused
        ),
        verdict: Verdict::of(failures.is_empty() && sum.claimed > 0),
    }
}

#[derive(Debug, Default)]
struct Found {
    claimed: u64,
    altered: Vec<String>,
    refused: u64,
    /// How.
    discarded: Vec<String>,
}

impl Found {
    fn add(&mut self, other: Found) {
        self.claimed += other.claimed;
        self.altered.extend(other.altered);
        self.refused += other.refused;
        self.discarded.extend(other.discarded);
    }
}

/// A database without damage, closed, and what was enqueued in it.
struct Whole {
    bytes: Vec<u8>,
    jobs: BTreeMap<String, JobSpec>,
}

impl Whole {
    fn make(dice: &mut Dice) -> Result<Whole, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let database = dir.path().join("queue.db");
        let jobs: Vec<NewJob> = (0..JOBS).map(|number| job(number, dice)).collect();
        runtime()?.block_on(async {
            let store = open(database.clone(), Access::CreateOrMigrate, ManualClock::default()).await;
            let store = store.map_err(|e| e.to_string())?.ok_or("nothing was made")?;
            match store.insert(jobs.clone()).await.map_err(|e| e.to_string())? {
                Inserted::All => Ok(()),
                Inserted::Duplicate(id) => Err(format!("{id} twice")),
            }
        })?;
        // The last connection to leave moves the log into the database.
        settle_down(&database)?;
        let jobs = jobs.into_iter().map(|job| (job.id.to_string(), job.spec)).collect();
        Ok(Whole { bytes: fs::read(&database).map_err(|e| e.to_string())?, jobs })
    }
}

/// Waits for the store's threads to leave the database, by being the last who does.
fn settle_down(database: &Path) -> Result<(), String> {
    let connection = rusqlite::Connection::open(database).map_err(|e| e.to_string())?;
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map_err(|e| e.to_string())
        .and_then(|busy| if busy == 0 { Ok(()) } else { Err("somebody still has the database".to_owned()) })
}

fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())
}

fn job(number: usize, dice: &mut Dice) -> NewJob {
    let length = 10 + dice.below(600);
    let text = dice.letters(length);
    let command = if dice.percent(50) {
        Command::shell(format!("echo {text}"))
    } else {
        Command::argv(vec![b"echo".to_vec(), text.into_bytes()])
    };
    let value = format!("value-{}", dice.below(4));
    given::job(&format!("job-{number}")).priority(dice.below(4) as i32).with(|spec| {
        spec.command = Some(command.expect("a command"));
        spec.environment.set(b"NAME".to_vec(), value.into_bytes()).expect("a variable");
        spec.dir = Some(format!("/srv/{number}").into_bytes());
        spec.stdin = Some(format!("input of {number}").into_bytes());
    })
}

/// Damages a copy; tells how.
fn damage(whole: &[u8], dice: &mut Dice) -> (String, Vec<u8>) {
    let mut bytes = whole.to_vec();
    let (length, pages) = (bytes.len(), bytes.len() / PAGE);
    let flip = |bytes: &mut Vec<u8>, dice: &mut Dice| {
        let at = dice.below(length);
        bytes[at] ^= 1 << dice.below(8);
    };
    let page = |dice: &mut Dice| dice.below(pages) * PAGE;
    let what = match dice.below(8) {
        0 | 1 => {
            flip(&mut bytes, dice);
            "one bit flipped".to_owned()
        }
        2 | 3 => {
            let count = 2 + dice.below(200);
            (0..count).for_each(|_| flip(&mut bytes, dice));
            format!("{count} bits flipped")
        }
        4 => {
            let at = page(dice);
            bytes[at..at + PAGE].fill(0);
            format!("page {} zeroed", at / PAGE + 1)
        }
        5 => {
            let (one, other) = (page(dice), page(dice));
            let kept = bytes[one..one + PAGE].to_vec();
            bytes.copy_within(other..other + PAGE, one);
            if dice.percent(50) {
                bytes[other..other + PAGE].copy_from_slice(&kept);
            }
            format!("page {} put in place of page {}", other / PAGE + 1, one / PAGE + 1)
        }
        6 => {
            let at = dice.below(length / SECTOR) * SECTOR;
            let garbage = dice.letters(SECTOR);
            bytes[at..at + SECTOR].copy_from_slice(garbage.as_bytes());
            format!("the sector at {at} overwritten")
        }
        _ => {
            let size = if dice.percent(50) { page(dice) } else { dice.below(length) };
            bytes.truncate(size);
            format!("cut to {size} bytes")
        }
    };
    (what, bytes)
}

/// Opens a damaged database as a worker does, and claims whatever it gives.
fn claim_all(whole: &Whole, bytes: &[u8]) -> Result<Found, String> {
    let (_dir, place) = apart::stage()?;
    let session = Session::begin(&place, None);
    let database = place.join("queue.db");
    fs::write(&database, bytes).map_err(|e| e.to_string())?;
    let before = fs::metadata(&database).map_err(|e| e.to_string())?;
    let mut found = Found::default();
    let runtime = runtime()?;
    let opened = runtime
        .block_on(open(database.clone(), Access::CreateOrMigrate, ManualClock::default()))
        .ok()
        .flatten();
    let refused = opened.is_none();
    found.refused = u64::from(refused);
    if let Some(store) = opened {
        runtime.block_on(claims(whole, store, &mut found));
    }
    if !session.wait_closed() {
        return Err("its files stay open".to_owned());
    }
    let there =
        fs::metadata(&database).is_ok_and(|now| (now.dev(), now.ino()) == (before.dev(), before.ino()));
    let after = fs::read(&database).unwrap_or_default();
    found.discarded.extend(if !there {
        Some("another file lies in its place".to_owned())
    } else if refused && after != bytes {
        Some("it was refused, and was written to".to_owned())
    } else {
        let shrunk = after.len() < bytes.len();
        shrunk.then(|| format!("of {} bytes {} are left", bytes.len(), after.len()))
    });
    Ok(found)
}

async fn claims(whole: &Whole, store: SqliteStore, found: &mut Found) {
    let mut claimed = BTreeSet::new();
    // More exchanges than jobs: damage can make a claim come back.
    for _ in 0..JOBS {
        match ask(&store, Turn::of(WORKER).want(WANT).request(), found).await {
            Some(claims) if !claims.is_empty() => look(whole, &claims, &mut claimed, found),
            _ => break,
        }
    }
    // Behind a row that cannot be read there are others.
    for id in whole.jobs.keys() {
        if !claimed.contains(id) {
            let turn = Turn::of(WORKER).only(id).want(1);
            let claims = ask(&store, turn.request(), found).await.unwrap_or_default();
            look(whole, &claims, &mut claimed, found);
        }
    }
}

async fn ask(store: &dyn Exchange, request: ExchangeRequest, found: &mut Found) -> Option<Vec<Claim>> {
    let reply = store.exchange(request).await;
    found.refused |= u64::from(reply.is_err());
    reply.ok().map(|reply| reply.claims)
}

/// What was claimed is what was enqueued under that id, with all that the job's digest covers: command, environment,
/// directory, input, options.
fn look(whole: &Whole, claims: &[Claim], claimed: &mut BTreeSet<String>, found: &mut Found) {
    for claim in claims {
        found.claimed += 1;
        let (id, spec) = (claim.job.id.to_string(), &claim.job.spec);
        match whole.jobs.get(&id) {
            None => found.altered.push(format!("job {id} was claimed, which nobody enqueued")),
            Some(enqueued) if enqueued != spec => {
                found.altered.push(format!("job {id} was claimed as {spec:?}, and enqueued as {enqueued:?}"));
            }
            Some(_) => {}
        }
        claimed.insert(id);
    }
}
