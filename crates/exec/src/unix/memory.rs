//! Memory of a process that will live for long.

use std::fs;

/// Gives back the pages of program code that are mapped so far. Starting up touches most of a program, and work a small
/// part of it, which comes back from the page cache as it is called. For who starts once and then waits.
pub fn forget_start_up() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in maps.lines().filter_map(code) {
        // SAFETY: the pages are a file's, were never written and cannot be, so that what is dropped is read again, also
        // by this very loop.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
}

/// The addresses of a mapping of code from a file: `start-end perms offset device inode path`.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_code.then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_code_of_a_file_is_given_back() {
        let text = "5581a0-5581b0 r-xp 0028a000 fe:00 123                    /usr/bin/queuectl";
        assert_eq!(code(text), Some((0x0055_81a0, 0x0055_81b0)));
        // What was relocated looks like this, and is in no file.
        assert_eq!(code(&text.replace("r-xp", "r--p")), None);
        assert_eq!(code(&text.replace("r-xp", "rwxp")), None);
        assert_eq!(code("7ff000-7ff100 r-xp 00000000 00:00 0                   [vdso]"), None);
        assert_eq!(code("7ff000-7ff100 r-xp 00000000 00:00 0"), None);
    }

    #[test]
    fn the_program_goes_on() {
        forget_start_up();
        assert!(fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| code(line).is_some()));
    }
}
