//! What is measured is built first: a fresh clone has no binary yet, and one that lies there may be of another day.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::product::succeed;
use crate::stand::{Fault, Scale, Stand};

/// Programs of this package that scenarios start. This one runs already, and is not replaced.
const HELPERS: [&str; 2] = ["queuectl-bench-insert", "queuectl-bench-stamp"];

/// Builds the product as this program was built, into the directory that this program lies in.
pub fn queuectl(bench: &Path) -> Result<PathBuf, Fault> {
    cargo(bench, &["-p", "queuectl-cli"])?;
    let helpers = HELPERS.iter().flat_map(|name| ["--bin", name]);
    cargo(bench, &["-p", "queuectl-bench"].into_iter().chain(helpers).collect::<Vec<_>>())?;
    Ok(bench.with_file_name("queuectl"))
}

/// Everything that is started is there, and it is what the targets are stated for.
pub fn check(stand: &Stand) -> Result<(), Fault> {
    let helpers = HELPERS.iter().map(|name| stand.beside(name));
    for program in helpers.chain([stand.queuectl.clone()]) {
        if !program.exists() {
            return Err(format!("no {}: build it with cargo build --release", program.display()).into());
        }
    }
    if stand.scale == Scale::Full && (cfg!(debug_assertions) || is_debug(&stand.queuectl)) {
        return Err("debug builds are not measured at full scale: cargo run --release".into());
    }
    Ok(())
}

/// Cargo keeps each profile in a directory of its name.
fn is_debug(program: &Path) -> bool {
    let program = program.canonicalize().unwrap_or_default();
    program.parent().is_some_and(|dir| dir.ends_with("debug"))
}

fn cargo(bench: &Path, what: &[&str]) -> Result<(), Fault> {
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--locked"]).args(what).current_dir(Stand::source());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let target = bench.parent().and_then(Path::parent).ok_or("this program lies in no target directory")?;
    succeed(build.arg("--target-dir").arg(target).stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_build_is_known_by_its_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (profile, debug) in [("debug", true), ("release", false)] {
            let program = dir.path().join(profile).join("queuectl");
            std::fs::create_dir(dir.path().join(profile)).expect("a directory");
            std::fs::write(&program, "").expect("a file");
            assert_eq!(is_debug(&program), debug);
        }
    }
}
