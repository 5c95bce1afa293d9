//! The product used as a library by this process, where a process's start would hide what is measured.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use queuectl::core::store::{ExchangeRequest, Store, Take};
use queuectl::{Access, Client, Enqueuer, JobRequest, Network};

use crate::stand::Fault;

pub struct Library {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    pub client: Client,
}

impl Library {
    pub fn open(database: &Path) -> Result<Library, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = runtime
            .block_on(queuectl::open(database, Access::Write, Network::Refused))?
            .ok_or("a store that is opened for writing is made")?;
        Ok(Library { client: Client::on(store.clone()), runtime, store })
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Enqueues one job.
    pub fn enqueue(&self, arguments: &[&str]) -> Result<(), Fault> {
        self.block_on(self.client.enqueue(vec![request(arguments)], &Enqueuer::default()))?;
        Ok(())
    }

    /// Claims jobs one by one, each in an exchange of its own, and gives all of them back at the end; the seconds that
    /// each claim took.
    pub fn claims(&self, times: usize) -> Result<Vec<f64>, Fault> {
        let mut request = ExchangeRequest {
            worker: "bench".to_owned(),
            owner: "bench".to_owned(),
            settles: Vec::new(),
            releases: Vec::new(),
            want: 1,
            take: Take { kinds: vec!["command".to_owned()], ..Take::default() },
            drain: false,
            settings_seen: u64::MAX,
        };
        let (mut seconds, mut held) = (Vec::with_capacity(times), Vec::with_capacity(times));
        for _ in 0..times {
            let begin = crate::clock::now();
            let reply = self.block_on(self.store.exchange(request.clone()))?;
            seconds.push(begin.elapsed().as_secs_f64());
            held.extend(reply.claims.iter().map(|claim| claim.token));
        }
        if held.len() != times {
            return Err(format!("{} of {times} jobs were claimed", held.len()).into());
        }
        (request.want, request.releases) = (0, held);
        self.block_on(self.store.exchange(request))?;
        Ok(seconds)
    }
}

/// A job with exact arguments.
pub fn request(arguments: &[&str]) -> JobRequest {
    let arguments = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
    JobRequest { args: Some(arguments), ..JobRequest::default() }
}

/// The value that such a share of the others do not pass.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)),
            (50.0, 99.0, 100.0)
        );
    }
}
