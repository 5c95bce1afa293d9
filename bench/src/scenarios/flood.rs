//! `flood`: four jobs that write as fast as they can, of which little is kept.

use std::process::{Command, Stdio};

use crate::clock::now;
use crate::meter::metered;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::{Queue, succeed};
use crate::stand::{Fault, Stand};

const RATE: &str = "rate";
const JOBS: usize = 4;

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let mib: usize = stand.scale.pick(4, 256, 2_048);
    let about = format!("{JOBS} jobs at once write {mib} MiB each, of which 1 MiB is kept");
    let mut plan = Plan::new("flood", about, &[(RATE, "MiB/s")]);
    let line = format!("head -c {mib}M /dev/zero");
    let job = format!(r#"{{"command":"{line}"}}"#);
    plan.contender(Contender::new(
        Role::Ours,
        "queuectl",
        "what is kept is synced before it is settled",
        "config set output-max 1MiB; worker start --count 4 --drain",
        move |dir| {
            let queue = Queue::new(stand, dir)?;
            queue.does(&["config", "set", "output-max", "1048576"])?;
            queue.enqueue((0..JOBS).map(|_| job.clone()))?;
            let ((), usage) = metered(|| queue.does(&["worker", "start", "--count", "4", "--drain"]))?;
            let ran = queue.ran()?;
            if ran.attempts != JOBS as i64 {
                return Err(format!("{JOBS} jobs became {ran:?}").into());
            }
            Ok(Sample::of(RATE, (JOBS * mib) as f64 / ran.seconds).with_usage(JOBS, usage))
        },
    ));
    plan.contender(Contender::new(
        Role::Floor,
        "cat > /dev/null",
        "nothing is kept",
        "the same commands at once, each into a cat of its own, through pipes as wide as ours",
        move |_| {
            // The program's path is an argument, and so needs no quotes.
            let wide = format!("({line} | \"$0\" widened cat > /dev/null) & ");
            let all = format!("{} wait", wide.repeat(JOBS));
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(all).arg(&stand.bench).stdin(Stdio::null());
            let begin = now();
            let ((), usage) = metered(|| succeed(&mut shell))?;
            let rate = (JOBS * mib) as f64 / begin.elapsed().as_secs_f64();
            Ok(Sample::of(RATE, rate).with_usage(JOBS, usage))
        },
    ));
    plan.goal(Goal::ratio(RATE, "queuectl", "cat > /dev/null", Want::AtLeast(0.8)));
    Ok(plan)
}
