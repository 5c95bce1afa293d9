//! From an order to a plan for the spawner: the program's paths, the environment, standard input.

use crate::cgroup::Cgroup;
use crate::launch::is_short;
use crate::protocol::{End, Start};
use crate::texts::Texts;
use crate::unix::{FileLimit, SpawnError, SpawnPlan, SpawnText, Step};
use queuectl_core::claim::CLAIM_MARK;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where programs are looked for when the environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What all plans of a keeper share.
pub(super) struct Common {
    pub null: Arc<OwnedFd>,
    pub umask: u32,
    pub files: Option<FileLimit>,
}

/// Lays out what the child needs, or says why the job cannot be started.
pub(super) fn plan(
    start: &Start,
    common: &Common,
    cgroup: Option<&Cgroup>,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> Result<SpawnPlan, End> {
    let Some(program) = start.argv.iter().next().filter(|program| !program.is_empty()) else {
        return Err(refused("the command is empty"));
    };
    if start.argv.hold_nul() {
        return Err(holds_nul("the command"));
    }
    let env = marked(start);
    if env.hold_nul() {
        return Err(holds_nul("an environment variable"));
    }
    let dir = CString::new(start.dir.clone()).map_err(|_| holds_nul("the directory"))?;
    Ok(SpawnPlan {
        text: SpawnText { candidates: candidates(start, program), argv: start.argv.clone(), env, dir },
        stdin: stdin(start, common)?,
        stdout,
        stderr,
        cgroup: cgroup.map(Cgroup::directory),
        umask: common.umask,
        files: common.files,
    })
}

/// The environment with the mark of the claim, whatever else calls itself so.
fn marked(start: &Start) -> Texts {
    let is_mark =
        |text: &[u8]| text.strip_prefix(CLAIM_MARK.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
    let mut env = if start.env.iter().any(is_mark) {
        start.env.iter().filter(|text| !is_mark(text)).collect()
    } else {
        start.env.clone()
    };
    env.push(&[CLAIM_MARK.as_bytes(), b"=", start.claim.to_string().as_bytes()]);
    env
}

/// The paths that `execvp` would try.
fn candidates(start: &Start, program: &[u8]) -> Texts {
    if program.contains(&b'/') {
        return [program].into_iter().collect();
    }
    let mut paths = Texts::default();
    let path =
        start.env.variables().find(|(name, _)| name == b"PATH").map_or(PATH_DEFAULT, |(_, value)| value);
    for dir in path.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        paths.push(&[dir, b"/", program]);
    }
    paths
}

/// A relative path is one in the job's directory. Opened here without waiting, for a named pipe without a writer would hold up every other job.
fn stdin(start: &Start, common: &Common) -> Result<Arc<OwnedFd>, End> {
    let Some(path) = &start.stdin else { return Ok(common.null.clone()) };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = rustix::fs::open(
        Path::new(OsStr::from_bytes(&start.dir)).join(OsStr::from_bytes(path)),
        flags,
        Mode::empty(),
    )
    .and_then(|file| rustix::io::ioctl_fionbio(&file, false).map(|()| file));
    opened.map(Arc::new).map_err(|errno| End::CouldNotStart {
        message: format!("cannot read standard input from `{}`: {}", shown(path), plain(errno)),
        ours: is_short(errno),
    })
}

/// Says why nothing runs, and whose fault that is.
pub(super) fn could_not_start(start: &Start, failed: SpawnError) -> End {
    let what = match failed.step {
        Step::Clone => "cannot start a process".to_owned(),
        Step::Prepare => "cannot prepare the process".to_owned(),
        Step::Directory => format!("cannot enter directory `{}`", shown(&start.dir)),
        Step::Exec => format!("cannot run `{}`", shown(start.argv.iter().next().unwrap_or_default())),
    };
    let ours = is_short(failed.errno) || matches!(failed.step, Step::Clone | Step::Prepare);
    End::CouldNotStart { message: format!("{what}: {}", plain(failed.errno)), ours }
}

/// Somebody has the program, or what interprets it, open for writing.
pub(super) fn is_text_busy(failed: SpawnError) -> bool {
    failed.step == Step::Exec && failed.errno == Errno::TXTBSY
}

fn refused(message: &str) -> End {
    End::CouldNotStart { message: message.to_owned(), ours: false }
}

fn holds_nul(what: &str) -> End {
    refused(&format!("{what} holds a NUL byte"))
}

/// Nothing runs because there are no pipes for its output.
pub(super) fn no_pipes(errno: Errno) -> End {
    End::CouldNotStart { message: format!("cannot make a pipe: {}", plain(errno)), ours: true }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The error's text without its number.
fn plain(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
