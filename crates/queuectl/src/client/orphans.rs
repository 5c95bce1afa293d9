//! Keepers whose worker is gone: who they are, how they are ended, and what those that have ended left.

use std::collections::BTreeSet;
use std::time::Duration;

use queuectl_core::id::JobId;
use queuectl_core::store::{Claim, StopMode, StoreResult, WorkerRow};
use queuectl_exec::frozen::thaw;
use queuectl_exec::rundir::{self, Kind};

use super::Client;
use crate::worker::{Fosters, Household, Recovery};

/// How often a stop looks whether keepers without a worker have ended: nobody rings for them.
const ORPHANS_POLL: Duration = Duration::from_millis(100);

/// A keeper without a worker; its jobs run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    pub keeper: String,
    pub jobs: Vec<JobId>,
}

/// What became of the keepers without a worker that were to be stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrphansStopped {
    /// Nothing of these is left.
    pub ended: usize,
    /// A worker that came meanwhile looks after these.
    pub taken_over: usize,
}

impl Client {
    /// The keepers of this machine that run jobs and whose worker is gone. A live worker adopts them within a second.
    ///
    /// Most say so themselves. One does not in the instant after its worker's death, nor while somebody who is no worker
    /// ends what it runs: as long as there is no worker who could have adopted it, its claims tell.
    pub async fn orphans(&self) -> StoreResult<Vec<Orphan>> {
        let run_dir = self.place().run_dir;
        let mut orphans = Vec::new();
        // A run directory that cannot be read has nobody in it for us.
        let keepers = rundir::live_keepers(&run_dir).unwrap_or_default();
        if keepers.is_empty() {
            return Ok(orphans);
        }
        let workers = self.live_workers().await?;
        let adoptable = !has_adopter(&workers);
        for keeper in keepers {
            let marked = rundir::is_marked_orphan(&run_dir, &keeper);
            if !marked && !adoptable {
                continue;
            }
            let claims = self.store.claims_of(&keeper).await?;
            let is_served =
                |claim: &Claim| workers.iter().any(|row| claim.job.worker.as_ref() == Some(&row.id));
            if marked || !(claims.is_empty() || claims.iter().any(is_served)) {
                let jobs = claims.into_iter().map(|claim| claim.job.id).collect();
                orphans.push(Orphan { keeper, jobs });
            }
        }
        Ok(orphans)
    }

    /// Records what came of jobs whose worker and keeper are both gone. What cannot be done is left to the next who
    /// looks.
    pub async fn settle_dead(&self) {
        let run_dir = self.place().run_dir;
        let is_dead = |id: &str| !rundir::is_alive(&run_dir, Kind::Keeper, id).unwrap_or(true);
        let entries = rundir::list(&run_dir).unwrap_or_default();
        let dead = entries.iter().any(|entry| entry.kind == Kind::Keeper && is_dead(&entry.id));
        if dead || rundir::without_lock(&run_dir).is_ok_and(|ids| !ids.is_empty()) {
            Recovery::new(self.clone()).recover_dead().await;
        }
    }

    /// Lets keepers without a worker go on that are frozen (SIGSTOP): they hear nothing. Returns each with its pid.
    pub fn thaw_orphans(&self, orphans: &[Orphan]) -> Vec<(String, u32)> {
        let run_dir = self.place().run_dir;
        let thawed =
            |orphan: &Orphan| Some((orphan.keeper.clone(), thaw(&run_dir, Kind::Keeper, &orphan.keeper)?));
        orphans.iter().filter_map(thawed).collect()
    }

    /// Waits until no keeper is without a worker: until their jobs have ended by themselves, or, with [`StopMode::Now`],
    /// by TERM, grace and KILL; then they are given back. Until then they are to be seen, and others may adopt or stop
    /// them. Safe to drop: what is not done is left to the next who adopts.
    pub async fn stop_orphans(&self, mode: StopMode) -> StoreResult<OrphansStopped> {
        let household = Household::default();
        household.stop(mode);
        let (mut fosters, mut seen) = (Fosters::new(self, &household), BTreeSet::new());
        let run_dir = self.place().run_dir;
        let lives = |id: &String| rundir::is_alive(&run_dir, Kind::Keeper, id).unwrap_or(false);
        loop {
            let orphans = self.orphans().await?;
            self.settle_dead().await;
            // One whose jobs are settled is yet to end, unless there is a worker who may have adopted it.
            if orphans.is_empty() && (!seen.iter().any(lives) || has_adopter(&self.live_workers().await?)) {
                break;
            }
            for Orphan { keeper, .. } in orphans {
                // Whoever only waits leaves them as they are.
                if mode == StopMode::Now {
                    fosters.ask(keeper.clone());
                }
                seen.insert(keeper);
            }
            tokio::time::sleep(ORPHANS_POLL).await;
        }
        fosters.rest().await;
        let taken_over = seen.iter().filter(|id| lives(id)).count();
        Ok(OrphansStopped { ended: seen.len() - taken_over, taken_over })
    }
}

/// Whether one of these takes over what others have left running.
fn has_adopter(workers: &[WorkerRow]) -> bool {
    workers.iter().any(|worker| !worker.only_job)
}
