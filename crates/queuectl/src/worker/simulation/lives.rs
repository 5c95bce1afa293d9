//! Lives of a queue that a seed decides: jobs of all kinds, workers, failing stores, dying keepers, cancels, pauses,
//! stops. Whatever happens, every job ends once and nothing is left behind.

use std::time::Duration;

use queuectl_core::job::NewJob;
use queuectl_core::query::{Filter, Order, Page};
use queuectl_core::state::State;
use queuectl_core::store::{Exchange, Jobs, Queues, StopMode, Workers};
use queuectl_testing::given::{With, id, job, queue, set};

use super::super::events::Event;
use super::{Seen, World, now_or_never};

const JOBS: u64 = 40;
/// Turns with faults, before they end.
const TURNS: usize = 16;
/// Turns where faults never end.
const TURNS_SAFETY: usize = 40;
/// Once nothing fails any more, everything has ended after so long.
const END_MS: u64 = 3_600_000;
const LOOK_MS: u64 = 10_000;

/// When faults happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All the time: nothing wrong may ever be seen.
    Safety,
    /// For a while: afterwards everything must come to its end.
    Liveness,
}

/// A life that is over. What must never be ends it in a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What happened, and what was done about it.
    pub events: u64,
    /// Of all events in their order.
    pub hash: u64,
    pub jobs: u64,
    /// Jobs that had not come to their end when they should have.
    pub open: u64,
    pub seen: Seen,
}

fn some_job(world: &mut World, n: u64) -> NewJob {
    let chance = &mut world.chance;
    let label = chance.pick(&["plain", "plain", "plain", "once", "stubborn", "absent", "flaky"]);
    let lane = chance.pick(&["default", "mail"]);
    let longest = chance.pick(&[3, 30, 300, 3_000]);
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
    let mode = world.chance.pick(&[StopMode::Drain, StopMode::HandOver, StopMode::Now]);
    let lives = !world.workers[at].exited;
    match world.chance.below(12) {
        0 if lives => world.kill_keeper(at),
        1 if lives => world.kill_worker(at),
        2 | 3 if lives => world.kill_worker_only(at),
        4 if lives => world.kill_fostered(at),
        5 | 6 => {
            let name = &names[world.chance.below(JOBS) as usize];
            now_or_never(world.store.cancel(&[id(name)])).expect("the store works");
        }
        7 => {
            let paused = world.chance.below(2) == 0;
            now_or_never(world.store.set_paused(&queue("mail"), paused)).expect("the store works");
        }
        8 => world.step(at, Event::Stop(mode)),
        9 => {
            let asked = format!("worker{at}");
            now_or_never(world.store.request_stop(&[asked], mode)).expect("the store works");
        }
        10 => {
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

/// Lets a seed decide a life.
pub fn live(seed: u64, mode: Mode) -> Life {
    let mut world = World::new(seed);
    world.failures = world.chance.below(3) * 15;
    world.unknown = 50;
    world.breaks = world.chance.below(3) * 15;
    world.spoils = world.chance.below(3) * 25;
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
    for _ in 0..if mode == Mode::Safety { TURNS_SAFETY } else { TURNS } {
        let until = world.now + world.chance.below(500);
        world.run_until(until);
        let mails = world.running.keys().filter(|name| name.contains(".mail.")).count();
        assert!(!limited || mails <= 1, "{mails} run in a queue where one may");
        intervene(&mut world, &names);
        if mode == Mode::Safety {
            somebody_works(&mut world);
        }
    }
    if mode == Mode::Liveness {
        heal(&mut world, &names);
    }
    check_jobs(&world, &names);
    let open = if mode == Mode::Liveness { open(&world, &names) } else { 0 };
    if mode == Mode::Liveness && open == 0 {
        check_end(&world, &names);
    }
    Life { events: world.tale.events, hash: world.tale.hash, jobs: JOBS, open, seen: world.seen }
}

/// Nothing fails any more. Either everyone goes on, or everyone stops and a last worker takes what is left.
fn heal(world: &mut World, names: &[String]) {
    (world.failures, world.breaks, world.spoils) = (0, 0, 0);
    now_or_never(world.store.set_paused(&queue("mail"), false)).expect("the store works");
    if world.chance.below(2) == 0 {
        let end = world.now + END_MS;
        while open(world, names) > 0 && world.now < end {
            somebody_works(world);
            let until = world.now + LOOK_MS;
            world.run_until(until);
        }
    }
    for at in 0..world.workers.len() {
        world.step(at, Event::Stop(StopMode::Drain));
    }
    let end = world.now + END_MS;
    world.run_until(end);
    assert!(world.workers.iter().all(|worker| worker.exited), "a stop never ended");
    let last = world.add_worker(4, true);
    let end = world.now + END_MS;
    world.run_until(end);
    assert!(world.workers[last].exited, "a drain never ended");
}

/// Someone starts a worker if none is left that takes jobs.
fn somebody_works(world: &mut World) {
    let works = |worker: &super::SimWorker| !worker.exited && worker.machine.stop().is_none();
    if !world.workers.iter().any(works) {
        world.add_worker(2, false);
    }
}

fn open(world: &World, names: &[String]) -> u64 {
    names.iter().filter(|name| !world.job(name).state.is_terminal()).count() as u64
}

/// What holds of a job at any time.
fn check_jobs(world: &World, names: &[String]) {
    for name in names {
        let (job, rows) = (world.job(name), world.rows(name));
        let charged = rows.iter().filter(|row| row.charged).count() as u32;
        assert_eq!((rows.len() as u32, charged), (job.runs, job.attempts), "{name}");
        assert!(job.attempts <= job.spec.max_retries.max(1), "{name}");
        assert!(!job.spec.at_most_once || job.runs <= 1, "{name} ran {} times", job.runs);
        let crowded = world.crowded.get(name).copied().unwrap_or_default();
        let unsettled = world.starts(name) - job.runs - crowded;
        let may = u32::from(job.state == State::Processing);
        assert!(unsettled <= may, "{name}, {}: {unsettled} starts without an outcome", job.state);
    }
}

/// What holds once everything has ended.
fn check_end(world: &World, names: &[String]) {
    let owners = now_or_never(world.store.owners()).expect("the store works");
    assert_eq!(owners, Vec::<String>::new(), "a claim was left behind");
    for worker in &world.workers {
        assert_eq!(worker.keeper.unsettled(), Vec::<&_>::new(), "an outcome was left behind");
        assert!(worker.fosters.is_empty(), "a keeper was left behind");
    }
    assert!(world.orphans.is_empty(), "a keeper was left without a worker");
    let dead = names.iter().filter(|name| world.job(name).state == State::Dead).count();
    let hooks = Filter { queue: Some(queue("hooks")), ..Filter::default() };
    let page = Page { order: Order::OldestFirst, after: None, rows: 1_000 };
    let hooks = now_or_never(world.store.list(&hooks, page)).expect("the store works");
    assert_eq!(hooks.len(), dead, "one hook for each death");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says which seed it was if a life ends in a panic.
    struct Telling(u64, Mode);

    impl Drop for Telling {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the seed was {}, {:?}", self.0, self.1);
            }
        }
    }

    fn told(seed: u64, mode: Mode) -> Life {
        let _telling = Telling(seed, mode);
        live(seed, mode)
    }

    #[test]
    fn every_job_ends_once_whatever_happens() {
        let lives: Vec<Life> = (0..60).map(|seed| told(seed, Mode::Liveness)).collect();
        assert!(lives.iter().all(|life| life.open == 0));
        let sum = |of: fn(&Seen) -> u64| lives.iter().map(|life| of(&life.seen)).sum::<u64>();
        let seen = [sum(|s| s.adoptions), sum(|s| s.spoiled), sum(|s| s.broken), sum(|s| s.unknown)];
        assert!(seen.iter().all(|times| *times > 20), "{seen:?}");
    }

    // Lives that once went wrong. With all that may happen since, they run another course now.

    /// A worker left what it had adopted in the instant in which somebody looked for it.
    #[test]
    fn life_1082622372109165501_goes_on() {
        assert_eq!(told(1_082_622_372_109_165_501, Mode::Liveness).open, 0);
    }

    /// A keeper was recovered while an exchange for it was under way, and who heard of its claims died as well.
    #[test]
    fn life_7840863797325304311_goes_on() {
        assert_eq!(told(7_840_863_797_325_304_311, Mode::Liveness).open, 0);
    }

    #[test]
    fn nothing_wrong_is_seen_while_faults_go_on() {
        for seed in 0..30 {
            told(seed, Mode::Safety);
        }
    }

    #[test]
    fn the_same_seed_lives_the_same_life() {
        for (seed, mode) in (0..4).flat_map(|seed| [(seed, Mode::Safety), (seed, Mode::Liveness)]) {
            assert_eq!(told(seed, mode), told(seed, mode));
        }
    }
}
