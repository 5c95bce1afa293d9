//! Starts a process as `vfork` and `exec` do: the child borrows our memory, on a stack of its own, until it has become
//! the program. So it says in plain memory what went wrong, and nothing is copied. Unlike after `vfork` we do not wait
//! for it: the kernel clears a word of ours when it lets our memory go.
//!
//! Never the first thread of the process, see `Orphans`, and always the same one, which lives as long as the process, as
//! the death signal needs: that one is sent when the *thread* that started the child ends.

use super::child::{SHELL, Shared, child};
use super::detach::on_main_thread;
use super::into_cgroup::clone_into;
use super::raw;
use crate::texts::Texts;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The child's stack, in bytes. It holds a few frames of system calls.
const STACK_BYTES: usize = 64 * 1024;
/// Where the child's system calls go by way of the C library, we wait until it is done with them.
const FLAGS: c_int =
    libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | if raw::IS_PURE { 0 } else { libc::CLONE_VFORK };

/// Soft and hard limit of open files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLimit {
    pub soft: u64,
    pub hard: u64,
}

/// All that the child needs, made ready before it exists.
#[derive(Debug)]
pub(crate) struct SpawnPlan {
    pub text: SpawnText,
    pub stdin: Arc<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// The directory of the control group to begin in; ours if there is none.
    pub cgroup: Option<Arc<File>>,
    pub umask: u32,
    /// Set before exec; `None` leaves it as it is.
    pub files: Option<FileLimit>,
}

/// What of it is text.
#[derive(Debug)]
pub(crate) struct SpawnText {
    /// Paths of the program in the order of trying. Not empty.
    pub candidates: Texts,
    pub argv: Texts,
    pub env: Texts,
    pub dir: CString,
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

/// Starts processes as children of the thread that calls it.
#[derive(Default)]
pub(crate) struct Spawner {
    /// Stacks that no child is on. As many as there were children at once that had not become their programs.
    stacks: Vec<Stack>,
}

/// A child that may not have become its program yet. Unless its spawner takes it back, what is lent to the
/// child stays so: it may be in use.
pub(crate) struct Launch {
    pub pid: i32,
    lent: NonNull<Lent>,
}

impl Launch {
    /// `None` until the child has become its program, or has died; then whether it failed to.
    pub(crate) fn outcome(&self) -> Option<Result<(), SpawnError>> {
        if self.on_loan().load(Ordering::Acquire) != 0 {
            return None;
        }
        // SAFETY: the child is gone from our memory; it wrote behind the compiler's back.
        let failed = unsafe { ptr::read_volatile(&raw const (*self.lent.as_ptr()).shared.failed) };
        let error = |(step, errno)| SpawnError { step, errno: Errno::from_raw_os_error(errno) };
        Some(failed.map_or(Ok(()), |failed| Err(error(failed))))
    }

    /// The same, once it is known, or this time is over.
    pub(crate) fn wait(&self, up_to: Duration) -> Option<Result<(), SpawnError>> {
        let timeout = Timespec::try_from(up_to).ok();
        // The kernel wakes whoever waits for the word that it clears.
        while self.outcome().is_none()
            && !matches!(
                futex::wait(self.on_loan(), futex::Flags::empty(), 1, timeout.as_ref()),
                Err(Errno::TIMEDOUT)
            )
        {}
        self.outcome()
    }

    fn on_loan(&self) -> &AtomicU32 {
        // SAFETY: it lives until `end` has consumed this launch, and is changed as an atomic only.
        unsafe { &(*self.lent.as_ptr()).on_loan }
    }

    /// The stack that the child does not use any more, if that is so.
    fn end(self) -> Option<Stack> {
        let _ = self.outcome()?;
        // SAFETY: it was leaked for this launch, which is consumed, and the child is gone from it.
        Some(unsafe { Box::from_raw(self.lent.as_ptr()) }.stack)
    }
}

impl Spawner {
    /// Makes a process that is to become the plan's program.
    pub(crate) fn spawn(&mut self, plan: SpawnPlan) -> Result<Launch, SpawnError> {
        debug_assert!(!on_main_thread(), "its children are told from orphans by their parent");
        let failed = |errno| SpawnError { step: Step::Clone, errno };
        let stack = match self.stacks.pop() {
            Some(stack) => stack,
            None => Stack::new().map_err(failed)?,
        };
        let SpawnPlan { text, stdin, stdout, stderr, cgroup, umask, files } = plan;
        let files = files.map(|limit| libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard });
        let descriptors = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
        assert!(
            descriptors.iter().all(|&fd| fd > 2),
            "the child's descriptors must not be among those they replace"
        );
        let mut lent = Box::new(Lent::new(text, stack));
        lent.shared = Shared { descriptors, umask, files, ..lent.shared };
        let lent = NonNull::from(Box::leak(lent));
        // SAFETY: what the child uses is lent to it until it has executed or exited. Its descriptors, signal dispositions
        // and mask, umask and directory are its own copies.
        match unsafe { clone(lent, cgroup.as_deref()) } {
            Ok(pid) => Ok(Launch { pid, lent }),
            Err(errno) => {
                // SAFETY: nobody else has ever had it.
                self.stacks.push(unsafe { Box::from_raw(lent.as_ptr()) }.stack);
                Err(failed(errno))
            }
        }
    }

    /// Takes back what was lent to a child that is gone from our memory.
    pub(crate) fn take_back(&mut self, launch: Launch) {
        self.stacks.extend(launch.end());
    }
}

/// What a child uses of our memory.
struct Lent {
    /// Not zero until the kernel says that the child does not use it any more.
    on_loan: AtomicU32,
    shared: Shared,
    stack: Stack,
    /// What `shared` points to.
    _text: SpawnText,
    _lists: [Vec<*const c_char>; 4],
}

impl Lent {
    fn new(text: SpawnText, stack: Stack) -> Lent {
        let [candidates, argv, env] = [&text.candidates, &text.argv, &text.env].map(Texts::pointers);
        let mut shell_argv = vec![SHELL.as_ptr(), ptr::null()];
        shell_argv.extend(&argv[1..]);
        let shared = Shared {
            candidates: candidates.as_ptr(),
            argv: argv.as_ptr(),
            shell_argv: shell_argv.as_mut_ptr(),
            env: env.as_ptr(),
            dir: text.dir.as_ptr(),
            descriptors: [-1; 3],
            umask: 0,
            files: None,
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            failed: None,
        };
        let lists = [candidates, argv, env, shell_argv];
        Lent { on_loan: AtomicU32::new(1), shared, stack, _text: text, _lists: lists }
    }
}

/// Memory for the child's stack with an inaccessible page below it.
struct Stack {
    base: *mut c_void,
    len: usize,
}

impl Stack {
    fn new() -> Result<Stack, Errno> {
        // SAFETY: asks for a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let len = STACK_BYTES + page;
        // SAFETY: a fresh private mapping; the page that is protected belongs to it.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let base = libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(last_errno());
            }
            if libc::mprotect(base, page, libc::PROT_NONE) != 0 {
                return Err(last_errno());
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

/// Makes the child, in its control group if it can be. It is one more hold on it, not the only one, so that for lack of it
/// nothing is refused.
unsafe fn clone(lent: NonNull<Lent>, cgroup: Option<&File>) -> Result<i32, Errno> {
    let lent = lent.as_ptr();
    // SAFETY: the caller's promise; `child` does not return.
    unsafe {
        let (stack, shared) = (&(*lent).stack, (&raw mut (*lent).shared).cast());
        let word = (*lent).on_loan.as_ptr().cast();
        if let Some(cgroup) = cgroup {
            match clone_into(cgroup.as_fd(), FLAGS, child, shared, stack.whole(), word) {
                Err(errno) if errno != Errno::AGAIN && errno != Errno::NOMEM => {}
                cloned => return cloned,
            }
        }
        let none = ptr::null_mut::<c_void>();
        let pid = libc::clone(child, stack.top(), FLAGS | libc::SIGCHLD, shared, none, none, word);
        if pid < 0 { Err(last_errno()) } else { Ok(pid) }
    }
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
