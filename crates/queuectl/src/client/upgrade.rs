//! Opening a store with the newest schema, unless an older worker lives in it.

use std::path::Path;

use queuectl_core::store::{StoreResult, WorkerRow};

use super::Client;
use crate::open::{Access, Network, schema_versions};

/// This library's version, by which its workers are known.
pub const VERSION: &str =
    if cfg!(queuectl_next) { concat!(env!("CARGO_PKG_VERSION"), "-next") } else { env!("CARGO_PKG_VERSION") };

/// A store that was opened to be brought up to date.
pub struct Newest {
    /// `None` if the file vanished meanwhile.
    pub client: Option<Client>,
    /// Live workers of another version that keep the schema as it is. None if it is the newest.
    pub in_the_way: Vec<WorkerRow>,
}

impl Client {
    /// Opens the store, made where there is none, with the newest schema; with the older one if a worker of another
    /// version lives. What begins while this looks is not harmed: every transaction asks for the schema's version.
    pub async fn open_newest(path: &Path, network: Network) -> StoreResult<Newest> {
        let in_the_way = in_the_way(path, network).await?;
        let access = if in_the_way.is_empty() { Access::Migrate } else { Access::Write };
        Ok(Newest { client: Client::open_with_network(path, access, network).await?, in_the_way })
    }
}

/// Live workers of another version in a store that has an older schema.
pub async fn in_the_way(path: &Path, network: Network) -> StoreResult<Vec<WorkerRow>> {
    let older = schema_versions(path).await?.is_some_and(|(from, to)| from < to);
    let client = if older { Client::open_with_network(path, Access::Read, network).await? } else { None };
    let Some(client) = client else { return Ok(Vec::new()) };
    let mut workers = client.live_workers().await?;
    workers.retain(|worker| worker.version != VERSION);
    Ok(workers)
}
