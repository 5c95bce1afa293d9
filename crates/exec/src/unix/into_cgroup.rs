//! A child that begins its life in a control group, without the stop of the whole machine that moving it there costs.
//!
//! Only `clone3` (Linux 5.7) can do that, and the C library has no call for it that takes a stack: so it is made here, on
//! the processors that the product is built for. Elsewhere there is no such call, and children begin where we are.

use rustix::io::Errno;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

/// `CLONE_INTO_CGROUP`; the C library's constant has lost it on the way to a narrower type.
const INTO_CGROUP: u64 = 1 << 33;

/// As [`libc::clone`] with these flags and `SIGCHLD`, into a control group. `word`: of `CLONE_CHILD_CLEARTID`.
///
/// # Safety
/// The stack is nobody else's until the child has executed or exited, its end is aligned to 16 bytes, and what `entry`
/// does with `argument` is sound in a process that shares all memory with this one. `entry` must not return.
pub(super) unsafe fn clone_into(
    cgroup: BorrowedFd<'_>,
    flags: c_int,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
    (stack, stack_bytes): (*mut c_void, usize),
    word: *mut i32,
) -> Result<i32, Errno> {
    // SAFETY: all zeros are valid for this plain data.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64 | INTO_CGROUP;
    args.child_tid = word as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack as u64;
    args.stack_size = stack_bytes as u64;
    args.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: `args` lives until the call is over; the rest is the caller's promise.
    match unsafe { clone3(&args, entry, argument) } {
        pid if pid >= 0 => Ok(pid as i32),
        error => Err(Errno::from_raw_os_error(-error as i32)),
    }
}

/// The child has a stack of its own, on which there is nothing to return to: it goes from the call straight to `entry`.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: &libc::clone_args,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: the parent comes back with nothing changed but what is declared. The child's registers are its own.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    args: &libc::clone_args,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x9",
            "blr x10",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") args as *const libc::clone_args as isize => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x9") argument,
            in("x10") entry,
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: &libc::clone_args, _: extern "C" fn(*mut c_void) -> c_int, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}
