//! Loading more jobs than fit one transaction: in steps, under a batch that is opened with the last one.

use queuectl_core::job::NewJob;
use queuectl_core::limits::{CHANGE_BATCH_MAX, ENQUEUE_JOBS_MAX};
use queuectl_core::store::{BatchId, Inserted, Loading};
use queuectl_exec::rundir::{self, HeldLock, Kind};
use queuectl_points::point;

use super::Client;
use crate::error::{EnqueueError, Error};

/// Jobs that are put in step by step. They are there once [`Loader::open`] returns, all of them; if this is dropped, or
/// its process dies, none ever is, and what was put in is removed by the next worker or loader.
pub struct Loader {
    client: Client,
    batch: BatchId,
    lock: HeldLock,
}

impl Client {
    /// Begins to load.
    pub async fn load(&self) -> Result<Loader, Error> {
        self.remove_dead_batches().await?;
        let run_dir = self.place().run_dir;
        let file = |doing, source| Error::File { doing, path: run_dir.clone(), source };
        rundir::create_run_dir(&run_dir).map_err(|e| file("use the run directory", e))?;
        let id = format!("l{}", self.next_id());
        // Before the batch is there, so that nobody takes it for dead.
        let lock = rundir::lock(&run_dir, Kind::Loader, &id).map_err(|e| file("make a lock in", e))?;
        let batch = self.store.begin_batch(&id).await?;
        point!("load.begun");
        Ok(Loader { client: self.clone(), batch, lock })
    }

    /// Removes what dead loaders have left, in small steps.
    pub async fn remove_dead_batches(&self) -> Result<(), Error> {
        while self.remove_dead_batch_step().await? {}
        Ok(())
    }

    /// One such step; true if there may be more.
    pub(crate) async fn remove_dead_batch_step(&self) -> Result<bool, Error> {
        let run_dir = self.place().run_dir;
        for Loading { batch, loader } in self.store.loading().await? {
            if !rundir::is_alive(&run_dir, Kind::Loader, &loader).unwrap_or(true) {
                self.store.drop_batch(batch, CHANGE_BATCH_MAX).await?;
                return Ok(true);
            }
        }
        let file = |source| Error::File { doing: "clean up", path: run_dir.clone(), source };
        for entry in rundir::list(&run_dir).map_err(file)? {
            if entry.kind == Kind::Loader
                && let Some(lock) = rundir::try_lock_dead(&run_dir, Kind::Loader, &entry.id).map_err(file)?
            {
                lock.remove().map_err(file)?;
            }
        }
        Ok(false)
    }
}

impl Loader {
    /// Puts jobs in, all of these or none; generated ids that exist are drawn anew.
    pub async fn add(&self, jobs: &mut Vec<NewJob>) -> Result<(), EnqueueError> {
        let mut rest = jobs.as_mut_slice();
        while !rest.is_empty() {
            let (step, later) = rest.split_at_mut(rest.len().min(ENQUEUE_JOBS_MAX));
            self.add_step(step).await?;
            rest = later;
        }
        Ok(())
    }

    async fn add_step(&self, jobs: &mut [NewJob]) -> Result<(), EnqueueError> {
        for _ in 0..super::enqueue::ID_DRAWS_MAX {
            match self.client.store.stage(self.batch, jobs.to_vec()).await? {
                Inserted::All => {
                    point!("load.staged");
                    return Ok(());
                }
                Inserted::Duplicate(id) => self.client.draw_again(jobs, id)?,
            }
        }
        Err(EnqueueError::Duplicate(jobs[0].id.clone()))
    }

    /// Opens the batch; `step` hears how many jobs each step after that has made ready to run.
    pub async fn open(self, mut step: impl FnMut(u64)) -> Result<(), Error> {
        point!("load.open.before");
        self.client.store.open_batch(self.batch).await?;
        point!("load.open.after");
        // Workers do it as well; here it is done even if there is none.
        loop {
            let promoted = self.client.store.promote_batches(ENQUEUE_JOBS_MAX).await?;
            if promoted == 0 {
                break;
            }
            step(promoted as u64);
        }
        self.leave()
    }

    /// Removes what was put in.
    pub async fn abandon(self) -> Result<(), Error> {
        while self.client.store.drop_batch(self.batch, CHANGE_BATCH_MAX).await? > 0 {}
        self.leave()
    }

    fn leave(self) -> Result<(), Error> {
        let path = self.client.place().run_dir;
        self.lock.remove().map_err(|source| Error::File { doing: "clean up", path, source })
    }
}
