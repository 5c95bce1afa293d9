//! `stats`: how much has run lately, how long it waited and ran, how it failed.

use std::time::Duration;

use clap::Args;
use queuectl::core::time::Timestamp;
use queuectl::json::to_line;
use queuectl::view::{PercentilesView, RunsView, StatsGatherer, StatsView};

use crate::exit::{Exit, Failure, Outcome};
use crate::flags::duration;
use crate::list::queue_name;
use crate::place::Place;
use crate::render::table;
use crate::terminal::{print, print_line};

/// Throughput, waiting and run times, failures of a window of time
#[derive(Debug, Args)]
#[command(visible_alias = "metrics")]
#[command(after_help = "Examples:\n  queuectl stats\n  queuectl stats --window 24h --queue mail\n  \
    queuectl stats --json")]
pub struct Arguments {
    /// How far back
    #[arg(long, short, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    window: Duration,
    /// Of this queue only
    #[arg(long, short)]
    queue: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    if arguments.window.is_zero() {
        return Err(Failure::usage("a window of no time has nothing in it").hint("--window 10m, for example"));
    }
    let queue = arguments.queue.map(queue_name).transpose()?;
    let view = if let Some(client) = place.open_existing().await? {
        client.stats(arguments.window, queue.as_ref()).await?
    } else {
        let now = now();
        StatsGatherer::new(now.before(arguments.window), now).view(queue.map(|queue| queue.to_string()))
    };
    if arguments.json {
        print_line(&to_line(&view))?;
    } else {
        print(&render(&view))?;
    }
    Ok(Exit::Done)
}

/// Where no store has a clock.
#[expect(clippy::disallowed_methods, reason = "there is no store yet whose clock could be asked")]
fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

fn render(view: &StatsView) -> String {
    let total = &view.total;
    let mut text = format!(
        "From {} to {}{}\n\n{} attempts, {}/s   {}\n",
        view.from,
        view.to,
        view.queue.as_ref().map(|queue| format!(", queue {queue}")).unwrap_or_default(),
        total.attempts,
        total.attempts_per_second.0,
        sparkline(&view.course)
    );
    text.push_str(&format!(
        "Jobs: {} completed, {} dead, {} cancelled. Attempts: {} failed, {} retries\n\n",
        total.completed, total.dead, total.cancelled, total.failed_attempts, total.retries
    ));
    let row = |name: &str, percentiles: &PercentilesView| {
        let seconds = [&percentiles.p50, &percentiles.p90, &percentiles.p99, &percentiles.max];
        let mut row = vec![name.to_owned()];
        row.extend(seconds.map(|one| one.map_or("-".to_owned(), |seconds| format!("{}s", seconds.0))));
        row
    };
    let times = [row("wait", &total.wait_seconds), row("run", &total.run_seconds)];
    text.push_str(&table(&["TIME", "P50", "P90", "P99", "MAX"], times));
    if !view.failures.is_empty() {
        let rows = view.failures.iter().map(|one| vec![one.what.clone(), one.attempts.to_string()]);
        text.push_str(&format!("\n{}", table(&["FAILURE", "ATTEMPTS"], rows)));
    }
    if view.queues.len() > 1 {
        let rows = view.queues.iter().map(|queue| queue_row(&queue.name, &queue.runs));
        let header = ["QUEUE", "ATTEMPTS", "COMPLETED", "DEAD", "FAILED", "WAIT P50", "RUN P50", "RUN P99"];
        text.push_str(&format!("\n{}", table(&header, rows)));
    }
    text
}

fn queue_row(name: &str, runs: &RunsView) -> Vec<String> {
    let seconds = |one: Option<queuectl::json::Number>| one.map_or("-".to_owned(), |s| format!("{}s", s.0));
    vec![
        name.to_owned(),
        runs.attempts.to_string(),
        runs.completed.to_string(),
        runs.dead.to_string(),
        runs.failed_attempts.to_string(),
        seconds(runs.wait_seconds.p50),
        seconds(runs.run_seconds.p50),
        seconds(runs.run_seconds.p99),
    ]
}

/// The course of a figure in one line.
fn sparkline(course: &[u64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = course.iter().copied().max().unwrap_or_default().max(1);
    let level = |count: u64| match count {
        0 => ' ',
        count => LEVELS[((count * LEVELS.len() as u64).div_ceil(most) as usize).clamp(1, LEVELS.len()) - 1],
    };
    course.iter().map(|count| level(*count)).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_goes_from_the_lowest_to_the_highest() {
        assert_eq!(sparkline(&[0, 1, 4, 8, 0]), " ▁▄█");
        assert_eq!(sparkline(&[0, 0]), "");
        assert_eq!(sparkline(&[u64::MAX / 8]), "█");
    }
}
