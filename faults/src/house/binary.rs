//! Which binaries are put to the test: the release build; the one with fail points; the made-up version after this one.
//! The last two are in target directories of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What only a binary with fail points contains: how it is told where to die, and the name of a place.
const POINTS: [&[u8]; 2] = [b"QUEUECTL_POINT_KILL", b"store.commit.before"];
/// What only a binary with the made-up next schema contains.
const NEXT: [&[u8]; 1] = [b"CREATE TABLE diary"];

/// The binary as people run it, which is the release build; it must have neither fail points nor a made-up schema. That is
/// looked for once, in its strings, which `strip` leaves.
pub fn ordinary() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || as_it_should_be(beside(&built()?.with_file_name("release"), "queuectl")?);
    FOUND.get_or_init(find).clone()
}

/// The binary with fail points. The one without is looked through as well.
pub fn with_points() -> Result<PathBuf, String> {
    ordinary()?;
    let program = apart("points", "queuectl")?;
    let found = count(&program, &POINTS)?;
    if found == POINTS.len() {
        Ok(program)
    } else {
        Err(format!("{} has {found} of {} traces of fail points", program.display(), POINTS.len()))
    }
}

/// A program of the version after this one.
pub fn next(name: &str) -> Result<PathBuf, String> {
    let program = apart("next", name)?;
    if count(&program, &NEXT)? == 0 {
        return Err(format!("{} is not of the next version", program.display()));
    }
    Ok(program)
}

fn as_it_should_be(program: PathBuf) -> Result<PathBuf, String> {
    for (what, traces) in [("fail points", &POINTS[..]), ("a made-up schema", &NEXT[..])] {
        if count(&program, traces)? > 0 {
            return Err(format!("{} has {what}, and must not", program.display()));
        }
    }
    Ok(program)
}

/// A program in a target directory of that name, in this one's.
fn apart(target: &str, name: &str) -> Result<PathBuf, String> {
    let dir = built()?;
    let profile = dir.file_name().unwrap_or_default();
    beside(&dir.with_file_name(target).join(profile), name)
}

/// Where this program and those beside it were built.
fn built() -> Result<PathBuf, String> {
    let mut dir = std::env::current_exe().map_err(|e| e.to_string())?;
    dir.pop();
    // A test's own program lies one folder further down.
    if dir.ends_with("deps") {
        dir.pop();
    }
    Ok(dir)
}

fn beside(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let program = dir.join(name);
    let missing = || format!("there is no {}; `./test faults` builds it first", program.display());
    program.canonicalize().map_err(|_| missing())
}

/// How many of the traces are there.
fn count(program: &Path, traces: &[&[u8]]) -> Result<usize, String> {
    let bytes = fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
    Ok(traces.iter().filter(|trace| contains(&bytes, trace)).count())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window[0] == wanted[0] && window == wanted)
}
