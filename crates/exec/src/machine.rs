//! Which machine this is: two processes share one only if boot id and pid namespace are equal (and the run directory).

use std::io;
use std::os::unix::fs::MetadataExt;

/// The random id of this boot of the kernel, as it spells it.
pub fn boot_id() -> String {
    // Without `/proc` no keeper can work; an empty id is nobody's, so that nothing is taken for being of this boot.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The pid namespace of this process, as the number of its inode.
pub fn pid_namespace() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

/// Bytes that this user may still write where a path lies.
pub fn free_bytes(path: &std::path::Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail * found.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_stays_itself() {
        assert_eq!(boot_id(), boot_id());
        assert_ne!(boot_id(), "");
        assert_ne!(pid_namespace().unwrap(), 0);
    }
}
