//! `size`: how large the release binary is; at full scale also how long a clean release build and the tests take.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clock::now;
use crate::plan::{Contender, Goal, Plan, Role, Sample, Want};
use crate::product::succeed;
use crate::stand::{Fault, Scale, Stand};

/// Builds and tests take longer than anything else.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
const SIZE: &str = "size";
const BUILD: &str = "clean release build";
const TESTS: &str = "test run, built";

pub fn plan(stand: &Stand) -> Result<Plan<'_>, Fault> {
    let figures = [(SIZE, "MiB"), (BUILD, "s"), (TESTS, "s")];
    let mut plan = Plan::new("size", "the release binary, and what building and testing take", &figures);
    let mut measured = None;
    let contender =
        Contender::new(Role::Ours, "queuectl", "-", "cargo build --release; cargo test", move |dir| {
            let size = std::fs::metadata(&stand.queuectl)?.len() as f64 / (1024.0 * 1024.0);
            let sample = Sample::of(SIZE, size);
            if stand.scale != Scale::Full {
                return Ok(sample);
            }
            // Once is enough of what takes minutes.
            let (build, tests) = match measured {
                Some(times) => times,
                None => *measured.insert((
                    cargo(dir, &["build", "--release", "--locked", "-p", "queuectl-cli"])?,
                    {
                        cargo(dir, &["test", "--workspace", "--locked", "--no-run"])?;
                        cargo(dir, &["test", "--workspace", "--locked"])?
                    },
                )),
            };
            Ok(sample.and(BUILD, build).and(TESTS, tests))
        });
    plan.contender(contender.patient(PATIENCE));
    plan.goal(Goal::bound(SIZE, "queuectl", Want::AtMost(15.0)));
    Ok(plan)
}

fn cargo(target: &std::path::Path, arguments: &[&str]) -> Result<f64, Fault> {
    let begin = now();
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).arg("--target-dir").arg(target).current_dir(Stand::source());
    succeed(cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
    Ok(begin.elapsed().as_secs_f64())
}
