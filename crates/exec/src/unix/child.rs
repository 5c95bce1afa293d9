//! What a child does between clone and exec, in our memory, while we go on: no allocation, no locks, no panic, and no
//! system call by way of the C library, which would note its errors where ours are.

use super::raw::call;
use super::spawn::Step;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;

/// What runs a script without an interpreter line, as `execvp` does it.
pub(super) const SHELL: &CStr = c"/bin/sh";
/// The kernel's own record of a disposition has four words, or fewer. All zeros is the default one.
const DEFAULT_ACTION: [u64; 8] = [0; 8];
const KERNEL_SET_BYTES: usize = 8;

/// What parent and child share. Raw pointers, because the child must not allocate.
pub(super) struct Shared {
    /// Paths of the program; like all lists here with a null pointer at its end.
    pub candidates: *const *const c_char,
    pub argv: *const *const c_char,
    /// `/bin/sh`, a free place for the script, and the arguments.
    pub shell_argv: *mut *const c_char,
    pub env: *const *const c_char,
    pub dir: *const c_char,
    /// Standard input, output and error. Above 2.
    pub descriptors: [c_int; 3],
    pub umask: u32,
    pub files: Option<libc::rlimit>,
    pub parent: i32,
    /// Written by the child, if it does not become its program.
    pub failed: Option<(Step, i32)>,
}

/// Where the child begins; it does not return.
pub(super) extern "C" fn child(argument: *mut c_void) -> c_int {
    let shared: *mut Shared = argument.cast();
    // SAFETY: `spawn` passes a valid pointer and leaves what is behind it alone until this process has executed or
    // exited. All pointers in it are valid null-terminated arrays and strings.
    unsafe {
        let (step, errno) = match prepare(&*shared) {
            Ok(()) => (Step::Exec, execute(&*shared)),
            Err(failure) => failure,
        };
        ptr::write_volatile(&raw mut (*shared).failed, Some((step, errno)));
        loop {
            call(libc::SYS_exit_group, [127, 0, 0, 0]);
        }
    }
}

/// A call that must not fail, as a part of this step.
unsafe fn must(step: Step, number: c_long, arguments: [usize; 4]) -> Result<(), (Step, i32)> {
    // SAFETY: the caller's promise.
    let answer = unsafe { call(number, arguments) };
    if answer < 0 { Err((step, -answer as i32)) } else { Ok(()) }
}

unsafe fn prepare(shared: &Shared) -> Result<(), (Step, i32)> {
    // SAFETY: plain system calls on values of this process; see `child`.
    unsafe {
        let death = [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0];
        must(Step::Prepare, libc::SYS_prctl, death)?;
        // The parent may have died before the line above, and then the signal never comes.
        if call(libc::SYS_getppid, [0; 4]) != shared.parent as isize {
            return Err((Step::Prepare, libc::ESRCH));
        }
        must(Step::Prepare, libc::SYS_setpgid, [0; 4])?;
        call(libc::SYS_umask, [shared.umask as usize, 0, 0, 0]);
        if let Some(limit) = &shared.files {
            let files = [0, libc::RLIMIT_NOFILE as usize, ptr::from_ref(limit) as usize, 0];
            must(Step::Prepare, libc::SYS_prlimit64, files)?;
        }
        must(Step::Directory, libc::SYS_chdir, [shared.dir as usize, 0, 0, 0])?;
        let [stdin, stdout, stderr] = shared.descriptors;
        for (from, theirs) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
            must(Step::Prepare, libc::SYS_dup3, [from as usize, theirs, 0, 0])?;
        }
        must(Step::Prepare, libc::SYS_close_range, [3, c_int::MAX as usize, 0, 0])?;
        let action = ptr::from_ref(&DEFAULT_ACTION) as usize;
        let broken_pipe = [libc::SIGPIPE as usize, action, 0, KERNEL_SET_BYTES];
        must(Step::Prepare, libc::SYS_rt_sigaction, broken_pipe)?;
        let none = 0_u64;
        let unblocked = [libc::SIG_SETMASK as usize, ptr::from_ref(&none) as usize, 0, KERNEL_SET_BYTES];
        must(Step::Prepare, libc::SYS_rt_sigprocmask, unblocked)
    }
}

/// Tries one candidate after the other as `execvp` does. Returns the error, as success does not return.
unsafe fn execute(shared: &Shared) -> i32 {
    let mut denied = false;
    let mut last = libc::ENOENT;
    let mut candidate = shared.candidates;
    // SAFETY: see `child`; `shell_argv` has a place for the script at its second position.
    unsafe {
        let become_ = |program: *const c_char, argv: *const *const c_char| {
            -call(libc::SYS_execve, [program as usize, argv as usize, shared.env as usize, 0]) as i32
        };
        while !(*candidate).is_null() {
            let mut error = become_(*candidate, shared.argv);
            if error == libc::ENOEXEC {
                *shared.shell_argv.add(1) = *candidate;
                error = become_(SHELL.as_ptr(), shared.shell_argv);
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
