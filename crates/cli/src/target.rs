//! The jobs that a verb is about: words that name them, and flags that narrow them down.

use clap::Args;
use queuectl::core::id::JobId;
use queuectl::core::job::Job;
use queuectl::core::query::Filter;
use queuectl::{Client, Selector, SelectorError};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::pair;
use crate::list::{parse_state, queue_name};
use crate::note::meant_instead;
use crate::place::Place;
use crate::terminal::print;

/// Which jobs. Words and flags together mean the jobs that both mean.
#[derive(Debug, Default, Args)]
pub struct Target {
    /// Ids, beginnings of generated ones, `last`, `last:N`, or `all`
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// The flags that select jobs, the same for every verb.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub struct Which {
    /// In this state
    #[arg(long, short, visible_alias = "status")]
    pub state: Option<String>,
    /// Of this queue
    #[arg(long, short)]
    pub queue: Option<String>,
    /// With this tag (repeatable: with all of them)
    #[arg(long = "tag", value_name = "K=V", value_parser = pair)]
    pub tags: Vec<(String, String)>,
}

impl Which {
    /// True if it narrows nothing down.
    fn is_open(&self) -> bool {
        self.state.is_none() && self.queue.is_none() && self.tags.is_empty()
    }

    pub fn filter(&self) -> Result<Filter, Failure> {
        Ok(Filter {
            shown: self.state.as_deref().map(parse_state).transpose()?,
            queue: self.queue.clone().map(queue_name).transpose()?,
            tags: self.tags.clone(),
            ended_before: None,
        })
    }
}

impl Target {
    /// The same without having named every job.
    pub fn of_all(self) -> Target {
        Target { jobs: vec!["all".to_owned()], ..self }
    }

    /// True if the jobs were not named one by one: then those that a verb cannot change are passed over.
    pub fn is_broad(&self) -> bool {
        self.jobs.is_empty() || self.jobs.iter().any(|word| word == "all")
    }

    /// True for the word `all` and nothing else.
    pub fn is_all(&self) -> bool {
        self.jobs == ["all"] && self.which.is_open()
    }

    /// True if this one job is named, by its whole id.
    pub fn is_exactly(&self, id: &JobId) -> bool {
        matches!(self.jobs.as_slice(), [word] if word == id.as_str())
    }

    /// The ids that are meant, each once; never none. A word that names nothing refuses all.
    pub async fn resolve(&self, client: &Client) -> Result<Vec<JobId>, Failure> {
        self.resolve_with(client, |filter| filter).await
    }

    /// The same, with a filter that the verb brings.
    pub async fn resolve_with(
        &self,
        client: &Client,
        narrow: impl FnOnce(Filter) -> Filter,
    ) -> Result<Vec<JobId>, Failure> {
        let filter = self.which.filter()?;
        if self.jobs.is_empty() && filter == Filter::default() {
            return Err(Failure::usage("no job is named")
                .hint("give ids, `last`, --state, --queue or --tag; `all` means every job"));
        }
        let selectors = self.jobs.iter().map(|word| Selector::parse(word)).collect::<Result<Vec<_>, _>>()?;
        let queue = filter.queue.clone();
        match client.select_all(&selectors, &narrow(filter)).await {
            Err(SelectorError::NoMatch | SelectorError::Empty) if queue.is_some() => {
                let failure = Failure::from(SelectorError::NoMatch);
                let meant = meant_instead(client, queue.iter()).await?;
                Err(meant
                    .into_iter()
                    .fold(failure, |failure, (_, meant)| failure.hint(format!("did you mean `{meant}`?"))))
            }
            found => Ok(found?),
        }
    }
}

/// Prints what `tell` says of each job: one after the other, or, as JSON, one value for one job and an array of several.
pub async fn each(
    client: &Client,
    ids: &[JobId],
    json: bool,
    tell: impl AsyncFn(&Job) -> Result<String, Failure>,
) -> Outcome {
    let several = ids.len() > 1;
    let (before, between, after) = match (json, several) {
        (true, true) => ("[", ", ", "]\n"),
        (true, false) => ("", "", "\n"),
        (false, _) => ("", "\n", ""),
    };
    let mut lead = before;
    for id in ids {
        match client.job(id).await? {
            Some(job) => print(&format!("{lead}{}", tell(&job).await?))?,
            // Of many, one may have been deleted just now.
            None if several => continue,
            None => return Err(SelectorError::Nothing(id.to_string()).into()),
        }
        lead = between;
    }
    print(if json && several && lead == before { "[]\n" } else { after })?;
    Ok(Exit::Done)
}

/// The open store, for verbs that need a job in it.
pub async fn store_with_jobs(place: &Place) -> Result<Client, Failure> {
    let missing = || {
        Failure::new(Exit::NotFound, format!("there is no job: no database at {}", place.name()))
            .hint("enqueue one with `queuectl enqueue`, or name another database with --db")
    };
    place.open_existing().await?.ok_or_else(missing)
}
