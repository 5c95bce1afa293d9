//! Enqueue: requests become jobs under the settings in force, and all go in or none.

use queuectl_core::id::JobId;
use queuectl_core::job::{Due, KIND_COMMAND, NewJob};
use queuectl_core::limits::PAYLOAD_BYTES_MAX;
use queuectl_core::queue::QueueName;
use queuectl_core::store::Inserted;

use super::Client;
use crate::error::EnqueueError;
use crate::request::{Enqueuer, JobMaker, JobRequest, RequestError};

/// Draws of a generated id before a collision is reported as what it then is: not a collision.
pub(super) const ID_DRAWS_MAX: usize = 8;

impl Client {
    /// Enqueues all of these or none, in one synced transaction; returns their ids in order.
    pub async fn enqueue(
        &self,
        requests: Vec<JobRequest>,
        enqueuer: &Enqueuer,
    ) -> Result<Vec<JobId>, EnqueueError> {
        let settings = self.store.settings().await?;
        let several = requests.len() > 1;
        let mut jobs = Vec::with_capacity(requests.len());
        let mut maker = JobMaker::new(&settings, enqueuer);
        for (index, request) in requests.into_iter().enumerate() {
            let job = maker.job(request, &mut || self.next_id());
            jobs.push(job.map_err(|error| if several { error.in_job(index + 1) } else { error })?);
        }
        self.insert(jobs).await
    }

    /// A job for a handler of this kind (see [`crate::Worker::handler`]), with a payload for it and the settings in force
    /// for its queue. Change what you like of it, and hand it to [`Client::insert`].
    pub async fn task(
        &self,
        kind: &str,
        queue: QueueName,
        payload: Option<String>,
    ) -> Result<NewJob, EnqueueError> {
        if kind == KIND_COMMAND || QueueName::new(kind).is_err() {
            return Err(RequestError::Kind { given: kind.to_owned() }.into());
        }
        if payload.as_ref().is_some_and(|payload| payload.len() > PAYLOAD_BYTES_MAX) {
            return Err(RequestError::Payload.into());
        }
        let settings = self.store.settings().await?;
        let mut spec = settings.for_queue(&queue).spec(queue);
        kind.clone_into(&mut spec.kind);
        spec.payload = payload;
        Ok(NewJob { id: self.next_id(), generated: true, spec, due: Due::Now })
    }

    /// Enqueues jobs that are made already, all of these or none, in one synced transaction.
    pub async fn insert(&self, mut jobs: Vec<NewJob>) -> Result<Vec<JobId>, EnqueueError> {
        for _ in 0..ID_DRAWS_MAX {
            match self.store.insert(jobs.clone()).await? {
                Inserted::All => return Ok(jobs.into_iter().map(|job| job.id).collect()),
                Inserted::Duplicate(id) => self.draw_again(&mut jobs, id)?,
            }
        }
        Err(EnqueueError::Duplicate(jobs.swap_remove(0).id))
    }

    /// Gives the job with this generated id another; a given id cannot be changed.
    pub(super) fn draw_again(&self, jobs: &mut [NewJob], id: JobId) -> Result<(), EnqueueError> {
        match jobs.iter_mut().find(|job| job.generated && job.id == id) {
            Some(drawn) => drawn.id = self.next_id(),
            None => return Err(EnqueueError::Duplicate(id)),
        }
        Ok(())
    }

    /// A fresh time-ordered id.
    #[expect(
        clippy::disallowed_methods,
        reason = "an id needs a date and a random number; they order nothing else"
    )]
    pub fn next_id(&self) -> JobId {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = queuectl_core::time::Timestamp::from_millis(since_epoch.as_millis() as i64);
        let random = getrandom::u64().expect("the kernel's random numbers");
        self.ids.lock().expect("no panic while ids are made").next_id(now, random)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use queuectl_testing::{ManualClock, MemoryStore, given};

    use super::*;

    #[tokio::test]
    async fn a_generated_id_that_exists_is_drawn_again_and_a_given_one_is_refused() {
        let client = Client::on(Arc::new(MemoryStore::new(ManualClock::default())));
        let there = || given::job("there");
        client.insert(vec![there()]).await.expect("it is new");
        let generated = || NewJob { generated: true, ..there() };
        let ids = client.insert(vec![generated(), given::job("b"), generated()]).await.expect("drawn again");
        assert_eq!((ids.len(), ids[1].as_str()), (3, "b"));
        assert!(ids[0] != ids[2] && ids[0].as_str() != "there" && ids[2].as_str() != "there", "{ids:?}");
        for id in &ids {
            assert!(client.job(id).await.expect("the store works").is_some(), "{id}");
        }
        let refused = client.insert(vec![given::job("c"), there()]).await;
        assert!(matches!(refused, Err(EnqueueError::Duplicate(id)) if id.as_str() == "there"));
        assert!(client.job(&given::id("c")).await.expect("the store works").is_none(), "all or nothing");
    }
}
