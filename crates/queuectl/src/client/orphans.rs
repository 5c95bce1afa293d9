//! Keepers whose worker is gone: who they are, how they are ended, and what those that have ended left.

use queuectl_core::id::JobId;
use queuectl_core::store::{StopMode, StoreResult};
use queuectl_exec::rundir::{self, Kind};

use super::Client;
use crate::worker::{Household, Recovery, adopt_orphans};

/// A keeper without a worker; its jobs run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    pub keeper: String,
    pub jobs: Vec<JobId>,
}

impl Client {
    /// The keepers of this machine whose worker is gone. A live worker adopts them within a second.
    pub async fn orphans(&self) -> StoreResult<Vec<Orphan>> {
        let mut orphans = Vec::new();
        // A run directory that cannot be read has nobody in it for us.
        for keeper in rundir::orphans(&self.place().run_dir).unwrap_or_default() {
            let claims = self.store.claims_of(&keeper).await?;
            let jobs = claims.into_iter().map(|claim| claim.job.id).collect();
            orphans.push(Orphan { keeper, jobs });
        }
        Ok(orphans)
    }

    /// Records what came of jobs whose worker and keeper are both gone. What cannot be done is left to the next who
    /// looks.
    pub async fn settle_dead(&self) {
        let run_dir = self.place().run_dir;
        let is_dead = |id: &str| !rundir::is_alive(&run_dir, Kind::Keeper, id).unwrap_or(true);
        let entries = rundir::list(&run_dir).unwrap_or_default();
        if entries.iter().any(|entry| entry.kind == Kind::Keeper && is_dead(&entry.id)) {
            Recovery::new(self.clone()).recover_dead().await;
        }
    }

    /// Takes over the keepers without a worker and waits until their jobs have ended: by themselves, or, with
    /// [`StopMode::Now`], by TERM, grace and KILL; then they are given back. Safe to drop: what is not done is left to
    /// the next who adopts.
    pub async fn stop_orphans(&self, mode: StopMode) {
        let household = Household::default();
        household.stop(mode);
        let mut fosters = tokio::task::JoinSet::new();
        for foster in adopt_orphans(self, &household).await {
            fosters.spawn(foster.run());
        }
        while fosters.join_next().await.is_some() {}
    }
}
