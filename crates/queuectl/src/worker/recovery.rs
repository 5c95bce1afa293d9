//! Recovery: what dead keepers left is swept, settled and given back; rows of dead workers are removed.
//!
//! Exclusive by the dead keeper's lock. The order matters: first the sweep, then the settle, then the files. A death of
//! the finder anywhere between leaves it to the next one.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use queuectl_core::claim::ClaimToken;
use queuectl_core::limits::SETTLES_MAX;
use queuectl_core::outcome::Interruption;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, ExchangeRequest, Settle, Settled, StoreResult, Take};
use queuectl_exec::protocol::{ClaimKey, End, ExitRecord};
use queuectl_exec::rundir::{self, Kind};
use queuectl_exec::{Estate, Remains, end_cgroups, now_boot_ms, sweep, try_take};
use queuectl_points::point;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::link::boot_mark;
use super::settling::{Facts, settle_for, settle_interrupted};
use super::turn::{draw, sync_record};
use crate::client::Client;
use crate::error::Error;

/// Recovery on behalf of one worker, one pass at a time: whoever asks for a pass gets one that began after he asked.
#[derive(Clone)]
pub struct Recovery {
    client: Client,
    gate: Arc<Mutex<()>>,
}

impl Recovery {
    pub fn new(client: Client) -> Recovery {
        Recovery { client, gate: Arc::default() }
    }

    /// Takes over from every keeper and worker of this run directory that has died. What fails is logged and tried
    /// again with the next pass. False if somebody else is just doing it, so that jobs may come back.
    pub async fn recover_dead(&self) -> bool {
        let run_dir = self.client.place().run_dir;
        !self.take_over().await.iter().any(|keeper| is_being_recovered(&run_dir, keeper))
    }

    /// The same, and what only the store knows of: nothing that can come back is missed.
    pub async fn recover_all(&self) -> bool {
        let alone = self.recover_dead().await;
        if let Err(error) = self.recover_rows().await {
            warn!(%error, "cannot look for lost claims");
        }
        alone
    }

    /// As [`Self::recover_dead`], for a look that wakes nobody who lives. Returns the keepers whose locks are held: they live, or somebody
    /// else is just doing it.
    pub async fn take_over(&self) -> Vec<String> {
        let _gate = self.gate.lock().await;
        let (client, mut held) = (&self.client, Vec::new());
        if let Err(error) = lock_again(&client.place().run_dir) {
            warn!(%error, "cannot look for keepers without a lock file");
        }
        let entries = match rundir::list(&client.place().run_dir) {
            Ok(entries) => entries,
            Err(error) => {
                warn!(%error, "cannot look for dead workers");
                return held;
            }
        };
        for entry in entries {
            let result = match entry.kind {
                Kind::Keeper => recover_keeper(client, &entry.id).await.map(|done| {
                    if !done {
                        held.push(entry.id.clone());
                    }
                }),
                Kind::Worker => bury_worker(client, &entry.id).await,
                // Its batch is looked for in the store.
                Kind::Loader => Ok(()),
            };
            if let Err(error) = result {
                warn!(id = %entry.id, %error, "cannot recover what a dead process left; trying again");
            }
        }
        held
    }

    /// Looks through the store: claims of keepers that have no lock file at all, rows of workers that are not alive.
    pub async fn recover_rows(&self) -> Result<(), Error> {
        let _gate = self.gate.lock().await;
        let client = &self.client;
        let run_dir = client.place().run_dir;
        for worker in client.store.workers().await? {
            if !rundir::is_alive(&run_dir, Kind::Worker, &worker.id).unwrap_or(true) {
                client.store.retire(&worker.id).await?;
            }
        }
        for owner in client.store.owners().await? {
            if run_dir.join(rundir::lock_name(Kind::Keeper, &owner)).exists() {
                continue;
            }
            // The last look must come after the file was found missing: an heir settles first and then removes it.
            let claims = client.store.claims_of(&owner).await?;
            if !claims.is_empty() {
                give_back(client, &owner, claims, None).await?;
            }
        }
        Ok(())
    }
}

async fn bury_worker(client: &Client, id: &str) -> Result<(), Error> {
    let run_dir = client.place().run_dir;
    let failed = |source| Error::File { doing: "lock a file of", path: run_dir.clone(), source };
    if let Some(lock) = rundir::try_lock_dead(&run_dir, Kind::Worker, id).map_err(failed)? {
        client.store.retire(id).await?;
        lock.remove().map_err(failed)?;
        info!(worker.id = id, "removed a worker that had died");
    }
    Ok(())
}

/// A keeper that lives listens; whoever holds a dead one's lock does not.
fn is_being_recovered(run_dir: &Path, keeper: &str) -> bool {
    rundir::connect(run_dir, keeper).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Dead keepers whose lock file was deleted get one again, so that they are found and their spool tells what became of
/// what they ran.
fn lock_again(run_dir: &Path) -> io::Result<()> {
    for id in rundir::without_lock(run_dir)? {
        rundir::lock(run_dir, Kind::Keeper, &id)?;
    }
    Ok(())
}

/// False if its lock is held.
async fn recover_keeper(client: &Client, id: &str) -> Result<bool, Error> {
    let run_dir = client.place().run_dir;
    let failed = |source| Error::File { doing: "take over from a keeper in", path: run_dir.clone(), source };
    let Some(estate) = try_take(&run_dir, id).map_err(failed)? else {
        return Ok(false);
    };
    let claims = client.store.claims_of(id).await?;
    if !claims.is_empty() {
        give_back(client, id, claims, Some(&estate)).await?;
    }
    point!("recovery.settled");
    estate.remove().map_err(failed)?;
    Ok(true)
}

/// Sweeps, then settles every claim of a dead owner.
async fn give_back(
    client: &Client,
    owner: &str,
    claims: Vec<Claim>,
    estate: Option<&Estate>,
) -> Result<(), Error> {
    let place = client.place();
    // Without a whole spool nobody knows what was started, so everything may have been; after a power cut likewise.
    let rebooted = !owner.ends_with(&format!("-{}", boot_mark()));
    let whole = !rebooted
        && estate.is_some_and(|estate| {
            estate.damage.is_none() && place.run_dir.join(rundir::spool_name(owner)).exists()
        });
    let remains: HashMap<ClaimKey, &Remains> =
        estate.iter().flat_map(|estate| &estate.remains).map(|one| (one.claim, one)).collect();
    point!("recovery.sweep.before");
    sweep_all(&claims, &remains).await?;
    point!("recovery.sweep.after");
    let settings = client.settings().await?;
    let cause = if rebooted { Interruption::Shutdown } else { Interruption::Crash };
    let mut settles = Vec::new();
    let mut releases = Vec::new();
    for claim in &claims {
        match fate(remains.get(&ClaimKey::from(claim.token)).copied(), whole) {
            Fate::NeverStarted => releases.push(claim.token),
            Fate::Ended(record) => {
                let (record, stderr_tail) = sync_off_thread(Box::new(record.clone()), &place.out_dir).await?;
                let now = now_boot_ms();
                let facts = Facts { record: &record, stderr_tail: &stderr_tail, now, random: draw() };
                settles.push(settle_for(claim, &facts, &settings));
            }
            Fate::Interrupted => settles.push(settle_interrupted(claim, cause, &settings)),
        }
    }
    info!(
        keeper.id = owner,
        settled = settles.len(),
        returned = releases.len(),
        "recovered the jobs of a dead keeper"
    );
    settle_all(client, owner, settles, releases, &settings).await
}

/// What became of a claim whose keeper died.
#[derive(Debug, PartialEq)]
pub enum Fate<'a> {
    /// Nothing ran, and nothing is charged.
    NeverStarted,
    Ended(&'a ExitRecord),
    Interrupted,
}

/// Reads it from what the keeper left. Only a whole spool proves by its silence that nothing was started.
pub fn fate(remains: Option<&Remains>, whole: bool) -> Fate<'_> {
    match remains {
        // For lack of processes, descriptors or memory.
        Some(Remains { exit: Some(record), .. })
            if matches!(record.end, End::CouldNotStart { ours: true, .. }) =>
        {
            Fate::NeverStarted
        }
        Some(Remains { exit: Some(record), .. }) => Fate::Ended(record),
        None if whole => Fate::NeverStarted,
        Some(_) | None => Fate::Interrupted,
    }
}

/// Kills what is left of every attempt that has no recorded end.
async fn sweep_all(claims: &[Claim], remains: &HashMap<ClaimKey, &Remains>) -> Result<(), Error> {
    let keys = claims.iter().map(|claim| ClaimKey::from(claim.token));
    let ended = |key: &ClaimKey| remains.get(key).is_some_and(|one| one.exit.is_some());
    let open: Vec<ClaimKey> = keys.filter(|key| !ended(key)).collect();
    if open.is_empty() {
        return Ok(());
    }
    let started: Vec<_> =
        open.iter().filter_map(|key| remains.get(key).and_then(|one| one.started.clone())).collect();
    let cgroups: Vec<_> =
        open.iter().filter_map(|key| remains.get(key).and_then(|one| one.cgroup.clone())).collect();
    let sweep_both = move || {
        let in_cgroups = end_cgroups(&cgroups)?;
        Ok(in_cgroups + sweep(&open, &started)?.killed)
    };
    let swept = tokio::task::spawn_blocking(sweep_both).await.map_err(broke_off)?;
    let killed = swept.map_err(|source| Error::Keeper {
        what: "died, and what it ran cannot be ended".to_owned(),
        source: Some(source),
    })?;
    if killed > 0 {
        info!(killed, "killed what was left of interrupted jobs");
    }
    Ok(())
}

async fn settle_all(
    client: &Client,
    owner: &str,
    settles: Vec<Settle>,
    releases: Vec<ClaimToken>,
    settings: &Settings,
) -> Result<(), Error> {
    let mut settles = settles;
    let mut releases = releases;
    while !settles.is_empty() || !releases.is_empty() {
        let part: Vec<Settle> = settles.drain(..settles.len().min(SETTLES_MAX)).collect();
        let back = std::mem::take(&mut releases);
        for (claim, result) in exchange(client, owner, part, back, settings).await? {
            if let Settled::Refused(why) = result {
                error!(%claim, why, "the store does not take an outcome");
                return Err(Error::Keeper {
                    what: format!("left an outcome that is refused: {why}"),
                    source: None,
                });
            }
        }
    }
    Ok(())
}

async fn exchange(
    client: &Client,
    owner: &str,
    settles: Vec<Settle>,
    releases: Vec<ClaimToken>,
    settings: &Settings,
) -> StoreResult<Vec<(ClaimToken, Settled)>> {
    let claims: Vec<ClaimToken> = settles.iter().map(|settle| settle.claim).collect();
    let request = exchange_request(owner, settles, releases, settings.version);
    let reply = client.store.exchange(request).await?;
    Ok(claims.into_iter().zip(reply.settled).collect())
}

/// Settles and releases on behalf of an owner who claims nothing more.
pub fn exchange_request(
    owner: &str,
    settles: Vec<Settle>,
    releases: Vec<ClaimToken>,
    settings_seen: u64,
) -> ExchangeRequest {
    ExchangeRequest {
        worker: String::new(),
        owner: owner.to_owned(),
        settles,
        releases,
        want: 0,
        take: Take::default(),
        drain: false,
        settings_seen,
    }
}

/// Makes a record's files durable, off the thread of who waits for it.
pub async fn sync_off_thread(
    record: Box<ExitRecord>,
    out_dir: &Path,
) -> Result<(Box<ExitRecord>, String), Error> {
    let out_dir = out_dir.to_owned();
    tokio::task::spawn_blocking(move || sync_record(record, &out_dir)).await.map_err(broke_off)
}

fn broke_off(error: tokio::task::JoinError) -> Error {
    Error::Keeper { what: "could not be recovered".to_owned(), source: Some(std::io::Error::other(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::simulation::claims::{claim, record};

    #[test]
    fn what_a_dead_keeper_left_tells_what_became_of_a_claim() {
        let claim = claim(1, |_| {});
        let remains = |end: Option<End>| Remains {
            claim: claim.token.into(),
            cgroup: None,
            started: None,
            exit: end.map(|end| *record(&claim, end, 1, 10)),
        };
        let could_not = |ours| Some(End::CouldNotStart { message: "no memory".to_owned(), ours });
        let (ours, theirs) = (remains(could_not(true)), remains(could_not(false)));
        let (ended, open) = (remains(Some(End::Exited { code: 3 })), remains(None));
        for whole in [true, false] {
            assert_eq!(fate(Some(&ours), whole), Fate::NeverStarted, "for our own reasons: not charged");
            assert_eq!(fate(Some(&theirs), whole), Fate::Ended(theirs.exit.as_ref().expect("given")));
            assert_eq!(fate(Some(&ended), whole), Fate::Ended(ended.exit.as_ref().expect("given")));
            assert_eq!(fate(Some(&open), whole), Fate::Interrupted, "an intent alone: possibly started");
        }
        assert_eq!(fate(None, true), Fate::NeverStarted);
        assert_eq!(fate(None, false), Fate::Interrupted, "a spool that is not whole proves nothing");
    }
}
