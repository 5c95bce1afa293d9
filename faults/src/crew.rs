//! Trials side by side, and what broke in them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use crate::procs;

/// Most failures of a figure that are told in full.
const TOLD_MAX: usize = 20;

/// Does pieces of work 0 to `count` on as many threads as there are processors; the results in the pieces' order.
pub fn each<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    each_of(thread::available_parallelism().map_or(1, usize::from), count, work)
}

/// The same on so many threads: for work that waits more than it computes.
pub fn each_of<T: Send>(threads: usize, count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let done: Mutex<Vec<(u64, T)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    running(|trials| {
                        trials.insert(number);
                    });
                    let result = work(number);
                    running(|trials| {
                        trials.remove(&number);
                    });
                    done.lock().expect("no panic while it is held").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic while it is held");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What runs under watch.
struct Watched {
    what: String,
    trials: BTreeSet<u64>,
    /// When a trial last began or ended.
    moved: Instant,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

/// No figure of a short profile stands still for so long.
const STILL_MAX: Duration = Duration::from_secs(600);

/// From now on this figure must not stand still: a trial that hangs is named, and ends the process.
pub fn watch(figure: &str, seed: u64) {
    static ONCE: Once = Once::new();
    let what = format!("{figure}, seed {seed}");
    let watched = Watched { what, trials: BTreeSet::new(), moved: procs::now() };
    *WATCHED.lock().expect("no panic while it is held") = Some(watched);
    ONCE.call_once(|| drop(thread::spawn(end_if_still)));
}

fn running(change: impl FnOnce(&mut BTreeSet<u64>)) {
    if let Some(watched) = &mut *WATCHED.lock().expect("no panic while it is held") {
        change(&mut watched.trials);
        watched.moved = procs::now();
    }
}

fn end_if_still() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let watched = WATCHED.lock().expect("no panic while it is held");
        if let Some(watched) = watched.as_ref().filter(|watched| watched.moved.elapsed() > STILL_MAX) {
            eprintln!("{}: nothing moves; trials that hang: {:?}", watched.what, watched.trials);
            std::process::abort();
        }
    }
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on panics of any thread are counted.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Ok(mut panics) = PANICS.lock() {
            panics.push(panic.to_string());
        }
        before(panic);
    }));
}

/// The panics since this was asked last.
pub fn panics() -> Vec<String> {
    std::mem::take(&mut PANICS.lock().expect("no panic while it is held"))
}

static BROKEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Tells what broke, so that it can be played again.
pub fn report(figure: &str, seed: u64, failures: &[String]) {
    let told = failures.iter().take(TOLD_MAX).map(|failure| format!("{figure}, seed {seed}: {failure}"));
    let rest = failures.len().saturating_sub(TOLD_MAX);
    let lines: Vec<String> = told.chain((rest > 0).then(|| format!("{figure}: and {rest} more"))).collect();
    for line in &lines {
        eprintln!("{line}");
    }
    BROKEN.lock().expect("no panic while it is held").extend(lines);
}

/// All that was reported: to be told again at the end, where a reader of a long log looks first.
pub fn broken() -> Vec<String> {
    std::mem::take(&mut BROKEN.lock().expect("no panic while it is held"))
}
