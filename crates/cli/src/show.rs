//! `show`: everything there is to know of one job.

use clap::Args;
use queuectl::json::to_line;
use queuectl::view::{AttemptView, JobDetailView, OutputView};

use crate::color;
use crate::exit::Outcome;
use crate::place::Place;
use crate::target::{Target, each, store_with_jobs};
use crate::terminal::clean;

/// Everything about a job
#[derive(Debug, Args)]
#[command(visible_aliases = ["get", "info", "inspect"])]
#[command(after_help = "Examples:\n  queuectl show job1\n  queuectl show last --json")]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// One JSON object; an array of several
    #[arg(long)]
    json: bool,
}

pub async fn run(place: &Place, arguments: Arguments) -> Outcome {
    let client = store_with_jobs(place).await?;
    client.settle_dead().await;
    let ids = arguments.target.resolve(&client).await?;
    each(&client, &ids, arguments.json, async |job| {
        let view = JobDetailView::new(job, &client.attempts(&job.id).await?, client.now().await?);
        if arguments.json {
            return Ok(to_line(&view));
        }
        let mut text = render(&view, color::on_stdout());
        if !job.state.is_terminal() {
            let reasons = client.explain(job).await?.reasons;
            let reasons: Vec<String> = reasons.iter().map(|reason| clean(&reason.message)).collect();
            text.push_str(&format!("\n{}\n", reasons.join("\n")));
        }
        Ok(text)
    })
    .await
}

/// Every field that says something, one a line, then the attempts.
pub fn render(view: &JobDetailView, colours: bool) -> String {
    let job = &view.job;
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("{:<15}{}\n", format!("{name}:"), clean(&value)));
        }
    };
    line("id", Some(job.id.clone()));
    line("state", Some(job.state.to_owned()));
    line("command", job.command.clone());
    line("queue", Some(job.queue.clone()));
    line("priority", Some(job.priority.to_string()));
    line("attempts", Some(format!("{} of {}", job.attempts, job.max_retries.max(1))));
    line("last error", job.last_error.clone());
    line("exit code", job.exit_code.map(|code| code.to_string()));
    line("next retry", job.next_retry_at.clone());
    line("run at", job.run_at.clone());
    line("created", Some(job.created_at.clone()));
    line("updated", Some(job.updated_at.clone()));
    line("started", job.started_at.clone());
    line("completed", job.completed_at.clone());
    line("worker", job.worker_id.clone());
    line("directory", view.dir.clone());
    line("stdin", view.stdin.clone());
    line("environment", Some(view.env.join(" ")));
    let tags = job.tags.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    line("tags", Some(tags.collect::<Vec<_>>().join(" ")));
    line(
        "backoff",
        Some(format!("{}, base {}, at most {}s", view.backoff, job.backoff_base.0, view.backoff_max.0)),
    );
    line("timeout", job.timeout.map(|seconds| format!("{}s", seconds.0)));
    if job.interruptions > 0 {
        line("interruptions", Some(format!("{} of {}", job.interruptions, view.crash_limit)));
    }
    if !view.attempts_log.is_empty() {
        text.push('\n');
        text.push_str(&crate::render::plain_table(
            colours,
            &["ATTEMPT", "STARTED", "TIME", "OUTCOME", "CPU", "MEMORY", "OUT", "ERR", "WORKER"],
            view.attempts_log.iter().map(attempt_row),
        ));
    }
    text
}

/// One attempt on a line.
fn attempt_row(attempt: &AttemptView) -> Vec<String> {
    let outcome = match (attempt.exit_code, attempt.signal, &attempt.error) {
        (_, Some(signal), _) => format!("{} by signal {signal}", attempt.outcome),
        (_, _, Some(error)) => format!("{}: {}", attempt.outcome, clean(error)),
        (Some(code), ..) => format!("{} with {code}", attempt.outcome),
        _ => attempt.outcome.to_owned(),
    };
    let charged = if attempt.charged { "" } else { " (not charged)" };
    let leftovers = match attempt.leftovers_killed {
        0 => String::new(),
        killed => format!(", {killed} left over and killed"),
    };
    let printed = |output: &OutputView| match output.dropped {
        0 => output.bytes.to_string(),
        dropped => format!("{} ({dropped} dropped)", output.bytes),
    };
    vec![
        attempt.number.to_string(),
        attempt.started_at.clone().unwrap_or_else(|| "-".to_owned()),
        attempt.duration.map_or("-".to_owned(), |seconds| format!("{}s", seconds.0)),
        format!("{outcome}{charged}{leftovers}"),
        format!("{:.2}s", attempt.cpu_user.0 + attempt.cpu_system.0),
        format!("{}K", attempt.max_rss_kib),
        printed(&attempt.stdout),
        printed(&attempt.stderr),
        attempt.worker_id.clone().unwrap_or_default(),
    ]
}
