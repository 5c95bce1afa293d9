//! A database in a directory of its own.

use std::path::PathBuf;
use std::sync::Arc;

use queuectl::core::id::JobId;
use queuectl::core::store::Store;
use queuectl::{Access, Client, Enqueuer, JobRequest, Network, open};

/// A client, and the store beneath it for what only a worker does.
pub struct Place {
    pub client: Client,
    pub store: Arc<dyn Store>,
    directory: tempfile::TempDir,
}

impl Place {
    pub async fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("queue.db");
        let store =
            open(&path, Access::Write, Network::Refused).await.expect("it opens").expect("it is made");
        Place { client: Client::on(store.clone()), store, directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    /// As another process would.
    pub async fn again(&self) -> Client {
        Client::open(&self.path(), Access::Write).await.expect("it opens").expect("it is there")
    }

    /// Enqueues jobs with these ids.
    pub async fn enqueue(&self, ids: &[&str]) -> Vec<JobId> {
        let requests = ids.iter().map(|id| request(id)).collect();
        self.client.enqueue(requests, &Enqueuer::default()).await.expect("it is enqueued")
    }

    /// The ids of jobs, in order.
    pub async fn ids(&self) -> Vec<String> {
        let jobs = self.client.list(&queuectl::core::query::Filter::default(), None).await;
        jobs.expect("the store works").iter().map(|job| job.id.to_string()).collect()
    }
}

pub fn request(id: &str) -> JobRequest {
    JobRequest { id: Some(id.to_owned()), command: Some("true".to_owned()), ..JobRequest::default() }
}

/// A request that leaves the id to the queue.
pub fn nameless() -> JobRequest {
    JobRequest { id: None, ..request("") }
}
