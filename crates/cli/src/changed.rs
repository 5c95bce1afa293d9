//! How verbs that change jobs tell what they changed: a line each, ids only, or the jobs themselves.

use clap::Args;
use queuectl::Client;
use queuectl::core::id::JobId;
use queuectl::json::to_line;
use queuectl::view::JobView;

use crate::exit::Failure;
use crate::terminal::{print, print_line};

/// How it is told.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct How {
    /// Print the ids of changed jobs only
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print the changed jobs as one JSON array
    #[arg(long)]
    json: bool,
}

/// What was changed so far.
pub struct Changed {
    how: How,
    ids: Vec<JobId>,
}

impl How {
    pub fn begin(self) -> Changed {
        Changed { how: self, ids: Vec::new() }
    }
}

impl Changed {
    /// This job was changed; in words, `line`.
    pub fn tell(&mut self, id: &JobId, line: &str) -> Result<(), Failure> {
        match self.how {
            How { json: true, .. } => {
                self.ids.push(id.clone());
                Ok(())
            }
            How { quiet: true, .. } => print_line(id.as_str()),
            How { .. } => print_line(line),
        }
    }

    /// That was all: the jobs as they are now, where they were asked for.
    pub async fn end(self, client: &Client) -> Result<(), Failure> {
        if !self.how.json {
            return Ok(());
        }
        print_array(client, self.ids).await
    }
}

/// These jobs as one array on one line, printed as they are read.
pub async fn print_array(client: &Client, ids: impl IntoIterator<Item = JobId>) -> Result<(), Failure> {
    let now = client.now().await?;
    let mut before = "[";
    for id in ids {
        if let Some(job) = client.job(&id).await? {
            print(&format!("{before}{}", to_line(&JobView::new(&job, now))))?;
            before = ", ";
        }
    }
    print(if before == "[" { "[]\n" } else { "]\n" })
}
