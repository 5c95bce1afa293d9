//! For tests: what SQLite does for an operation, in steps of its machine. However busy a computer is, it does not change
//! them, and a look at rows that do not matter shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

/// What the operation returned, and how many steps it took.
pub fn steps<T>(connection: &mut Connection, operation: impl FnOnce(&Connection) -> T) -> (T, usize) {
    let ticks = Arc::new(AtomicUsize::new(0));
    let counter = ticks.clone();
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).expect("hooked");
    let done = operation(connection);
    connection.progress_handler(0, None::<fn() -> bool>).expect("unhooked");
    (done, ticks.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queuectl_core::id::JobId;
    use queuectl_core::job::{Due, JobSpec, NewJob};
    use queuectl_core::outcome::{Outcome, Output, Usage};
    use queuectl_core::settle::{Tally, decide};
    use queuectl_core::store::{AttemptRecord, Claim, ExchangeRequest, RetryScope, Settle, Take};
    use queuectl_core::time::Timestamp;

    use super::*;
    use crate::exchange::{exchange, peek};
    use crate::insert::insert_all;
    use crate::jobs::{cancel, counts, delete_one, find, retry};
    use crate::schema;
    use crate::writer::Rings;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// A store with so many jobs of each kind: finished, dead, ready in another order, delayed.
    fn aged(jobs: usize) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("opened");
        schema::create(&connection, &path).expect("made");
        connection
            .execute_batch(&format!(
                "BEGIN;
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs}),
                   kinds (state, ready, due, ended) AS (VALUES ('completed', 0, 1, 9), ('dead', 0, 1, 9),
                     ('pending', 1, 1, NULL), ('pending', 0, 9000000, NULL))
                 INSERT INTO job (id, generated, kind, queue, priority, state, ready, retrying, due_at, created_at,
                                  updated_at, completed_at, spec)
                   SELECT state || ready || '-' || i, 0, 'command', 'default', -1, state, ready, 0, due, 1, 1, ended, '{{}}'
                   FROM n, kinds;
                 INSERT INTO attempt (job, number, incarnation, claim, ended_at, outcome, charged, cpu_user_ms,
                                      cpu_system_ms, max_rss_kib, leftovers_killed)
                   SELECT seq, 1, 1, seq, 9, 'exited', 1, 0, 0, 0, 0 FROM job WHERE completed_at IS NOT NULL;
                 INSERT INTO queue (name) VALUES ('default') ON CONFLICT DO NOTHING;
                 COMMIT"
            ))
            .expect("filled");
        (dir, connection)
    }

    fn request(want: usize, settles: Vec<Settle>) -> ExchangeRequest {
        ExchangeRequest {
            worker: "w".to_owned(),
            owner: "k".to_owned(),
            settles,
            releases: Vec::new(),
            want,
            take: Take { kinds: vec!["command".to_owned()], ..Take::default() },
            drain: true,
            settings_seen: 0,
        }
    }

    fn settle(claim: &Claim, code: i32) -> Settle {
        let outcome = Outcome::Exited { code };
        let tally = Tally { attempts: claim.job.attempts, interruptions: claim.job.interruptions };
        let attempt = AttemptRecord {
            started_ago: Some(Duration::from_secs(1)),
            ended_ago: Duration::ZERO,
            outcome: outcome.clone(),
            usage: Usage::default(),
            stdout: Output::default(),
            stderr: Output::default(),
            leftovers_killed: 0,
        };
        let patch = decide(&claim.job.spec, tally, &outcome, "", 0);
        Settle { claim: claim.token, patch, attempt, inserts: Vec::new() }
    }

    /// The steps of what is done all the time, by name.
    fn efforts(jobs: usize) -> Vec<(&'static str, usize)> {
        let (_dir, mut store) = aged(jobs);
        let spec = JobSpec { kind: "command".to_owned(), ..JobSpec::default() };
        let new =
            [NewJob { id: JobId::from_store("mine".to_owned()), generated: false, spec, due: Due::Now }];
        let swap = |request: ExchangeRequest| {
            move |store: &Connection| {
                exchange(store, &request, NOW, &mut Rings::default()).expect("exchanged").claims
            }
        };
        let mine = &new[0].id;
        let mut efforts = Vec::new();
        let (found, taken) = steps(&mut store, |store| insert_all(store, &new, NOW).expect("in"));
        assert_eq!(found, None);
        efforts.push(("enqueue", taken));
        let look = request(1, Vec::new());
        efforts.push(("peek", steps(&mut store, |store| peek(store, &look, NOW).expect("read")).1));
        let (claims, taken) = steps(&mut store, swap(request(1, Vec::new())));
        assert_eq!(claims[0].job.id, *mine);
        efforts.push(("claim", taken));
        efforts.push(("fail", steps(&mut store, swap(request(0, vec![settle(&claims[0], 1)]))).1));
        let bring = |store: &Connection| retry(store, mine, RetryScope::Any, NOW).expect("brought back");
        efforts.push(("retry", steps(&mut store, bring).1));
        let claims = swap(request(1, Vec::new()))(&store);
        efforts.push(("complete", steps(&mut store, swap(request(0, vec![settle(&claims[0], 0)]))).1));
        efforts.push(("revive", steps(&mut store, bring).1));
        efforts.push(("cancel", steps(&mut store, |store| cancel(store, mine, NOW).expect("done")).1));
        efforts.push(("count", steps(&mut store, |store| counts(store, NOW).expect("read")).1));
        let seq = find(&store, mine).expect("read").expect("there").job().expect("a job").seq;
        let delete = |store: &Connection| delete_one(store, seq, None, &mut Vec::new()).expect("gone");
        efforts.push(("delete", steps(&mut store, delete).1));
        efforts
    }

    #[test]
    fn what_is_done_all_the_time_costs_the_same_in_an_old_store() {
        for ((name, young), (_, old)) in efforts(20).into_iter().zip(efforts(2_000)) {
            assert!(young > 0 && old <= young + 50, "{name}: {old} steps, {young} in a young store");
        }
    }
}
