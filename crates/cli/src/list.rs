//! `list`: jobs, all or those of a state, a queue, a tag.

use clap::Args;
use queuectl::core::queue::QueueName;
use queuectl::core::spelling::did_you_mean;
use queuectl::core::state::Shown;
use queuectl::json::to_line;
use queuectl::view::JobView;

use crate::exit::{Exit, Failure, Outcome};
use crate::place::Place;
use crate::render::jobs_table;
use crate::target::Which;
use crate::terminal::{complain, print, print_line, stdout_is_terminal};

/// Jobs shown on a terminal unless more are asked for.
const TERMINAL_ROWS: usize = 50;

/// List jobs
#[derive(Debug, Default, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The newest so many
    #[arg(long, short = 'n')]
    limit: Option<usize>,
    /// One JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Ids only
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// The same listing of one state.
    pub fn of_state(self, state: Shown) -> Arguments {
        Arguments { which: Which { state: Some(state.as_str().to_owned()), ..self.which }, ..self }
    }
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let filter = arguments.which.filter()?;
    let for_people = !arguments.json && !arguments.quiet && stdout_is_terminal();
    // One more than is shown tells whether there are more.
    let limit = arguments.limit.or(for_people.then_some(TERMINAL_ROWS + 1));
    let mut views = match place.open_existing().await? {
        None => Vec::new(),
        Some(client) => {
            let now = client.now().await?;
            client.list(&filter, limit).await?.iter().map(|job| JobView::new(job, now)).collect()
        }
    };
    if for_people && arguments.limit.is_none() && views.len() > TERMINAL_ROWS {
        views.remove(0);
        complain(&format!("The newest {TERMINAL_ROWS} jobs; there are more. --limit N shows them."));
    }
    render(&views, arguments.json, arguments.quiet)?;
    Ok(Exit::Done)
}

fn render(views: &[JobView], json: bool, quiet: bool) -> Result<(), Failure> {
    if json {
        return print_line(&to_line(views));
    }
    if quiet {
        return print(&views.iter().map(|view| format!("{}\n", view.id)).collect::<String>());
    }
    if views.is_empty() {
        complain("No jobs.");
        return Ok(());
    }
    print(&jobs_table(views))
}

/// A shown state by its name.
pub fn parse_state(name: &str) -> Result<Shown, Failure> {
    Shown::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Shown::ALL.iter().map(|shown| shown.as_str()).collect();
        let meant = did_you_mean(name, names.iter().copied());
        Failure::usage(format!("there is no state `{name}`{meant}; the states are: {}", names.join(", ")))
    })
}

/// A queue's name as given.
pub fn queue_name(name: String) -> Result<QueueName, Failure> {
    QueueName::new(name).map_err(|error| Failure::usage(error.to_string()))
}
