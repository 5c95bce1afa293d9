//! A control group (version 2) for one test, and programs that enter it. Where none can be made, the test says so and is over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::XattrFlags;

/// Waits for the end of what was killed.
const LOOKS_MAX: usize = 5000;
const LOOK: Duration = Duration::from_millis(2);

#[expect(clippy::print_stderr, reason = "no test is left out silently")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// A group below that of this process. When dropped, all that runs in it is killed, and it is deleted.
#[derive(Debug)]
pub struct Delegated {
    pub group: PathBuf,
    dir: tempfile::TempDir,
}

impl Delegated {
    /// It is delegated to nobody. `None` where this user may make no groups.
    pub fn unmarked() -> Option<Delegated> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let made = own_group().and_then(|above| {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let group = above.join(format!("test-{}-{count}", std::process::id()));
            fs::create_dir(&group).ok().map(|()| group)
        });
        let Some(group) = made else {
            skipped("no control group can be made here");
            return None;
        };
        Some(Delegated { group, dir: tempfile::tempdir().expect("a directory") })
    }

    /// It bears the mark of one that is delegated.
    pub fn marked() -> Option<Delegated> {
        let made = Delegated::unmarked()?;
        if rustix::fs::setxattr(&made.group, "user.delegate", b"1", XattrFlags::empty()).is_err() {
            skipped("this kernel keeps no marks of control groups");
            return None;
        }
        Some(made)
    }

    /// A program that enters the group and becomes this one.
    pub fn entering(&self, program: &Path) -> PathBuf {
        let path = self.dir.path().join("entering");
        let procs = self.group.join("cgroup.procs");
        let script = format!(
            "#!/bin/sh\necho $$ > '{}' || exit\nexec '{}' \"$@\"\n",
            procs.display(),
            program.display()
        );
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("ours");
        path
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        let events = self.group.join("cgroup.events");
        let is_empty = || fs::read_to_string(&events).is_ok_and(|text| text.contains("populated 0"));
        for _ in 0..LOOKS_MAX {
            if is_empty() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        remove(&self.group);
    }
}

fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// Where this process is, if version 2 is mounted.
fn own_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let point = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(point.join(own))
}
