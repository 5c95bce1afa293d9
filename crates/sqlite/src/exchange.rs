//! The exchange: one transaction, one sync.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use queuectl_core::limits::PROMOTE_MAX;
use queuectl_core::settings::Settings;
use queuectl_core::store::{
    Claim, Exchange, ExchangeReply, ExchangeRequest, Settle, Settled, StopMode, StoreResult, Take,
};
use queuectl_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::failure::{Failure, damaged};
use crate::open::SqliteStore;
use crate::rows::{processing, token};
use crate::schema;
use crate::settings::load_settings;
use crate::settle::{release_one, settle_one};
use crate::waiting;
use crate::writer::{Rings, Verdict};
use crate::{batches, lanes, line, take};

#[async_trait]
impl Exchange for SqliteStore {
    async fn exchange(&self, request: ExchangeRequest) -> StoreResult<ExchangeReply> {
        let only_claims = request.settles.is_empty() && request.releases.is_empty();
        // Who found work when it last asked for some is most likely to be asking because there is more.
        if only_claims && !(request.want > 0 && self.lucky.load(Ordering::Relaxed)) {
            let glance = self.glance(|connection| peek(connection, &request, self.clock.now()));
            let reply = if let Some(reply) = glance {
                reply
            } else {
                let (peeked, clock) = (request.clone(), self.clock.clone());
                self.read(move |connection| peek(connection, &peeked, clock.now())).await?
            };
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
        let clock = self.clock.clone();
        let reply = self
            .write(move |connection, rings| {
                Ok(Verdict::Keep(exchange(connection, &request, clock.now(), rings)?))
            })
            .await?;
        if only_claims {
            self.lucky.store(!reply.claims.is_empty(), Ordering::Relaxed);
        }
        Ok(reply)
    }

    async fn claims_of(&self, owner: &str) -> StoreResult<Vec<Claim>> {
        let owner = owner.to_owned();
        self.read(move |connection| {
            let jobs = processing(connection, Some(&owner))?;
            let claim = |job: queuectl_core::job::Job| Claim {
                token: job.claim.expect("it is processing"),
                attempt: job.runs + 1,
                job,
            };
            Ok(jobs.into_iter().map(claim).collect())
        })
        .await
    }

    async fn owners(&self) -> StoreResult<Vec<String>> {
        self.read(|connection| {
                let mut statement = connection.prepare_cached(
                    "-- exchange_owners
                     SELECT DISTINCT owner FROM job WHERE state = 'processing' AND owner IS NOT NULL ORDER BY owner",
                )?;
                let owners = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(owners)
            })
            .await
    }
}

/// The reply of an exchange that has nothing to write; `None` if it has.
pub fn peek(
    connection: &Connection,
    request: &ExchangeRequest,
    now: Timestamp,
) -> Result<Option<ExchangeReply>, Failure> {
    schema::check_writer(connection)?;
    let next_due = waiting::next_due(connection, &request.take)?;
    if request.want > 0 && has_work(connection, &request.take, next_due, now)? {
        return Ok(None);
    }
    words_for(connection, request, next_due, now).map(Some)
}

/// A claim would find something, or something is to be promoted.
fn has_work(
    connection: &Connection,
    take: &Take,
    next_due: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, Failure> {
    let promotes = || -> Result<bool, Failure> {
        let due = next_due.is_some_and(|due| due <= now);
        Ok(take.only.is_none() && (due || !batches::opened(connection)?.is_empty()))
    };
    Ok(promotes()? || !take::next(connection, take, 1, now)?.is_empty())
}

/// One exchange, inside of a transaction.
pub fn exchange(
    connection: &Connection,
    request: &ExchangeRequest,
    now: Timestamp,
    rings: &mut Rings,
) -> Result<ExchangeReply, Failure> {
    let mut freed = Freed::default();
    let settled = settle_all(connection, &request.settles, now, rings, &mut freed)?;
    for claim in &request.releases {
        if let Some(queue) = release_one(connection, *claim, now)? {
            rings.work = true;
            freed.add(queue);
        }
    }
    let mut claims = Vec::new();
    if request.want > 0 {
        if request.take.only.is_none() {
            batches::promote(connection, PROMOTE_MAX, now)?;
            waiting::promote(connection, now)?;
        }
        let taken = take::claim(connection, request, now)?;
        claims = taken.claims;
        rings.asker_stays = !claims.is_empty();
        // Whoever follows a job wants to hear that it runs.
        rings.outcome |= !claims.is_empty() || taken.buried > 0;
        // Others may wait behind what was not handed out: this worker is to look again.
        rings.work |= taken.buried > 0;
    }
    // Whoever else waits for room under a limit would find it only with its next look.
    rings.work |= freed.has_new_room(connection)?;
    let next_due = waiting::next_due(connection, &request.take)?;
    let words = words_for(connection, request, next_due, now)?;
    Ok(ExchangeReply { claims, settled, ..words })
}

/// The queues in which runs have ended, and how many in each.
#[derive(Default)]
struct Freed(HashMap<String, usize>);

impl Freed {
    fn add(&mut self, queue: String) {
        *self.0.entry(queue).or_default() += 1;
    }

    /// Jobs wait in one of them for room under a limit that was used up before.
    fn has_new_room(&self, connection: &Connection) -> Result<bool, Failure> {
        for (queue, ended) in &self.0 {
            if (1..=*ended).contains(&lanes::room(connection, queue)?)
                && line::is_ready_in(connection, queue)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// All settles in one savepoint; should the store not take one of them, each anew in its own.
fn settle_all(
    connection: &Connection,
    settles: &[Settle],
    now: Timestamp,
    rings: &mut Rings,
    freed: &mut Freed,
) -> Result<Vec<Settled>, Failure> {
    let one = |settle: &Settle| settle_one(connection, settle, now);
    let together = savepoint(connection, || settles.iter().map(one).collect::<Result<Vec<_>, _>>())?;
    let results: Vec<Result<Option<String>, String>> = if let Ok(queues) = together {
        queues.into_iter().map(Ok).collect()
    } else {
        let alone = |settle: &Settle| savepoint(connection, || one(settle));
        settles.iter().map(alone).collect::<Result<_, _>>()?
    };
    let told = settles.iter().zip(results).map(|(settle, result)| match result {
        Ok(Some(queue)) => {
            freed.add(queue);
            rings.outcome = true;
            rings.work |= !settle.inserts.is_empty() || returns(settle);
            Settled::Done
        }
        Ok(None) => Settled::Lost,
        Err(why) => Settled::Refused(why),
    });
    Ok(told.collect())
}

/// What fails inside of a savepoint is undone, and why it failed is the answer.
fn savepoint<T>(
    connection: &Connection,
    run: impl FnOnce() -> Result<T, Failure>,
) -> Result<Result<T, String>, Failure> {
    let does = |sql| connection.prepare_cached(sql)?.execute([]);
    does("SAVEPOINT settle")?;
    match run() {
        Ok(done) => {
            does("RELEASE settle")?;
            Ok(Ok(done))
        }
        // The whole transaction is gone with it: a full disk, for example.
        Err(failure) if connection.is_autocommit() => Err(failure),
        Err(failure) => {
            does("ROLLBACK TO settle")?;
            does("RELEASE settle")?;
            Ok(Err(failure.0.to_string()))
        }
    }
}

/// The job goes back to be run by anyone, now.
fn returns(settle: &Settle) -> bool {
    settle.patch.event == queuectl_core::state::Event::Interrupt
}

/// What the reply says besides settles and claims: cancels, stop, drained, the next due time, newer settings.
fn words_for(
    connection: &Connection,
    request: &ExchangeRequest,
    next_due: Option<Timestamp>,
    now: Timestamp,
) -> Result<ExchangeReply, Failure> {
    let settings = load_settings(connection, Some(request.settings_seen))?;
    Ok(ExchangeReply {
        claims: Vec::new(),
        settled: Vec::new(),
        cancels: cancels(connection, &request.owner)?,
        stop: stop(connection, &request.worker)?,
        paused: crate::queues::paused(connection)?,
        drained: request.drain && waiting::is_drained(connection, &request.take, now)?,
        next_due: next_due.map(|due| due.since(now)),
        settings: settings.filter(|settings: &Settings| settings.version != request.settings_seen),
    })
}

fn cancels(connection: &Connection, owner: &str) -> Result<Vec<queuectl_core::claim::ClaimToken>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- exchange_cancels
         SELECT incarnation, claim FROM job INDEXED BY job_cancel
         WHERE cancel_requested = 1 AND state = 'processing' AND owner = ?",
    )?;
    let cancels = statement.query_map([owner], |row| Ok(token(row.get(0)?, row.get(1)?)))?;
    Ok(cancels.collect::<Result<_, _>>()?)
}

fn stop(connection: &Connection, worker: &str) -> Result<Option<StopMode>, Failure> {
    let mut statement = connection.prepare_cached(
        "-- exchange_stop
         SELECT stop FROM worker WHERE id = ?",
    )?;
    let stop: Option<Option<String>> = statement.query_row([worker], |row| row.get(0)).optional()?;
    stop.flatten()
        .map(|name| crate::workers::stop_mode(&name).ok_or_else(|| damaged("unknown stop mode")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use queuectl_core::store::StoreError;
    use queuectl_testing::given::{Turn, exited, job, outcome};

    use super::*;
    use crate::insert::insert_all;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn store() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("queue.db");
        let connection = Connection::open(&path).expect("opened");
        schema::create(&connection, &path).expect("made");
        (dir, connection)
    }

    /// How many jobs a worker that wants one is given, and who hears of it.
    fn claim(store: &Connection) -> (usize, Rings) {
        let mut rings = Rings::default();
        let reply = exchange(store, &Turn::of("w").want(1).request(), NOW, &mut rings).expect("exchanged");
        (reply.claims.len(), rings)
    }

    #[test]
    fn who_is_given_a_job_has_his_answer_before_the_bell() {
        let (_dir, store) = store();
        insert_all(&store, &[job("a")], NOW).expect("in");
        let (given, rings) = claim(&store);
        assert_eq!((given, rings.asker_stays, rings.outcome, rings.work), (1, true, true, false));
        let (given, rings) = claim(&store);
        assert_eq!((given, rings.asker_stays, rings.outcome, rings.work), (0, false, false, false));
    }

    #[test]
    fn a_damaged_job_ends_before_its_followers_and_has_workers_look_behind_it() {
        let (_dir, store) = store();
        insert_all(&store, &[job("damaged")], NOW).expect("in");
        store.execute("UPDATE job SET kind = 'another'", []).expect("altered");
        let (given, rings) = claim(&store);
        assert_eq!((given, rings.outcome, rings.work), (0, true, true));
    }

    /// Its statement leaves what it has changed (OR FAIL) when the count behind it fails.
    #[test]
    fn a_settle_that_cannot_be_counted_changes_nothing() {
        let (_dir, store) = store();
        insert_all(&store, &[job("a")], NOW).expect("in");
        let mut rings = Rings::default();
        let reply = exchange(&store, &Turn::of("w").want(1).request(), NOW, &mut rings).expect("exchanged");
        store.execute("UPDATE counts SET n = 0", []).expect("miscounted");
        let request = Turn::of("w").settle(outcome(&reply.claims[0], exited(0))).request();
        store.execute_batch("BEGIN").expect("begun");
        let reply = exchange(&store, &request, NOW, &mut rings).expect("exchanged");
        store.execute_batch("COMMIT").expect("kept");
        assert!(matches!(&reply.settled[..], [Settled::Refused(_)]), "{:?}", reply.settled);
        let state: String = store.query_row("SELECT state FROM job", [], |row| row.get(0)).expect("there");
        assert_eq!(state, "processing");
    }

    #[test]
    fn what_took_the_transaction_with_it_is_the_error() {
        let (_dir, store) = store();
        store.execute_batch("BEGIN").expect("begun");
        // As SQLite does by itself when the disk is full.
        let run = || {
            store.execute_batch("ROLLBACK")?;
            Err::<(), _>(Failure(StoreError::Damaged { what: "the cause".to_owned() }))
        };
        let error = savepoint(&store, run).expect_err("nothing is left to go on with").0;
        assert!(matches!(&error, StoreError::Damaged { what } if what == "the cause"), "{error}");
    }
}
