//! Selectors: how people name jobs. An exact id always wins.

use std::collections::HashSet;

use queuectl_core::id::JobId;
use queuectl_core::limits::{GENERATED_ID_CHARS, ID_PREFIX_CHARS_MIN};
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::store::StoreResult;

use super::Client;

/// One word that names jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `all`.
    All,
    /// `last`, `last:3`: the newest ones.
    Last(usize),
    /// An id, or the beginning of a generated one.
    Id(String),
}

/// Why a selector names no jobs.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    #[error("`{0}` is no selector: write `last:N` with N of at least 1")]
    BadLast(String),
    #[error("there is no job `{0}`")]
    Nothing(String),
    #[error("there is no job yet")]
    Empty,
    #[error("no job matches")]
    NoMatch,
    #[error("`{prefix}` begins the ids of several jobs, among them {} and {}", ids[0], ids[1])]
    Ambiguous { prefix: String, ids: Vec<JobId> },
    #[error(transparent)]
    Store(#[from] queuectl_core::store::StoreError),
}

impl Selector {
    pub fn parse(word: &str) -> Result<Selector, SelectorError> {
        match word {
            "all" => Ok(Selector::All),
            "last" => Ok(Selector::Last(1)),
            _ => match word.strip_prefix("last:") {
                None => Ok(Selector::Id(word.to_owned())),
                Some(count) => match count.parse() {
                    Ok(count) if count > 0 => Ok(Selector::Last(count)),
                    _ => Err(SelectorError::BadLast(word.to_owned())),
                },
            },
        }
    }
}

impl Client {
    /// The ids that a selector names now, oldest first; never none.
    pub async fn select(&self, selector: &Selector) -> Result<Vec<JobId>, SelectorError> {
        let ids = match selector {
            Selector::Id(word) => return Ok(vec![self.select_id(word).await?]),
            Selector::All => self.ids_of(&Filter::default()).await?,
            Selector::Last(count) => {
                let jobs = self.list(&Filter::default(), Some(*count)).await?;
                jobs.into_iter().map(|job| job.id).collect()
            }
        };
        if ids.is_empty() { Err(SelectorError::Empty) } else { Ok(ids) }
    }

    /// The jobs that the words name, or all if there are none, as far as the filter means them; each once, never none.
    pub async fn select_all(
        &self,
        selectors: &[Selector],
        filter: &Filter,
    ) -> Result<Vec<JobId>, SelectorError> {
        let (mut ids, mut seen) = (Vec::new(), HashSet::new());
        if selectors.is_empty() || selectors.contains(&Selector::All) {
            ids = self.ids_of(filter).await?;
        }
        let now = self.now().await?;
        for selector in selectors.iter().filter(|selector| **selector != Selector::All) {
            for id in self.select(selector).await? {
                let job = self.store.get(&id).await?;
                if job.is_some_and(|job| filter.matches(&job, now)) {
                    ids.push(id);
                }
            }
        }
        ids.retain(|id| seen.insert(id.clone()));
        match (ids.is_empty(), *filter == Filter::default()) {
            (false, _) => Ok(ids),
            (true, true) => Err(SelectorError::Empty),
            (true, false) => Err(SelectorError::NoMatch),
        }
    }

    async fn select_id(&self, word: &str) -> Result<JobId, SelectorError> {
        let exact = JobId::from_store(word.to_owned());
        if self.store.get(&exact).await?.is_some() {
            return Ok(exact);
        }
        let length = word.chars().count();
        if (ID_PREFIX_CHARS_MIN..GENERATED_ID_CHARS).contains(&length) {
            let mut found = self.store.find_prefix(&word.to_ascii_lowercase(), 2).await?;
            match found.len() {
                0 => {}
                1 => return Ok(found.swap_remove(0)),
                _ => return Err(SelectorError::Ambiguous { prefix: word.to_owned(), ids: found }),
            }
        }
        Err(SelectorError::Nothing(word.to_owned()))
    }

    async fn ids_of(&self, filter: &Filter) -> StoreResult<Vec<JobId>> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let rows = queuectl_core::limits::PAGE_ROWS_MAX;
            let page = self.store.list(filter, Page { order: Order::OldestFirst, after, rows }).await?;
            let Some(last) = page.last() else { return Ok(ids) };
            after = Some(last.seq);
            ids.extend(page.into_iter().map(|job| job.id));
        }
    }
}
