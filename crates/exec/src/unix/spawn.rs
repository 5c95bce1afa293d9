//! Starts a process as `vfork` and `exec` do: the child borrows our memory, on a stack of its own, until it has become
//! the program. So it says in plain memory what went wrong, and nothing is copied.
//!
//! Never the first thread of the process, see `Orphans`, and always the same one, which lives as long as the process, as
//! the death signal needs: that one is sent when the *thread* that started the child ends.

use super::detach::on_main_thread;
use super::into_cgroup::clone_into;
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

/// The child's stack, in bytes. It holds a few frames of system calls.
const STACK_BYTES: usize = 64 * 1024;
/// What runs a script without an interpreter line, as `execvp` does it.
const SHELL: &CStr = c"/bin/sh";

/// Soft and hard limit of open files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLimit {
    pub soft: u64,
    pub hard: u64,
}

/// All that the child needs, made ready before it exists.
#[derive(Debug)]
pub(crate) struct SpawnPlan {
    /// Paths of the program in the order of trying. Not empty.
    pub candidates: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub dir: CString,
    pub stdin: Arc<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// The directory of the control group to begin in; ours if there is none.
    pub cgroup: Option<Arc<File>>,
    pub umask: u32,
    /// Set before exec; `None` leaves it as it is.
    pub files: Option<FileLimit>,
}

/// Which step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Making the process.
    Clone,
    /// Preparing it.
    Prepare,
    /// Changing to its directory.
    Directory,
    /// Becoming the program.
    Exec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnError {
    pub step: Step,
    pub errno: Errno,
}

/// Starts processes, one at a time, as children of the thread that calls it.
pub(crate) struct Spawner {
    stack: Stack,
}

impl Spawner {
    pub(crate) fn new() -> io::Result<Spawner> {
        Ok(Spawner { stack: Stack::new()? })
    }

    /// Runs the plan's program and returns its pid once it runs, or has failed to.
    pub(crate) fn spawn(&self, plan: &SpawnPlan) -> Result<i32, SpawnError> {
        debug_assert!(!on_main_thread(), "its children are told from orphans by their parent");
        spawn(plan, &self.stack)
    }
}

/// Memory for the child's stack with an inaccessible page below it.
struct Stack {
    base: *mut c_void,
    len: usize,
}

impl Stack {
    fn new() -> io::Result<Stack> {
        // SAFETY: asks for a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let len = STACK_BYTES + page;
        // SAFETY: a fresh private mapping; the page that is protected belongs to it.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let base = libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            if libc::mprotect(base, page, libc::PROT_NONE) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Stack { base, len })
        }
    }

    /// Where it begins, and its length in bytes.
    fn whole(&self) -> (*mut c_void, usize) {
        (self.base, self.len)
    }

    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping, where a stack that grows down begins.
        unsafe { self.base.byte_add(self.len) }
    }
}

/// What parent and child share. Raw pointers, because the child must not allocate.
struct Shared {
    candidates: *const *const c_char,
    argv: *const *const c_char,
    /// `/bin/sh`, a free place for the script, and the arguments.
    shell_argv: *mut *const c_char,
    env: *const *const c_char,
    dir: *const c_char,
    stdin: c_int,
    stdout: c_int,
    stderr: c_int,
    umask: u32,
    files: Option<libc::rlimit>,
    parent: i32,
    failed: Option<(Step, i32)>,
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

fn spawn(plan: &SpawnPlan, stack: &Stack) -> Result<i32, SpawnError> {
    let descriptors = [plan.stdin.as_raw_fd(), plan.stdout.as_raw_fd(), plan.stderr.as_raw_fd()];
    assert!(
        descriptors.iter().all(|&fd| fd > 2),
        "the child's descriptors must not be among those they replace"
    );
    let candidates = pointers(&plan.candidates);
    let argv = pointers(&plan.argv);
    let env = pointers(&plan.env);
    let mut shell_argv = vec![SHELL.as_ptr(), ptr::null()];
    shell_argv.extend(&argv[1..]);
    let mut shared = Shared {
        candidates: candidates.as_ptr(),
        argv: argv.as_ptr(),
        shell_argv: shell_argv.as_mut_ptr(),
        env: env.as_ptr(),
        dir: plan.dir.as_ptr(),
        stdin: descriptors[0],
        stdout: descriptors[1],
        stderr: descriptors[2],
        umask: plan.umask,
        files: plan.files.map(|limit| libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard }),
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        failed: None,
    };
    // SAFETY: with CLONE_VFORK this thread sleeps until the child has executed or exited, so that everything `shared`
    // points to outlives the child's use of it and nobody else uses the stack. Descriptors, signal dispositions and
    // mask, umask and directory are the child's own copies.
    let cloned = unsafe { clone(plan, stack, (&raw mut shared).cast()) };
    let pid = cloned.map_err(|errno| SpawnError { step: Step::Clone, errno })?;
    // SAFETY: the child wrote through the pointer, behind the compiler's back.
    match unsafe { ptr::read_volatile(&raw const shared.failed) } {
        None => Ok(pid),
        Some((step, errno)) => {
            // SAFETY: reaps our own child, which has exited or is about to.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            Err(SpawnError { step, errno: Errno::from_raw_os_error(errno) })
        }
    }
}

/// Makes the child, in its control group if it can be. It is one more hold on it, not the only one, so that for lack of it
/// nothing is refused.
unsafe fn clone(plan: &SpawnPlan, stack: &Stack, shared: *mut c_void) -> Result<i32, Errno> {
    if let Some(cgroup) = &plan.cgroup {
        // SAFETY: the caller's promise; `child` does not return.
        match unsafe { clone_into(cgroup.as_fd(), child, shared, stack.whole()) } {
            Err(errno) if errno != Errno::AGAIN && errno != Errno::NOMEM => {}
            cloned => return cloned,
        }
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the caller's promise.
    let pid = unsafe { libc::clone(child, stack.top(), flags, shared) };
    if pid < 0 { Err(last_errno()) } else { Ok(pid) }
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// Runs in the child, in our memory: no allocation, no locks, no panic, system calls only.
extern "C" fn child(argument: *mut c_void) -> c_int {
    let shared: *mut Shared = argument.cast();
    // SAFETY: `spawn` passes a valid pointer that nobody else touches until this process has executed or exited. All
    // pointers in it are valid null-terminated arrays and strings.
    unsafe {
        let (step, errno) = match prepare(&*shared) {
            Ok(()) => (Step::Exec, execute(&*shared)),
            Err(failure) => failure,
        };
        ptr::write_volatile(&raw mut (*shared).failed, Some((step, errno)));
        libc::_exit(127)
    }
}

unsafe fn prepare(shared: &Shared) -> Result<(), (Step, i32)> {
    let must = |result: c_int, step: Step| if result < 0 { Err((step, errno())) } else { Ok(()) };
    // SAFETY: plain system calls on values of this process; see `child`.
    unsafe {
        must(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), Step::Prepare)?;
        // The parent may have died before the line above, and then the signal never comes.
        if libc::getppid() != shared.parent {
            return Err((Step::Prepare, libc::ESRCH));
        }
        must(libc::setpgid(0, 0), Step::Prepare)?;
        libc::umask(shared.umask);
        if let Some(limit) = &shared.files {
            must(libc::setrlimit(libc::RLIMIT_NOFILE, limit), Step::Prepare)?;
        }
        must(libc::chdir(shared.dir), Step::Directory)?;
        must(libc::dup2(shared.stdin, 0), Step::Prepare)?;
        must(libc::dup2(shared.stdout, 1), Step::Prepare)?;
        must(libc::dup2(shared.stderr, 2), Step::Prepare)?;
        must(libc::syscall(libc::SYS_close_range, 3, c_int::MAX, 0) as c_int, Step::Prepare)?;
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        must(libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()), Step::Prepare)
    }
}

/// Tries one candidate after the other as `execvp` does. Returns the error, as success does not return.
unsafe fn execute(shared: &Shared) -> i32 {
    let mut denied = false;
    let mut last = libc::ENOENT;
    let mut candidate = shared.candidates;
    // SAFETY: see `child`; `shell_argv` has a place for the script at its second position.
    unsafe {
        while !(*candidate).is_null() {
            libc::execve(*candidate, shared.argv, shared.env);
            let mut error = errno();
            if error == libc::ENOEXEC {
                *shared.shell_argv.add(1) = *candidate;
                libc::execve(SHELL.as_ptr(), shared.shell_argv, shared.env);
                error = errno();
            }
            match error {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => last = error,
                other => return other,
            }
            candidate = candidate.add(1);
        }
    }
    // SAFETY: as above; the list is not empty.
    let looked_up = unsafe { !(*shared.candidates.add(1)).is_null() };
    match (denied, looked_up) {
        (true, _) => libc::EACCES,
        (false, true) => libc::ENOENT,
        // The one path that was named says best what is wrong with it.
        (false, false) => last,
    }
}

fn errno() -> i32 {
    // SAFETY: the C library's own place for it, always valid.
    unsafe { *libc::__errno_location() }
}
