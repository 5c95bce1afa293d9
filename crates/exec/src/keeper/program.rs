//! From an order to a plan for the spawner: the program's paths, the environment, standard input.

use crate::cgroup::Cgroup;
use crate::protocol::{End, Start};
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
    let Some(program) = start.argv.first().filter(|program| !program.is_empty()) else {
        return Err(refused("the command is empty"));
    };
    let mut env = Vec::with_capacity(start.env.len() + 1);
    for (name, value) in start.env.iter().filter(|(name, _)| name != CLAIM_MARK.as_bytes()) {
        env.push(text([name.as_slice(), b"=", value].concat(), "an environment variable")?);
    }
    env.push(text(format!("{CLAIM_MARK}={}", start.claim).into_bytes(), "the claim")?);
    let argv = start.argv.iter().map(|word| text(word.clone(), "the command"));
    Ok(SpawnPlan {
        text: SpawnText {
            candidates: candidates(start, program)?,
            argv: argv.collect::<Result<_, _>>()?,
            env,
            dir: text(start.dir.clone(), "the directory")?,
        },
        stdin: stdin(start, common)?,
        stdout,
        stderr,
        cgroup: cgroup.map(Cgroup::directory),
        umask: common.umask,
        files: common.files,
    })
}

/// The paths that `execvp` would try.
fn candidates(start: &Start, program: &[u8]) -> Result<Vec<CString>, End> {
    if program.contains(&b'/') {
        return Ok(vec![text(program.to_vec(), "the command")?]);
    }
    let path = start.env.iter().find(|(name, _)| name == b"PATH").map_or(PATH_DEFAULT, |(_, value)| value);
    let in_dir = |dir: &[u8]| {
        let dir = if dir.is_empty() { b"." } else { dir };
        text([dir, b"/", program].concat(), "PATH")
    };
    path.split(|byte| *byte == b':').map(in_dir).collect()
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
        ours: is_ours(errno),
    })
}

/// Says why nothing runs, and whose fault that is.
pub(super) fn could_not_start(start: &Start, failed: SpawnError) -> End {
    let what = match failed.step {
        Step::Clone => "cannot start a process".to_owned(),
        Step::Prepare => "cannot prepare the process".to_owned(),
        Step::Directory => format!("cannot enter directory `{}`", shown(&start.dir)),
        Step::Exec => format!("cannot run `{}`", shown(start.argv.first().map_or(b"", |word| word))),
    };
    let ours = is_ours(failed.errno) || matches!(failed.step, Step::Clone | Step::Prepare);
    End::CouldNotStart { message: format!("{what}: {}", plain(failed.errno)), ours }
}

/// Somebody has the program, or what interprets it, open for writing.
pub(super) fn is_text_busy(failed: SpawnError) -> bool {
    failed.step == Step::Exec && failed.errno == Errno::TXTBSY
}

/// For lack of something that the machine may have again in a moment.
fn is_ours(errno: Errno) -> bool {
    [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno)
}

fn refused(message: &str) -> End {
    End::CouldNotStart { message: message.to_owned(), ours: false }
}

fn text(bytes: Vec<u8>, what: &str) -> Result<CString, End> {
    CString::new(bytes).map_err(|_| refused(&format!("{what} holds a NUL byte")))
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
