//! Which binary is put to the test: the ordinary one beside this program, without fail points, or the one with them, in a
//! target directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

/// What only a binary with fail points contains: how it is told where to die, and the name of a place.
const TRACES: [&[u8]; 2] = [b"QUEUECTL_POINT_KILL", b"store.commit.before"];

/// The binary as people run it; it must have no fail points.
pub fn ordinary() -> Result<PathBuf, String> {
    without_points(beside("queuectl")?)
}

/// The binary with fail points. Those without are looked through as well, also the released one where there is one.
pub fn with_points() -> Result<PathBuf, String> {
    ordinary()?;
    if let Ok(released) = beside("../release/queuectl") {
        without_points(released)?;
    }
    let program = beside("../points/debug/queuectl")?;
    let traces = traces(&program)?;
    if traces == TRACES.len() {
        Ok(program)
    } else {
        Err(format!("{} has {traces} of {} traces of fail points", program.display(), TRACES.len()))
    }
}

fn without_points(program: PathBuf) -> Result<PathBuf, String> {
    if traces(&program)? > 0 {
        return Err(format!("{} has fail points, and must not", program.display()));
    }
    Ok(program)
}

fn beside(name: &str) -> Result<PathBuf, String> {
    let mut dir = std::env::current_exe().map_err(|e| e.to_string())?;
    dir.pop();
    // A test's own program lies one folder further down.
    if dir.ends_with("deps") {
        dir.pop();
    }
    let program = dir.join(name);
    let missing = || format!("there is no {}; `./test faults` builds it first", program.display());
    program.canonicalize().map_err(|_| missing())
}

/// How many of the traces are there.
fn traces(program: &Path) -> Result<usize, String> {
    let bytes = fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
    let is_there = |trace: &&&[u8]| contains(&bytes, trace);
    Ok(TRACES.iter().filter(is_there).count())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window[0] == wanted[0] && window == wanted)
}
