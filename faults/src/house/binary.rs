//! Which binary is put to the test: the ordinary one beside this program, without fail points.

use std::fs;
use std::path::PathBuf;

/// What only a binary with fail points contains.
const TRACE: &[u8] = b"QUEUECTL_POINT_KILL";

/// The binary as people run it; it must have no fail points.
pub fn ordinary() -> Result<PathBuf, String> {
    let program = beside("queuectl")?;
    if has_points(&program)? {
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

fn has_points(program: &PathBuf) -> Result<bool, String> {
    let bytes = fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
    Ok(bytes.windows(TRACE.len()).any(|window| window == TRACE))
}
