//! The line: ready jobs in the order of claims, which is told here alone: priority (higher first), then due time, then
//! age, over all open queues together.
//!
//! Whoever is first in the index of all ready jobs is next, whatever waits behind. Only if many of those in front are in
//! queues that are closed to the worker (paused, not taken, at their limit) does each open queue name its own first.

use std::cmp::Reverse;

use queuectl_core::store::Take;
use rusqlite::{Connection, params_from_iter};

use crate::failure::Failure;
use crate::lanes::{Lanes, open_queues};

/// Jobs of closed queues that are looked past, besides one for each job that is found.
const LOOKED_PAST_MAX: usize = 32;

/// The rows of up to `want` jobs that the worker is to claim next, in order.
pub fn first(connection: &Connection, take: &Take, want: usize) -> Result<Vec<i64>, Failure> {
    let kinds = kinds(connection, take)?;
    if want == 0 || kinds.is_empty() {
        return Ok(Vec::new());
    }
    match first_of_all(connection, take, &kinds, want)? {
        Some(found) => Ok(found),
        None => first_of_each(connection, take, &kinds, want),
    }
}

/// Something is ready in a queue that is open to the worker, whether or not it has room.
pub fn is_any_ready(connection: &Connection, take: &Take) -> Result<bool, Failure> {
    let kinds = kinds(connection, take)?;
    if kinds.is_empty() {
        return Ok(false);
    }
    let lanes = Lanes::new(connection, take);
    let mut statement = connection.prepare_cached(&line_sql(kinds.len()))?;
    let mut rows = statement.query(params_from_iter(&kinds))?;
    for _ in 0..LOOKED_PAST_MAX {
        let Some(row) = rows.next()? else { return Ok(false) };
        if lanes.is_open(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)? {
            return Ok(true);
        }
    }
    for queue in open_queues(connection, take)?.iter().filter(|queue| queue.ready > 0) {
        for kind in &kinds {
            if !of_queue(connection, &queue.name, kind, 1)?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Something is ready in this queue.
pub fn is_ready_in(connection: &Connection, queue: &str) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached(
            "-- line_is_ready_in
             SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_ready WHERE ready = 1 AND queue = ?)",
        )?
        .query_row([queue], |row| row.get(0))?)
}

/// Looks from the front of the line; `None` if too many there are not for this worker.
fn first_of_all(
    connection: &Connection,
    take: &Take,
    kinds: &[String],
    want: usize,
) -> Result<Option<Vec<i64>>, Failure> {
    let mut lanes = Lanes::new(connection, take);
    let mut statement = connection.prepare_cached(&line_sql(kinds.len()))?;
    let mut rows = statement.query(params_from_iter(kinds))?;
    let (mut found, mut passed) = (Vec::new(), 0);
    while found.len() < want {
        let Some(row) = rows.next()? else { break };
        let room = lanes.room(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)?;
        if *room > 0 {
            *room -= 1;
            found.push(row.get(0)?);
        } else if passed >= LOOKED_PAST_MAX + found.len() {
            return Ok(None);
        } else {
            passed += 1;
        }
    }
    Ok(Some(found))
}

/// All ready jobs of so many kinds, in order: one index, walked once for each kind and merged.
fn line_sql(kinds: usize) -> String {
    let of_a_kind =
        "SELECT seq, priority, due_at, queue FROM job INDEXED BY job_first WHERE ready = 1 AND kind = ?";
    let all = vec![of_a_kind; kinds].join(" UNION ALL ");
    format!("-- line_first\n{all} ORDER BY 2 DESC, 3, 1")
}

struct Candidate {
    seq: i64,
    priority: i32,
    due_at: i64,
}

/// Lets each open queue name its first, and takes the first of those.
fn first_of_each(
    connection: &Connection,
    take: &Take,
    kinds: &[String],
    want: usize,
) -> Result<Vec<i64>, Failure> {
    let mut lanes = Lanes::new(connection, take);
    let mut found = Vec::new();
    for queue in open_queues(connection, take)?.iter().filter(|queue| queue.ready > 0) {
        let room = want.min(*lanes.room(&queue.name)?);
        let mut here = Vec::new();
        for kind in kinds {
            here.extend(of_queue(connection, &queue.name, kind, room)?);
        }
        in_order(&mut here);
        here.truncate(room);
        found.append(&mut here);
    }
    in_order(&mut found);
    Ok(found.iter().take(want).map(|one| one.seq).collect())
}

fn in_order(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|one| (Reverse(one.priority), one.due_at, one.seq));
}

fn of_queue(
    connection: &Connection,
    queue: &str,
    kind: &str,
    limit: usize,
) -> Result<Vec<Candidate>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- line_of_queue
         SELECT seq, priority, due_at FROM job INDEXED BY job_ready
         WHERE ready = 1 AND queue = ? AND kind = ? ORDER BY priority DESC, due_at, seq LIMIT ?",
    )?;
    let found = statement
        .query_map((queue, kind, limit as i64), |row| {
            Ok(Candidate { seq: row.get(0)?, priority: row.get(1)?, due_at: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// The kinds that the worker runs; if it names none, those that are ready.
fn kinds(connection: &Connection, take: &Take) -> Result<Vec<String>, Failure> {
    if !take.kinds.is_empty() {
        return Ok(take.kinds.clone());
    }
    let mut statement = connection.prepare_cached(
        "-- line_kinds
         WITH RECURSIVE ready (kind) AS (
           SELECT min(kind) FROM job INDEXED BY job_first WHERE ready = 1
           UNION ALL
           SELECT (SELECT min(job.kind) FROM job INDEXED BY job_first WHERE job.ready = 1 AND job.kind > ready.kind)
           FROM ready WHERE ready.kind IS NOT NULL)
         SELECT kind FROM ready WHERE kind IS NOT NULL",
    )?;
    let kinds = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use queuectl_core::id::JobId;
    use queuectl_core::job::{Due, JobSpec, NewJob};
    use queuectl_core::queue::QueueName;
    use queuectl_core::time::Timestamp;
    use queuectl_testing::given::Turn;
    use rusqlite::Connection;

    use super::line_sql;
    use crate::effort;
    use crate::exchange::{exchange, peek};
    use crate::insert::{Inserter, ensure_queue};
    use crate::schema;
    use crate::writer::Rings;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const MANY: i32 = 2_000;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name.to_owned()).expect("a name")
    }

    /// Four jobs to be claimed, and many others that wait.
    fn fill(connection: &Connection, others: impl Fn(i32) -> (QueueName, i32, Due)) {
        let mut inserter = Inserter::new(connection, NOW);
        let mut add = |id: String, queue, priority, due| {
            let spec = JobSpec { kind: "command".to_owned(), queue, priority, ..JobSpec::default() };
            inserter.insert(&NewJob { id: JobId::from_store(id), generated: false, spec, due }).expect("in")
        };
        connection.execute_batch("BEGIN").expect("begun");
        for n in 0..MANY {
            let (queue, priority, due) = others(n);
            add(format!("other-{n}"), queue, priority, due);
        }
        for n in 0..4 {
            add(format!("mine-{n}"), QueueName::default(), 0, Due::Now);
        }
        ensure_queue(connection, &queue("paused")).expect("there");
        connection.execute_batch("UPDATE queue SET paused = 1 WHERE name = 'paused'; COMMIT").expect("done");
    }

    /// What SQLite does for a claim of one job, in steps of its machine, while others wait.
    fn steps(others: impl Fn(i32) -> (QueueName, i32, Due)) -> usize {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let mut connection = Connection::open(&path).expect("opened");
        schema::create(&connection, &path).expect("made");
        fill(&connection, others);
        claim(&connection);
        effort::steps(&mut connection, claim).1
    }

    fn claim(connection: &Connection) {
        let request = Turn::of("w").want(1).kinds(&["command"]).request();
        assert!(peek(connection, &request, NOW).expect("read").is_none());
        let reply = exchange(connection, &request, NOW, &mut Rings::default()).expect("exchanged");
        assert_eq!(reply.claims.len(), 1);
    }

    #[test]
    fn a_claim_costs_the_same_whatever_waits() {
        let alone = steps(|n| (queue("other"), -1 - n % 2, Due::Now));
        let spread = steps(|n| (queue(&format!("q{}", n % 500)), n % 50, Due::Now));
        let delayed = steps(|_| (queue("other"), 99, Due::After(std::time::Duration::from_secs(9))));
        let paused = steps(|_| (queue("paused"), 99, Due::Now));
        assert!(spread <= alone * 11 / 10, "{spread} against {alone}");
        assert!(delayed <= alone * 11 / 10, "{delayed} against {alone}");
        // It looks past a few, twice, before it asks each queue.
        assert!(paused <= alone * 4, "{paused} against {alone}");
    }

    #[test]
    fn the_line_is_walked_in_its_order_whatever_the_kinds() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("opened");
        schema::create(&connection, &path).expect("made");
        for kinds in 1..=3 {
            let mut statement =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", line_sql(kinds))).expect("valid");
            let binds = rusqlite::params_from_iter(vec!["command"; kinds]);
            let plan: Vec<String> = statement
                .query_map(binds, |row| row.get(3))
                .expect("a plan")
                .map(|line| line.expect("text"))
                .collect();
            let plan = plan.join("; ");
            assert_eq!(plan.matches("job_first (kind=?)").count(), kinds, "{plan}");
            assert!(!plan.contains("TEMP B-TREE") && plan.contains("COVERING"), "{plan}");
        }
    }
}
