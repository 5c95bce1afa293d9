//! Small stories: one thing happens, and the machine does what the design says.

use queuectl_core::limits::{SPAWN_PAUSE_FIRST, UNSTARTED_MAX};
use queuectl_core::state::State;
use queuectl_core::store::{Jobs, StopMode, StoreError, Workers};
use queuectl_testing::given::{With, id, job, set};

use super::super::events::{Event, Report};
use super::{Flight, World, now_or_never};

#[test]
fn an_idle_worker_only_looks_now_and_then() {
    let mut world = World::new(1);
    let at = world.add_worker(4, false);
    world.run_until(11_000);
    let steps = world.workers[at].steps;
    assert!(steps <= 25, "{steps} steps in ten idle seconds");
}

#[test]
fn nothing_is_claimed_ahead_before_enough_short_runs() {
    let mut world = World::new(2);
    world.insert((0..9).map(|n| job(&format!("long{n}-60000"))));
    world.add_worker(1, false);
    world.run_until(5_000);
    let processing = (0..9).filter(|n| world.state(&format!("long{n}-60000")) == State::Processing).count();
    assert_eq!(processing, 1, "the others are left to whoever is idle");
}

#[test]
fn a_claim_that_does_not_start_goes_back() {
    let mut world = World::new(3);
    // Short runs teach the worker to claim ahead, then long ones prove it wrong.
    world.insert((0..64).map(|n| job(&format!("short{n}-1")).priority(9)));
    world.insert((0..9).map(|n| job(&format!("long{n}-60000"))));
    world.add_worker(2, false);
    world.run_until(1_000 + 3_000 + UNSTARTED_MAX.as_millis() as u64);
    let processing = (0..9).filter(|n| world.state(&format!("long{n}-60000")) == State::Processing).count();
    assert_eq!(processing, 2);
    assert!((0..64).all(|n| world.state(&format!("short{n}-1")) == State::Completed));
}

#[test]
fn a_stop_finishes_what_runs_and_a_second_gives_it_back() {
    let mut world = World::new(4);
    world.insert([job("brief-500"), job("endless-100000000"), job("waiting")]);
    let at = world.add_worker(2, false);
    world.run_until(1_100);
    world.step(at, Event::Stop(StopMode::Drain));
    world.run_until(5_000);
    assert_eq!(world.state("brief-500"), State::Completed);
    assert_eq!(world.state("waiting"), State::Pending);
    assert!(!world.workers[at].exited);
    world.step(at, Event::Stop(StopMode::Now));
    world.run_until(60_000);
    assert!(world.workers[at].exited);
    let job = world.job("endless-100000000");
    assert_eq!((job.state, job.attempts, job.interruptions), (State::Pending, 0, 0));
}

#[test]
fn a_crowded_machine_costs_no_attempt() {
    let mut world = World::new(5);
    world.insert([job("crowded-10").max_retries(1)]);
    world.add_worker(1, false);
    let pause = SPAWN_PAUSE_FIRST.as_millis() as u64;
    world.run_until(1_000 + pause - 50);
    // It could not be started, went back without a row, and claiming pauses.
    assert_eq!((world.state("crowded-10"), world.starts("crowded-10")), (State::Pending, 1));
    assert_eq!(world.rows("crowded-10"), []);
    world.run_until(1_000 + pause + 100);
    assert_eq!(world.starts("crowded-10"), 2, "the pause is over");
    assert_eq!(world.state("crowded-10"), State::Completed);
}

#[test]
fn a_lost_store_loses_no_outcome() {
    let mut world = World::new(6);
    world.insert([job("a-100")]);
    world.add_worker(1, true);
    world.run_until(1_050);
    world.failures = 100;
    world.run_until(20_000);
    assert_eq!(world.state("a-100"), State::Processing);
    world.failures = 0;
    world.run_until(60_000);
    assert_eq!((world.state("a-100"), world.starts("a-100")), (State::Completed, 1));
    let told = |what: &Report| matches!(what, Report::StoreFailed { .. });
    assert_eq!(world.reports.iter().filter(|(_, what)| told(what)).count(), 1, "it is said once");
    assert_eq!(world.reports.iter().filter(|(_, what)| *what == Report::StoreBack).count(), 1);
    let (row, job) = (&world.rows("a-100")[0], world.job("a-100"));
    let ran = row.ended_at.since(row.started_at.expect("it started"));
    assert_eq!(ran.as_millis(), 100);
    let after = row.ended_at.since(job.created_at).as_millis();
    assert!(
        (100..120).contains(&after),
        "it ended before the store came back, not {after} ms after its enqueue"
    );
}

#[test]
fn a_drain_waits_for_what_a_dead_keeper_ran() {
    let mut world = World::new(11);
    world.insert([job("a-5000")]);
    let at = world.add_worker(1, true);
    // It has heard that nothing else is left.
    world.run_until(3_000);
    world.step(at, Event::KeeperLost);
    assert!(!world.workers[at].exited, "the job it ran comes back");
}

#[test]
fn a_due_job_is_not_asked_for_while_claiming_pauses() {
    let mut world = World::new(12);
    world.insert([job("crowded-10").priority(9), job("later").delayed(1)]);
    world.add_worker(1, false);
    // The world panics if the machine asks to be woken and then does nothing.
    world.run_until(5_000);
    assert_eq!(world.state("later"), State::Completed);
}

#[test]
fn a_running_job_is_cancelled_within_a_second_though_nobody_rings() {
    let mut world = World::new(13);
    now_or_never(set(&*world.store, None, "poll-interval", "1h"));
    world.insert([job("endless-100000000")]);
    world.add_worker(1, false);
    world.run_until(1_500);
    now_or_never(world.store.cancel(&[id("endless-100000000")])).expect("the store works");
    world.run_until(2_600);
    assert_eq!(world.state("endless-100000000"), State::Cancelled);
}

#[test]
fn a_stop_now_gives_the_stubborn_their_grace() {
    let mut world = World::new(14);
    let grace = std::time::Duration::from_secs(3);
    world.insert([job("stubborn-100000000").with(|spec| spec.kill_grace = grace)]);
    let at = world.add_worker(1, false);
    world.run_until(1_500);
    now_or_never(world.store.request_stop(&["worker0".to_owned()], StopMode::Now)).expect("the store works");
    world.step(at, Event::Rang);
    world.run_until(4_400);
    assert_eq!(world.state("stubborn-100000000"), State::Processing);
    world.run_until(4_600);
    assert!(world.workers[at].exited);
    let job = world.job("stubborn-100000000");
    assert_eq!((job.state, job.attempts, job.interruptions), (State::Pending, 0, 0));
}

#[test]
fn a_drain_waits_for_a_backoff() {
    let mut world = World::new(15);
    world.insert([job("fails-10-1").max_retries(2)]);
    let at = world.add_worker(1, true);
    world.run_until(2_900);
    assert!(!world.workers[at].exited, "it is backing off for two seconds");
    world.run_until(10_000);
    assert!(world.workers[at].exited);
    assert_eq!((world.state("fails-10-1"), world.starts("fails-10-1")), (State::Dead, 2));
}

#[test]
fn at_most_once_is_never_claimed_ahead() {
    let mut world = World::new(8);
    world.insert((0..64).map(|n| job(&format!("short{n}-1")).priority(9)));
    world.insert((0..4).map(|n| job(&format!("once{n}-30000")).with(|spec| spec.at_most_once = true)));
    let at = world.add_worker(1, false);
    world.run_until(4_000);
    world.kill_keeper(at);
    world.run_until(5_000);
    let dead = (0..4).filter(|n| world.state(&format!("once{n}-30000")) == State::Dead).count();
    assert_eq!(dead, 1, "only the one that ran");
}

#[test]
fn a_worker_that_is_excluded_ends_and_leaves_its_outcomes_in_the_spool() {
    let mut world = World::new(10);
    world.insert([job("a-300"), job("b")]);
    let at = world.add_worker(1, false);
    world.run_until(1_100);
    let excluded = StoreError::Incompatible { what: "the schema is newer".to_owned() };
    world.step(at, Event::Rang);
    let now = world.now;
    world.workers[at].flight = Flight::Back { result: Err(excluded), arrives: now };
    world.run_until(20_000);
    assert!(world.workers[at].exited);
    assert_eq!(world.starts("b"), 0, "nothing new was begun");
}
