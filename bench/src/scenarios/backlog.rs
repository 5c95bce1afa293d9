//! `backlog`: what a claim costs while very much waits, and what the worker needs for it.

use std::thread;
use std::time::Duration;

use super::library::{Library, quantile};
use crate::meter::metered;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::Queue;
use crate::stand::{Fault, Stand};

const CLAIM: &str = "claim";
const MEMORY: &str = "worker memory";
const QUEUES: usize = 1_000;
const PRIORITIES: usize = 50;

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let times: usize = stand.scale.pick(3, 50, 200);
    let many: usize = stand.scale.pick(100, 20_000, 1_000_000);
    let about = format!("a claim while {many} jobs wait; medians of {times}");
    let mut plan = Plan::new("backlog", about, &[(CLAIM, "ms"), (MEMORY, "MiB with its keeper")]);
    let backlogs: [(&'static str, &'static str, Option<&'static str>); 4] = [
        ("empty", "only what is claimed", None),
        ("spread", "over 1,000 queues and 50 priorities", Some("")),
        ("delayed", "all delayed, at top priority", Some(r#","priority":1000,"delay":"7d""#)),
        ("paused", "all in a paused queue, at top priority", Some(r#","priority":1000,"queue":"paused""#)),
    ];
    for (name, setting, fields) in backlogs {
        let dir = tempfile::tempdir()?;
        let queue = Queue::new(stand, dir.path())?;
        if let Some(fields) = fields {
            queue.enqueue((0..many).map(|n| {
                let (lane, priority) = (n % QUEUES.min(many), n / QUEUES % PRIORITIES);
                let spread = format!(r#","queue":"q{lane}","priority":{priority}"#);
                let fields = if fields.is_empty() { &spread } else { fields };
                format!(r#"{{"id":"waiting-{n}","args":["true"]{fields}}}"#)
            }))?;
        }
        queue.does(&["queue", "pause", "paused"])?;
        let setting =
            format!("{setting}; claims by the library, each a synced commit; then a worker for 2 s");
        plan.contender(Contender::new(Role::Ours, name, "synced in full", setting, move |_| {
            // What is claimed; the worker runs it afterwards.
            queue.enqueue((0..times).map(|_| r#"{"args":["true"]}"#.to_owned()))?;
            let claims = Library::open(&queue.database)?.claims(times)?;
            let ((), usage) = metered(|| {
                let worker = queue.worker(&["--count", "2"])?;
                thread::sleep(Duration::from_secs(2));
                worker.stop()
            })?;
            let peak_kib = usage.peak_kib.ok_or("the worker was not seen")?;
            Ok(Sample::of(CLAIM, quantile(&claims, 0.5) * 1e3).and(MEMORY, peak_kib as f64 / 1024.0))
        }));
        plan.keeps(dir);
    }
    for name in ["spread", "delayed", "paused"] {
        plan.goal(Goal::ratio(CLAIM, name, "empty", Want::AtMost(1.2)));
        plan.goal(Goal::bound(MEMORY, name, Want::AtMost(20.0)));
    }
    Ok(plan)
}
