//! Which jobs a filter means: a page of them, or those to be deleted.
//!
//! A listing reads the jobs of a state, or of a queue, in their order, whichever are fewer as the counts have it: it does
//! not look through the history of others. Only tags are in no index.

use queuectl_core::id::JobId;
use queuectl_core::job::Job;
use queuectl_core::limits::PAGE_ROWS_MAX;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::queue::QueueName;
use queuectl_core::state::{Shown, State};
use queuectl_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::batches::IS_THERE;
use crate::failure::Failure;
use crate::rows::{JOB_COLUMNS, RawJob, raw_job};

/// One page of the jobs that the filter means, by `seq`.
pub fn list(
    connection: &Connection,
    filter: &Filter,
    page: Page,
    now: Timestamp,
) -> Result<Vec<Job>, Failure> {
    let (mut conditions, mut values) = conditions(filter, now);
    let (beyond, order) = match page.order {
        Order::OldestFirst => ("seq > ?", "ASC"),
        Order::NewestFirst => ("seq < ?", "DESC"),
    };
    if let Some(after) = page.after {
        conditions.push(beyond.to_owned());
        values.push(after.into());
    }
    values.push((page.rows.min(PAGE_ROWS_MAX) as i64).into());
    let mut statement = connection.prepare_cached(&format!(
        "-- job_list
         SELECT {JOB_COLUMNS} FROM job {} WHERE {} ORDER BY seq {order} LIMIT ?",
        Way::of(connection, filter)?.hint(),
        conditions.join(" AND ")
    ))?;
    let raw: Vec<RawJob> =
        statement.query_map(params_from_iter(values), raw_job)?.collect::<Result<_, _>>()?;
    raw.into_iter().map(RawJob::job).collect()
}

/// Up to `limit` jobs that the filter means and that do not run, with the rows of their environments.
pub fn deletable(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(i64, JobId, Option<i64>)>, Failure> {
    let (conditions, mut values) = conditions(filter, now);
    values.push((limit as i64).into());
    let way = Way::of(connection, filter)?;
    // Of those that ended before an instant, the index of ends tells which: nobody looks at what is to be kept.
    let (hint, order) = match way {
        Way::State if filter.ended_before.is_some() => ("INDEXED BY job_ended", "completed_at"),
        _ => (way.hint(), "seq"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "-- job_deletable
         SELECT seq, id, environment FROM job {hint} WHERE state != 'processing' AND {} ORDER BY {order} LIMIT ?",
        conditions.join(" AND ")
    ))?;
    let found = statement
        .query_map(params_from_iter(values), |row| {
            Ok((row.get(0)?, JobId::from_store(row.get(1)?), row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Along which index the jobs of a filter are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    All,
    State,
    Failed,
    Queue,
}

impl Way {
    fn of(connection: &Connection, filter: &Filter) -> Result<Way, Failure> {
        Ok(match (filter.shown, &filter.queue) {
            (None, None) => Way::All,
            (None, Some(_)) => Way::Queue,
            (Some(Shown::Failed), _) => Way::Failed,
            (Some(shown), Some(queue)) if has_fewer(connection, queue, shown.stored())? => Way::Queue,
            (Some(_), _) => Way::State,
        })
    }

    fn hint(self) -> &'static str {
        match self {
            Way::All => "NOT INDEXED",
            Way::State => "INDEXED BY job_state",
            Way::Failed => "INDEXED BY job_failed",
            Way::Queue => "INDEXED BY job_queue",
        }
    }
}

/// The queue has fewer jobs than the state.
fn has_fewer(connection: &Connection, queue: &QueueName, state: State) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached(
            "-- listing_has_fewer
             SELECT (SELECT coalesce(sum(n), 0) FROM counts WHERE queue = ?)
                  < (SELECT coalesce(sum(n), 0) FROM counts WHERE state = ?)",
        )?
        .query_row((queue.as_str(), state.as_str()), |row| row.get(0))?)
}

/// A filter as SQL conditions, at least one, and their values in order.
fn conditions(filter: &Filter, now: Timestamp) -> (Vec<String>, Vec<Value>) {
    let mut conditions = vec![IS_THERE.to_owned()];
    let mut values: Vec<Value> = Vec::new();
    if let Some(shown) = filter.shown {
        // In words, not as a value: an index of some jobs serves only who is seen to ask for no others.
        conditions.push(format!("state = '{}'", shown.stored().as_str()));
        match shown {
            Shown::Failed => conditions.push("retrying = 1 AND due_at > ?".to_owned()),
            Shown::Pending => conditions.push("NOT (retrying = 1 AND due_at > ?)".to_owned()),
            _ => {}
        }
        if shown.stored() == State::Pending {
            values.push(now.millis().into());
        }
    }
    if let Some(queue) = &filter.queue {
        conditions.push("queue = ?".to_owned());
        values.push(queue.as_str().to_owned().into());
    }
    for (key, value) in &filter.tags {
        conditions.push(
            "EXISTS (SELECT 1 FROM json_each(spec, '$.tags') AS tag WHERE tag.key = ? AND tag.value = ?)"
                .to_owned(),
        );
        values.push(key.clone().into());
        values.push(value.clone().into());
    }
    if let Some(before) = filter.ended_before {
        conditions.push("completed_at < ?".to_owned());
        values.push(before.millis().into());
    }
    (conditions, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::steps;
    use crate::schema;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn queue(name: &str) -> QueueName {
        QueueName::new(name.to_owned()).expect("a name")
    }

    /// Ten jobs in the queue `mine`, a few of each kind, and then so many in another of each kind.
    fn filled(others: usize) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("opened");
        schema::create(&connection, &path).expect("made");
        connection.execute_batch("BEGIN").expect("begun");
        let add = |id: String, queue: &str, state: &str, retrying: bool| {
            let ended = matches!(state, "completed" | "dead").then_some(NOW.millis() - 9);
            connection
                .prepare_cached(
                    "INSERT INTO job (id, generated, kind, queue, priority, state, ready, retrying, due_at,
                                      created_at, updated_at, completed_at, spec)
                     VALUES (?, 0, 'command', ?, 0, ?, 0, ?, ?, 0, 0, ?, '{}')",
                )
                .expect("valid")
                .execute((id, queue, state, retrying, NOW.millis() + 1, ended))
                .expect("in");
        };
        for n in 0..2 {
            for (state, retrying) in [("completed", false), ("dead", false), ("pending", true)] {
                add(format!("mine-{state}-{n}"), "mine", state, retrying);
            }
        }
        for n in 0..others {
            for state in ["completed", "dead", "pending"] {
                add(format!("other-{state}-{n}"), "other", state, false);
            }
        }
        connection.execute_batch("COMMIT").expect("done");
        (dir, connection)
    }

    /// Filters that mean two jobs, or some that are met first.
    fn filters() -> Vec<Filter> {
        let of = |shown, queue| Filter { shown, queue, ..Filter::default() };
        vec![
            of(None, None),
            of(None, Some(queue("mine"))),
            of(Some(Shown::Dead), None),
            of(Some(Shown::Failed), None),
            of(Some(Shown::Failed), Some(queue("mine"))),
            of(Some(Shown::Dead), Some(queue("mine"))),
            of(Some(Shown::Completed), Some(queue("mine"))),
        ]
    }

    #[test]
    fn a_page_costs_the_same_whatever_else_there_is() {
        let (_young_dir, mut young) = filled(20);
        let (_old_dir, mut old) = filled(2_000);
        for filter in filters() {
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let page = Page { order, after: None, rows: 5 };
                let look = |connection: &Connection| list(connection, &filter, page, NOW).expect("read");
                let (few, alone) = steps(&mut young, look);
                let (many, among) = steps(&mut old, look);
                assert!(!few.is_empty() && few.len() == many.len(), "{filter:?}: {few:?}, {many:?}");
                assert!(among <= alone + 50, "{filter:?}, {order:?}: {among} steps against {alone}");
            }
        }
    }

    #[test]
    fn what_is_to_be_deleted_is_found_whatever_else_there_is() {
        let (_young_dir, mut young) = filled(20);
        let (_old_dir, mut old) = filled(2_000);
        for ended_before in [None, Some(NOW)] {
            for filter in filters().into_iter().filter(|filter| filter.shown != Some(Shown::Failed)) {
                let filter = Filter { ended_before, ..filter };
                if filter.shown.is_none() && ended_before.is_some() {
                    continue;
                }
                let look = |connection: &Connection| deletable(connection, &filter, 2, NOW).expect("read");
                let (few, alone) = steps(&mut young, look);
                let (many, among) = steps(&mut old, look);
                assert!(few.len() == 2 && many.len() == 2, "{filter:?}: {few:?}, {many:?}");
                assert!(among <= alone + 50, "{filter:?}: {among} steps against {alone}");
            }
        }
    }
}
