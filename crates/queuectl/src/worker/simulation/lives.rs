//! Lives of a queue that a seed decides: jobs of all kinds, workers, failing stores, dying keepers, cancels, pauses,
//! stops. Whatever happens, every job ends once and nothing is left behind.

use std::time::Duration;

use queuectl_core::job::NewJob;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::State;
use queuectl_core::store::{Exchange, Jobs, Queues, StopMode, Workers};
use queuectl_testing::given::{With, id, job, queue, set};

use super::super::events::Event;
use super::{World, now_or_never};

const JOBS: u64 = 40;
const TURNS: usize = 16;
const HOUR_MS: u64 = 3_600_000;

/// Says which seed it was if a life ends in a panic.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

fn some_job(world: &mut World, n: u64) -> NewJob {
    let chance = &mut world.chance;
    let label = chance.pick(&["plain", "plain", "plain", "once", "stubborn", "absent", "flaky"]);
    let lane = chance.pick(&["default", "mail"]);
    let longest = chance.pick(&[3, 30, 300]);
    let (run, code) = (1 + chance.below(longest), chance.below(4).saturating_sub(2));
    let (priority, max_retries) = (chance.below(3) as i32, chance.below(4) as u32);
    let timeout = (chance.below(4) == 0).then(|| Duration::from_millis(100));
    let (grace, limit) = (Duration::from_millis(chance.below(200)), 1 + chance.below(4) as u32);
    let made = job(&format!("{label}.{lane}.{n}-{run}-{code}")).in_queue(lane).priority(priority);
    let made = made.max_retries(max_retries).with(|spec| {
        spec.timeout = timeout;
        spec.kill_grace = grace;
        spec.crash_limit = limit;
        spec.at_most_once = label == "once";
    });
    if chance.below(5) == 0 { made.delayed(chance.below(4)) } else { made }
}

/// Something happens to somebody.
fn intervene(world: &mut World, names: &[String]) {
    let at = world.chance.below(world.workers.len() as u64) as usize;
    let mode = world.chance.pick(&[StopMode::Drain, StopMode::Now]);
    match world.chance.below(9) {
        0 if !world.workers[at].exited => world.kill_keeper(at),
        1 if !world.workers[at].exited => world.kill_worker(at),
        2 | 3 => {
            let name = &names[world.chance.below(JOBS) as usize];
            now_or_never(world.store.cancel(&[id(name)])).expect("the store works");
        }
        4 => {
            let paused = world.chance.below(2) == 0;
            now_or_never(world.store.set_paused(&queue("mail"), paused)).expect("the store works");
        }
        5 => world.step(at, Event::Stop(mode)),
        6 => {
            let asked = format!("worker{at}");
            now_or_never(world.store.request_stop(&[asked], mode)).expect("the store works");
        }
        7 => {
            let slots = 1 + world.chance.below(4) as usize;
            world.add_worker(slots, false);
        }
        _ => {}
    }
    // A ring is a hint: it may come, or not.
    for at in 0..world.workers.len() {
        if world.chance.below(2) == 0 {
            world.step(at, Event::Rang);
        }
    }
}

fn live(seed: u64, traced: bool) -> World {
    let _telling = Telling(seed);
    let mut world = World::new(seed);
    world.trace = traced.then(Vec::new);
    world.failures = world.chance.below(3) * 15;
    world.slow = world.chance.below(2) == 0;
    now_or_never(set(&*world.store, None, "on-dead", "mourn"));
    let limited = world.chance.below(2) == 0;
    if limited {
        now_or_never(set(&*world.store, Some("mail"), "max-running", "1"));
    }
    let jobs: Vec<NewJob> = (0..JOBS).map(|n| some_job(&mut world, n)).collect();
    let names: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    world.insert(jobs);
    for _ in 0..=world.chance.below(3) {
        let slots = 1 + world.chance.below(4) as usize;
        let drain = world.chance.below(2) == 0;
        world.add_worker(slots, drain);
    }
    for _ in 0..TURNS {
        let until = world.now + world.chance.below(500);
        world.run_until(until);
        let mails = world.running.keys().filter(|name| name.contains(".mail.")).count();
        assert!(!limited || mails <= 1, "{mails} run in a queue where one may");
        intervene(&mut world, &names);
    }
    wind_up(&mut world);
    check(&world, &names);
    world
}

/// The store works again, everyone finishes, and the last worker takes what is left.
fn wind_up(world: &mut World) {
    world.failures = 0;
    now_or_never(world.store.set_paused(&queue("mail"), false)).expect("the store works");
    for at in 0..world.workers.len() {
        world.step(at, Event::Stop(StopMode::Drain));
    }
    let end = world.now + HOUR_MS;
    world.run_until(end);
    assert!(world.workers.iter().all(|worker| worker.exited), "a stop never ended");
    let last = world.add_worker(4, true);
    let end = world.now + HOUR_MS;
    world.run_until(end);
    assert!(world.workers[last].exited, "a drain never ended");
}

fn check(world: &World, names: &[String]) {
    let owners = now_or_never(world.store.owners()).expect("the store works");
    assert_eq!(owners, Vec::<String>::new(), "a claim was left behind");
    for worker in &world.workers {
        assert_eq!(worker.keeper.unsettled(), Vec::<&_>::new(), "an outcome was left behind");
    }
    let mut dead = 0;
    for name in names {
        let (job, rows) = (world.job(name), world.rows(name));
        assert!(job.state.is_terminal(), "{name} is {}", job.state);
        let charged = rows.iter().filter(|row| row.charged).count() as u32;
        assert_eq!((rows.len() as u32, charged), (job.runs, job.attempts), "{name}");
        assert!(job.attempts <= job.spec.max_retries.max(1), "{name}");
        let crowded = world.crowded.get(name).copied().unwrap_or_default();
        assert_eq!(world.starts(name), job.runs + crowded, "{name}: each start is settled once");
        assert!(!job.spec.at_most_once || job.runs <= 1, "{name} ran {} times", job.runs);
        dead += usize::from(job.state == State::Dead);
    }
    let hooks = Filter { queue: Some(queue("hooks")), ..Filter::default() };
    let page = Page { order: Order::OldestFirst, after: None, rows: 1_000 };
    let hooks = now_or_never(world.store.list(&hooks, page)).expect("the store works");
    assert_eq!(hooks.len(), dead, "one hook for each death");
}

#[test]
fn every_job_ends_once_whatever_happens() {
    for seed in 0..120 {
        live(seed, false);
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in 0..5 {
        assert_eq!(live(seed, true).trace, live(seed, true).trace);
    }
}
