//! System calls past the C library: that one keeps the last error in memory which a child shares with us until its exec.

use std::ffi::c_long;

/// Whether [`call`] touches no memory but what its arguments name.
pub(super) const IS_PURE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Asks the kernel; a negative answer is the number of an error.
///
/// # Safety
/// What the kernel does on that is sound in this process.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes no register but those that are declared.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As above.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let answer: isize;
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => answer,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            options(nostack),
        );
    }
    answer
}

/// As above, by way of the C library.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let [a, b, c, d] = arguments;
    // SAFETY: the caller's promise; the place of the last error is always valid.
    unsafe {
        match libc::syscall(number, a, b, c, d) {
            -1 => -(*libc::__errno_location() as isize),
            answer => answer as isize,
        }
    }
}
