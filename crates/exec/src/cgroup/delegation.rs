//! Whether the control group that a process is in has been handed over to its user.
//!
//! Writing there is not enough: whoever manages the groups of a machine (systemd) wants to be alone with them. A group is
//! delegated if it is marked so, as systemd does with `Delegate=yes` (`user.delegate`, before version 251
//! `trusted.delegate`), or if it belongs to this user, who is not root, and the one above does not.

use rustix::fs::{Access, access, getxattr};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// The group of this process, if it is delegated.
pub(super) fn delegated() -> Option<PathBuf> {
    let me = std::process::id();
    let group = group_of(me)?;
    // A threaded group cannot have processes below it. The one at the very top says nothing, and is nobody's.
    let is_domain = fs::read_to_string(group.join("cgroup.type")).is_ok_and(|kind| kind.trim() == "domain");
    let is_delegated = is_domain && may_write(&group) && (is_marked(&group) || begins_with_us(&group));
    // What we believe to be ours must know us: mounts can be misleading.
    let knows = |members: String| members.lines().any(|line| line == me.to_string());
    (is_delegated && fs::read_to_string(group.join("cgroup.procs")).is_ok_and(knows)).then_some(group)
}

/// The group of a process, as far as it can be seen from here.
pub(super) fn group_of(pid: u32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    place(&mounts, own_group(&groups)?)
}

fn may_write(place: &Path) -> bool {
    [place, &place.join("cgroup.procs")].into_iter().all(|path| access(path, Access::WRITE_OK).is_ok())
}

fn is_marked(place: &Path) -> bool {
    MARKS.iter().any(|mark| {
        let mut value = [0; 2];
        getxattr(place, *mark, &mut value[..]) == Ok(1) && value[0] == b'1'
    })
}

/// Whether it belongs to this user, and what is above it, as far as that can be seen, to another one.
fn begins_with_us(place: &Path) -> bool {
    let user = rustix::process::geteuid();
    let is_ours = |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() == user.as_raw());
    let above = place.parent().filter(|above| above.join("cgroup.procs").exists());
    !user.is_root() && is_ours(place) && !above.is_some_and(is_ours)
}

/// The path of the version 2 group: the line without a hierarchy's number and without controllers.
fn own_group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Where the group with this path is to be seen: under a mount of type `cgroup2`, which in a hybrid layout is somewhere
/// below the others, and may show only a part of the tree.
fn place(mounts: &[u8], group: &str) -> Option<PathBuf> {
    if group.split('/').any(|name| name == "..") {
        return None;
    }
    mounts.split(|&byte| byte == b'\n').find_map(|line| {
        let (mount, rest) = line.split_at(find(line, b" - ")?);
        if !rest.starts_with(b" - cgroup2 ") {
            return None;
        }
        let mut fields = mount.split(|&byte| byte == b' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(group).strip_prefix(PathBuf::from(unescape(root))).ok()?;
        let point = PathBuf::from(unescape(point));
        Some(if below.as_os_str().is_empty() { point } else { point.join(below) })
    })
}

fn find(line: &[u8], what: &[u8]) -> Option<usize> {
    line.windows(what.len()).position(|window| window == what)
}

/// Spaces and the like are written as three octal digits after a backslash.
fn unescape(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digits =
            tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &[u8] = b"30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &[u8] = b"31 20 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
        42 31 0:39 / /sys/fs/cgroup/systemd rw,relatime shared:10 - cgroup cgroup rw,name=systemd\n";

    fn shown(mounts: &[u8], group: &str) -> Option<String> {
        place(mounts, group).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_group_is_found_in_unified_and_hybrid_layouts() {
        let groups = "12:pids:/a\n1:name=systemd:/system.slice/q.service\n0::/system.slice/q.service\n";
        assert_eq!(own_group(groups), Some("/system.slice/q.service"));
        assert_eq!(
            shown(UNIFIED, "/system.slice/q.service").unwrap(),
            "/sys/fs/cgroup/system.slice/q.service"
        );
        assert_eq!(shown(HYBRID, "/q.service").unwrap(), "/sys/fs/cgroup/unified/q.service");
        assert_eq!(shown(HYBRID, "/").unwrap(), "/sys/fs/cgroup/unified");
    }

    #[test]
    fn without_version_2_there_is_none() {
        assert_eq!(own_group("12:pids:/a\n1:name=systemd:/\n"), None);
        assert_eq!(shown(b"42 31 0:39 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n", "/a"), None);
    }

    #[test]
    fn what_a_mount_does_not_show_is_not_there() {
        let part: &[u8] = b"30 1 0:26 /docker/7 /sys/fs/c\\040group rw - cgroup2 cgroup2 rw\n";
        assert_eq!(shown(part, "/docker/7/q").unwrap(), "/sys/fs/c group/q");
        assert_eq!(shown(part, "/docker/77"), None);
        assert_eq!(shown(UNIFIED, "/../q"), None, "outside of this namespace");
    }
}
