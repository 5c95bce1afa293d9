//! Attempts: their rows, their numbers, what they printed.

use std::time::Duration;

use queuectl_core::outcome::{Interruption, Outcome, Output, OutputBody, Usage};
use queuectl_core::state::State;
use queuectl_core::store::{Attempt, AttemptRecord, RetryScope, Selection, Settle};

use super::Fixture;
use super::listing::get;
use crate::given::{
    Turn, With, attempt, claim_one, crashed, exited, id, ids, insert, job, outcome, printed, run_one, secs,
};

async fn attempts(f: &dyn Fixture, name: &str) -> Vec<Attempt> {
    f.store().attempts(&id(name), true).await.expect("the store works")
}

pub async fn an_attempt_is_recorded_with_its_settle(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(attempts(f, "a").await, [], "a running attempt has not ended");
    f.advance(secs(10));
    let now = f.store().now().await.expect("the store works");
    let record = AttemptRecord {
        started_ago: Some(secs(8)),
        ended_ago: secs(3),
        usage: Usage {
            cpu_user: Duration::from_millis(12),
            cpu_system: Duration::from_millis(7),
            max_rss_kib: 2048,
        },
        stdout: printed("out\n"),
        stderr: printed("err\n"),
        leftovers_killed: 2,
        ..attempt(exited(3))
    };
    let settle = Settle { attempt: record.clone(), ..outcome(&claim, exited(3)) };
    Turn::of("w").settle(settle).at(f.store()).await;
    let expected = Attempt {
        number: 1,
        claim: claim.token,
        worker: Some("w".to_owned()),
        started_at: Some(now.before(secs(8))),
        ended_at: now.before(secs(3)),
        outcome: exited(3),
        charged: true,
        usage: record.usage,
        stdout: record.stdout,
        stderr: record.stderr,
        leftovers_killed: 2,
    };
    assert_eq!(attempts(f, "a").await, [expected]);
    let read = get(f, "a").await;
    assert_eq!(read.started_at, Some(now.before(secs(8))));
    assert_eq!(read.due_at, now.before(secs(3)).after(secs(2)), "a backoff counts from the attempt's end");
}

pub async fn every_outcome_reads_back(f: &dyn Fixture) {
    let outcomes = [
        exited(0),
        exited(255),
        Outcome::Signaled { signal: 15 },
        Outcome::TimedOut,
        Outcome::CouldNotStart { message: "no such program: ü".to_owned() },
        crashed(),
        Outcome::Interrupted(Interruption::Shutdown),
        Outcome::Interrupted(Interruption::Stop),
        Outcome::Cancelled,
    ];
    for (n, how) in outcomes.into_iter().enumerate() {
        let name = format!("j{n}");
        insert(f.store(), [job(&name).priority(1000 - n as i32)]).await;
        let claim = Turn::of("w").want(1).only(&name).at(f.store()).await.claims.remove(0);
        crate::given::settle(f.store(), &claim, how.clone()).await;
        let read = attempts(f, &name).await;
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].outcome, how);
        assert_eq!(read[0].charged, !matches!(how, Outcome::Interrupted(_) | Outcome::Cancelled), "{how:?}");
    }
}

pub async fn an_attempt_that_never_started_has_no_start(f: &dyn Fixture) {
    insert(f.store(), [job("a").max_retries(1)]).await;
    let claim = claim_one(f.store(), "w").await;
    let how = Outcome::CouldNotStart { message: "nothing there".to_owned() };
    let record = AttemptRecord { started_ago: None, ..attempt(how.clone()) };
    Turn::of("w").settle(Settle { attempt: record, ..outcome(&claim, how) }).at(f.store()).await;
    assert_eq!(attempts(f, "a").await[0].started_at, None);
    let read = get(f, "a").await;
    assert_eq!((read.state, read.exit_code), (State::Dead, Some(127)));
    assert_eq!(read.last_error.as_deref(), Some("could not start: nothing there"));
}

pub async fn outputs_come_only_when_asked_for(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let record = AttemptRecord { stdout: printed("hello"), ..attempt(exited(0)) };
    Turn::of("w").settle(Settle { attempt: record, ..outcome(&claim, exited(0)) }).at(f.store()).await;
    let without = f.store().attempts(&id("a"), false).await.expect("the store works").remove(0);
    assert_eq!(without.stdout.body, OutputBody::Inline(Vec::new()));
    assert_eq!(without.stdout.bytes_total, 5, "what it was is told all the same");
    let with = attempts(f, "a").await.remove(0);
    assert_eq!(with.stdout, printed("hello"));
    assert_eq!(with.stderr, Output::default());
}

pub async fn any_bytes_are_kept_with_their_gap(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let claim = claim_one(f.store(), "w").await;
    let body: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    let stdout = Output {
        bytes_total: 1 << 40,
        bytes_dropped: (1 << 40) - 16 * 1024,
        head_len: 4096,
        sha256: [0xab; 32],
        body: OutputBody::Inline(body),
    };
    let record = AttemptRecord { stdout: stdout.clone(), ..attempt(exited(0)) };
    Turn::of("w").settle(Settle { attempt: record, ..outcome(&claim, exited(0)) }).at(f.store()).await;
    assert_eq!(attempts(f, "a").await[0].stdout, stdout);
}

pub async fn a_deletion_names_the_output_files(f: &dyn Fixture) {
    let file = |name: &str| Output {
        bytes_total: 100_000,
        bytes_dropped: 0,
        head_len: 100_000,
        sha256: [1; 32],
        body: OutputBody::File { name: name.to_owned(), len: 100_000 },
    };
    insert(f.store(), [job("a"), job("b").priority(-1)]).await;
    for name in ["a", "b"] {
        let claim = claim_one(f.store(), "w").await;
        let (stdout, stderr) = (file(&format!("{name}.out")), file(&format!("{name}.err")));
        let record = AttemptRecord { stdout: stdout.clone(), stderr, ..attempt(exited(0)) };
        Turn::of("w").settle(Settle { attempt: record, ..outcome(&claim, exited(0)) }).at(f.store()).await;
        assert_eq!(attempts(f, name).await[0].stdout, stdout);
    }
    let mut deleted = f.store().delete(Selection::Ids(ids(&["a"]))).await.expect("the store works");
    deleted.files.sort();
    assert_eq!(deleted.files, ["a.err", "a.out"]);
}

pub async fn attempts_are_numbered_over_the_whole_life(f: &dyn Fixture) {
    insert(f.store(), [job("a").max_retries(1)]).await;
    for number in 1..=3 {
        let claim = claim_one(f.store(), "w").await;
        assert_eq!(claim.attempt, number);
        crate::given::settle(f.store(), &claim, exited(1)).await;
        f.store().retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
    }
    let numbers: Vec<u32> = attempts(f, "a").await.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let read = get(f, "a").await;
    assert_eq!((read.runs, read.attempts), (3, 0));
}

pub async fn an_interruption_has_a_number_but_is_not_charged(f: &dyn Fixture) {
    insert(f.store(), [job("a")]).await;
    let due = get(f, "a").await.due_at;
    f.advance(secs(4));
    run_one(f.store(), "w", crashed()).await;
    let read = get(f, "a").await;
    assert_eq!((read.state, read.ready, read.retrying), (State::Pending, true, false));
    assert_eq!((read.attempts, read.runs, read.interruptions, read.due_at), (0, 1, 1, due));
    assert_eq!(read.last_error.as_deref(), Some("interrupted: its worker died"));
    let claim = claim_one(f.store(), "w").await;
    assert_eq!(claim.attempt, 2);
}

pub async fn a_shutdown_is_no_interruption_of_the_job(f: &dyn Fixture) {
    insert(f.store(), [job("a").with(|spec| spec.crash_limit = 1)]).await;
    for _ in 0..3 {
        run_one(f.store(), "w", Outcome::Interrupted(Interruption::Shutdown)).await;
        run_one(f.store(), "w", Outcome::Interrupted(Interruption::Stop)).await;
    }
    let read = get(f, "a").await;
    assert_eq!((read.state, read.interruptions, read.runs), (State::Pending, 0, 6));
}

pub async fn the_crash_limit_ends_a_job(f: &dyn Fixture) {
    insert(f.store(), [job("a").with(|spec| spec.crash_limit = 2)]).await;
    run_one(f.store(), "w", crashed()).await;
    run_one(f.store(), "w", exited(1)).await;
    f.advance(secs(2));
    run_one(f.store(), "w", crashed()).await;
    let read = get(f, "a").await;
    assert_eq!((read.state, read.interruptions, read.attempts), (State::Dead, 2, 1));
    assert!(read.last_error.is_some_and(|text| text.contains("crash limit")));
    f.store().retry(&ids(&["a"]), RetryScope::Any).await.expect("the store works");
    run_one(f.store(), "w", crashed()).await;
    assert_eq!(get(f, "a").await.state, State::Pending, "brought back, it has its whole limit again");
}

pub async fn an_at_most_once_job_runs_once(f: &dyn Fixture) {
    let ends = [exited(1), crashed(), Outcome::TimedOut, Outcome::Interrupted(Interruption::Stop)];
    for (n, how) in ends.into_iter().enumerate() {
        let name = format!("j{n}");
        insert(f.store(), [job(&name).with(|spec| spec.at_most_once = true)]).await;
        run_one(f.store(), "w", how).await;
        assert_eq!(get(f, &name).await.state, State::Dead);
    }
    f.advance(secs(3600));
    assert!(Turn::of("w").want(9).at(f.store()).await.claims.is_empty());
}

pub async fn a_job_runs_as_often_as_max_retries_says(f: &dyn Fixture) {
    for (max_retries, runs) in [(0, 1), (1, 1), (3, 3)] {
        let name = format!("m{max_retries}");
        insert(f.store(), [job(&name).max_retries(max_retries)]).await;
        for run in 1..=runs {
            run_one(f.store(), "w", exited(1)).await;
            let read = get(f, &name).await;
            assert_eq!((read.attempts, read.state == State::Dead), (run, run == runs), "{name}");
            f.advance(secs(3600));
        }
    }
}

pub async fn a_success_clears_the_error(f: &dyn Fixture) {
    insert(f.store(), [job("a").with(|spec| spec.exits.ok_codes = vec![7])]).await;
    run_one(f.store(), "w", exited(1)).await;
    let read = get(f, "a").await;
    assert_eq!((read.last_error.as_deref(), read.exit_code), (Some("exit code 1"), Some(1)));
    assert!(read.retrying && !read.ready);
    f.advance(secs(2));
    let now = f.store().now().await.expect("the store works");
    run_one(f.store(), "w", exited(7)).await;
    let read = get(f, "a").await;
    assert_eq!((read.state, read.last_error, read.exit_code), (State::Completed, None, Some(7)));
    assert_eq!((read.attempts, read.completed_at, read.updated_at), (2, Some(now), now));
}

pub async fn attempts_of_an_absent_job_are_none(f: &dyn Fixture) {
    assert_eq!(attempts(f, "nobody").await, []);
}

pub async fn one_attempt_is_read_by_its_number(f: &dyn Fixture) {
    let one = async |name: &str, number| f.store().attempt(&id(name), number).await.expect("the store works");
    insert(f.store(), [job("a")]).await;
    assert_eq!(one("a", 1).await, None, "it has not begun");
    for code in [1, 2] {
        let claim = claim_one(f.store(), "w").await;
        assert_eq!(one("a", code as u32).await, None, "it has not ended");
        let mut settle = outcome(&claim, exited(code));
        settle.patch.delay = Some(Duration::ZERO);
        settle.attempt.stdout = printed("out");
        Turn::of("w").settle(settle).at(f.store()).await;
    }
    let all = attempts(f, "a").await;
    assert_eq!((one("a", 1).await, one("a", 2).await), (Some(all[0].clone()), Some(all[1].clone())));
    assert_eq!((one("a", 0).await, one("a", 3).await, one("b", 1).await), (None, None, None));
}
