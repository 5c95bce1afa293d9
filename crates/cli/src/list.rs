//! `list`: jobs, all or those of a state, a queue, a tag.

use clap::Args;
use queuectl::core::job::Job;
use queuectl::core::limits::{PAGE_ROWS_MAX, WATCH_JOBS_MAX};
use queuectl::core::query::Filter;
use queuectl::core::queue::QueueName;
use queuectl::core::spelling::did_you_mean;
use queuectl::core::state::Shown;
use queuectl::core::time::Timestamp;
use queuectl::json::to_line;
use queuectl::view::{Facts, JobView};
use queuectl::{Client, Pages};

use crate::exit::{Exit, Failure, Outcome};
use crate::note::unless_known;
use crate::place::Place;
use crate::reason::reason;
use crate::render::{job_cells, job_columns, look};
use crate::table::{Cell, Table};
use crate::target::Which;
use crate::terminal::{complain, print, stdout_is_terminal};
use crate::watch::{self, Canvas, Form, Watch};
use crate::when::Times;

/// Jobs shown on a terminal unless more are asked for.
const TERMINAL_ROWS: usize = 50;

/// List jobs
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  queuectl list\n  queuectl list --state failed --queue mail\n  \
    queuectl list --tag team=red --json\n  queuectl list --watch")]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The newest so many
    #[arg(long, short = 'n')]
    limit: Option<usize>,
    /// One JSON array
    #[arg(long, conflicts_with_all = ["quiet", "jsonl"])]
    json: bool,
    /// One JSON object a line, as they are read
    #[arg(long, conflicts_with = "quiet")]
    jsonl: bool,
    /// Ids only
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    watch: Watch,
}

impl Arguments {
    /// The same listing of one state.
    pub fn of_state(self, state: Shown) -> Arguments {
        Arguments { which: Which { state: Some(state.as_str().to_owned()), ..self.which }, ..self }
    }
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let filter = arguments.which.filter()?;
    if arguments.watch.is_on() {
        return watch(place, &arguments, &filter).await;
    }
    let Some(client) = place.open_existing().await? else {
        if arguments.json {
            print("[]\n")?;
        } else if !arguments.jsonl && !arguments.quiet {
            complain("No jobs.");
        }
        return Ok(Exit::Done);
    };
    client.settle_dead().await;
    let now = client.now().await?;
    if arguments.json {
        array(client.pages(filter, arguments.limit).await?, now).await?;
    } else if arguments.jsonl {
        lines(client.pages(filter, arguments.limit).await?, |job| to_line(&JobView::new(job, now))).await?;
    } else if arguments.quiet {
        lines(client.pages(filter, arguments.limit).await?, |job| job.id.to_string()).await?;
    } else {
        people(&client, filter, arguments.limit, now).await?;
    }
    Ok(Exit::Done)
}

/// One array on one line, printed as it is read.
async fn array(mut pages: Pages, now: Timestamp) -> Result<(), Failure> {
    let mut before = "[";
    while !pages.is_over() {
        let mut text = String::new();
        for job in pages.next().await? {
            text.push_str(before);
            text.push_str(&to_line(&JobView::new(&job, now)));
            before = ", ";
        }
        print(&text)?;
    }
    print(if before == "[" { "[]\n" } else { "]\n" })
}

/// A line a job, printed as they are read.
async fn lines(mut pages: Pages, line: impl Fn(&Job) -> String) -> Result<(), Failure> {
    while !pages.is_over() {
        let text: String = pages.next().await?.iter().map(|job| line(job) + "\n").collect();
        print(&text)?;
    }
    Ok(())
}

/// A table: on a terminal of the newest, elsewhere of all.
async fn people(
    client: &Client,
    filter: Filter,
    limit: Option<usize>,
    now: Timestamp,
) -> Result<(), Failure> {
    let for_terminal = stdout_is_terminal() && limit.is_none();
    let limit = limit.or(for_terminal.then_some(TERMINAL_ROWS));
    let drawer = Drawer::new(client, now).await?;
    let mut pages = client.pages(filter.clone(), limit).await?;
    let first = pages.next().await?;
    if first.is_empty() {
        unless_known(client, filter.queue.as_slice()).await?;
        complain("No jobs.");
        return Ok(());
    }
    let mut table = Table::new(job_columns(), look());
    drawer.measure(&mut table, &first);
    if first.len() == PAGE_ROWS_MAX && !pages.is_over() {
        // Every row is measured before the first is printed; what is inserted meanwhile may stand out.
        let mut rest = client.pages(filter.clone(), limit).await?;
        while !rest.is_over() {
            drawer.measure(&mut table, &rest.next().await?);
        }
    }
    table.fit();
    print(&(table.header() + &drawer.rows(&table, &first)))?;
    while !pages.is_over() {
        print(&drawer.rows(&table, &pages.next().await?))?;
    }
    if for_terminal && first.len() == TERMINAL_ROWS {
        tell_how_many_more(client, &filter).await?;
    }
    Ok(())
}

/// Says on standard error how many jobs the newest on the terminal leave out.
async fn tell_how_many_more(client: &Client, filter: &Filter) -> Result<(), Failure> {
    if !filter.tags.is_empty() {
        complain(&format!("The newest {TERMINAL_ROWS} jobs; there may be more. --limit N shows them."));
        return Ok(());
    }
    let counts = client.counts().await?;
    let meant = counts.iter().filter(|count| {
        filter.shown.is_none_or(|shown| shown == count.shown)
            && filter.queue.as_ref().is_none_or(|queue| *queue == count.queue)
    });
    let more = meant.map(|count| count.jobs).sum::<u64>().saturating_sub(TERMINAL_ROWS as u64);
    if more > 0 {
        complain(&format!("The newest {TERMINAL_ROWS} jobs; there are {more} more. --limit N shows them."));
    }
    Ok(())
}

/// What the rows of a listing are made with.
struct Drawer {
    facts: Facts,
    times: Times,
    now: Timestamp,
}

impl Drawer {
    async fn new(client: &Client, now: Timestamp) -> Result<Drawer, Failure> {
        Ok(Drawer { facts: client.facts().await?, times: Times::on_stdout(now), now })
    }

    fn cells(&self, job: &Job) -> Vec<Cell> {
        let why = reason(job, &self.facts, self.times);
        job_cells(&JobView::new(job, self.now), why, self.times)
    }

    fn measure(&self, table: &mut Table, jobs: &[Job]) {
        for job in jobs {
            table.measure(&self.cells(job));
        }
    }

    fn rows(&self, table: &Table, jobs: &[Job]) -> String {
        jobs.iter().map(|job| table.line(&self.cells(job))).collect()
    }
}

async fn watch(place: &Place, arguments: &Arguments, filter: &Filter) -> Outcome {
    let form = match (arguments.json, arguments.jsonl) {
        (true, _) => Form::Values,
        (_, true) => Form::Lines,
        _ => Form::Tables,
    };
    let limit = arguments.limit.unwrap_or(WATCH_JOBS_MAX).min(WATCH_JOBS_MAX);
    watch::run(place, &arguments.watch, form, async |client, canvas| {
        // The header has a line too.
        let limit = canvas.rows.map_or(limit, |rows| limit.min(rows.saturating_sub(1)));
        let Some(client) = client else { return Ok(drawing_of_none(arguments)) };
        let now = client.now().await?;
        let jobs = client.list(filter, Some(limit)).await?;
        let views = jobs.iter().map(|job| JobView::new(job, now));
        if arguments.json {
            return Ok(to_line(&views.collect::<Vec<_>>()) + "\n");
        } else if arguments.jsonl {
            return Ok(views.map(|view| to_line(&view) + "\n").collect());
        } else if arguments.quiet {
            return Ok(views.map(|view| view.id + "\n").collect());
        }
        if jobs.is_empty() {
            return Ok(drawing_of_none(arguments));
        }
        draw(client, &jobs, now, canvas).await
    })
    .await
}

fn drawing_of_none(arguments: &Arguments) -> String {
    let text = if arguments.json {
        "[]\n"
    } else if arguments.jsonl || arguments.quiet {
        ""
    } else {
        "No jobs.\n"
    };
    text.to_owned()
}

async fn draw(client: &Client, jobs: &[Job], now: Timestamp, canvas: Canvas) -> Result<String, Failure> {
    let drawer = Drawer::new(client, now).await?;
    let mut table = Table::new(job_columns(), canvas.look);
    drawer.measure(&mut table, jobs);
    table.fit();
    Ok(table.header() + &drawer.rows(&table, jobs))
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
