//! Under which conditions a run was made.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::stand::{Fault, Scale, Stand};

#[derive(Debug, Serialize)]
pub struct Conditions {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    pub file_system: String,
    pub queuectl: String,
    pub sqlite: String,
    pub commit: String,
}

impl Conditions {
    pub fn found(stand: &Stand) -> Conditions {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Conditions {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu.map_or("unknown CPU", |(_, name)| name).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&std::env::temp_dir(), &read("/proc/self/mounts")),
            queuectl: said(Command::new(&stand.queuectl).arg("--version")),
            sqlite: rusqlite::version().to_owned(),
            commit: said(
                Command::new("git").arg("-C").arg(Stand::source()).args(["describe", "--always", "--dirty"]),
            ),
        }
    }

    /// Where nothing is synced, nothing durable can be measured.
    pub fn refuse_memory(&self, scale: Scale) -> Result<(), Fault> {
        if scale == Scale::Full && ["tmpfs", "ramfs"].contains(&self.file_system.as_str()) {
            let dir = std::env::temp_dir();
            return Err(format!("{} is in memory: set TMPDIR to a directory on a disk", dir.display()).into());
        }
        Ok(())
    }

    pub fn line(&self) -> String {
        let Conditions { cores, cpu, kernel, file_system, queuectl, sqlite, commit } = self;
        format!(
            "{cores} cores ({cpu}), Linux {kernel}, {file_system}, {queuectl}, commit {commit}, SQLite {sqlite}"
        )
    }
}

/// The first line that a program prints.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.as_deref().and_then(|text| text.lines().next()).unwrap_or("unknown").to_owned()
}

/// The type of the mount that a directory is on: of those above it, the deepest.
fn file_system(dir: &Path, mounts: &str) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        dir.starts_with(place).then_some((place.len(), kind))
    });
    above.max_by_key(|(len, _)| *len).map_or("unknown file system", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_above_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(file_system(Path::new("/tmp/x"), mounts), "tmpfs");
        assert_eq!(file_system(Path::new("/var"), mounts), "ext4");
    }
}
