//! Looking after a store: what is amiss, and what to do about it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use queuectl_core::limits::{CLOCK_SLACK, DISK_FREE_PROBLEM_BYTES, DISK_FREE_WARNING_BYTES};
use queuectl_core::store::{StoreResult, WorkerRow};
use queuectl_core::time::Timestamp;
use queuectl_exec::rundir::{self, Kind};
use queuectl_exec::{has_groups, is_as_kept};

use crate::client::Client;
use crate::open::{Examination, blocking, examine};
use crate::view::{DoctorView, Finding};

impl Client {
    /// Looks for everything that can be amiss. Changes nothing. `version`: of the program that asks.
    pub async fn examine(&self, version: &str) -> StoreResult<DoctorView> {
        let place = self.place();
        let path = Path::new(&place.name);
        let seen = examine(path).await?;
        if !seen.damage.is_empty() {
            // Nothing that a damaged database says is worth judging.
            return Ok(DoctorView::new(
                place.name,
                [integrity(&seen)].into_iter().chain(suspect(&seen)).collect(),
            ));
        }
        let now = self.now().await?;
        let workers = self.live_workers().await?;
        let mut findings =
            vec![Finding::ok("version", format!("queuectl {version}, schema {}", seen.schema))];
        findings.push(integrity(&seen));
        findings.extend(suspect(&seen));
        findings.push(counts(&seen));
        findings.push(commands(&seen));
        findings.extend(modes(path, &place.run_dir, &place.out_dir));
        findings.push(log(self.overgrown_log().await?));
        findings.push(free_space(path));
        findings.extend(self.claims(&place.run_dir).await?);
        findings.extend(processes(&place.run_dir, &workers, version));
        let quiet = self.store.owners().await?.is_empty() && !any_left(&place.run_dir);
        findings.push(clock(&seen, now));
        findings.extend(blocking(move || Ok(outputs(&seen, &place.out_dir, quiet))).await?);
        Ok(DoctorView::new(place.name, findings))
    }

    /// Claims whose keeper is not alive.
    async fn claims(&self, run_dir: &Path) -> StoreResult<Vec<Finding>> {
        let mut lost = Vec::new();
        for owner in self.store.owners().await? {
            if !rundir::is_alive(run_dir, Kind::Keeper, &owner).unwrap_or(true) {
                lost.extend(
                    self.store.claims_of(&owner).await?.into_iter().map(|claim| claim.job.id.to_string()),
                );
            }
        }
        if lost.is_empty() {
            return Ok(vec![Finding::ok(
                "claims",
                "every running job has a keeper that is alive".to_owned(),
            )]);
        }
        lost.truncate(10);
        let message =
            format!("jobs are marked as running, but whoever ran them is gone: {}", lost.join(", "));
        Ok(vec![Finding::warning("claims", message, "any worker brings them back; `queuectl worker start`")])
    }
}

fn integrity(seen: &Examination) -> Finding {
    match seen.damage.first() {
        None => Finding::ok("integrity", "the database is sound".to_owned()),
        Some(first) => Finding::problem(
            "integrity",
            format!("the database is damaged: {first}"),
            "stop the workers, keep the file, and restore the latest backup with `queuectl restore`, or save what is whole \
             with `queuectl doctor --salvage NEW`",
        ),
    }
}

fn suspect(seen: &Examination) -> Option<Finding> {
    seen.suspect.as_ref().map(|when| {
        Finding::warning(
            "suspect",
            format!("the disk failed to keep what was written ({when})"),
            "look at the disk; the next queuectl that writes checks the database first, such as `queuectl migrate`",
        )
    })
}

fn counts(seen: &Examination) -> Finding {
    match seen.miscounted.first() {
        None => Finding::ok("counts", "the kept counts are right".to_owned()),
        Some((what, kept, there)) => Finding::problem(
            "counts",
            format!("{kept} jobs are counted as {what}, and {there} are there"),
            "another program has written to the database; `queuectl backup`, then report it",
        ),
    }
}

fn commands(seen: &Examination) -> Finding {
    let (named, total) = &seen.altered;
    if *total == 0 {
        return Finding::ok("commands", "every stored command is what was enqueued".to_owned());
    }
    let message = format!(
        "what is stored of the commands of {total} jobs is not what was enqueued, and none of them is run: {}",
        named.join(", ")
    );
    let hint = "damage, or another program has written to the database; look at them with `queuectl show ID`, \
                enqueue what is still wanted anew, and `queuectl delete ID`";
    Finding::problem("commands", message, hint)
}

/// Others must not read commands and outputs, let alone change them.
fn modes(database: &Path, run_dir: &Path, out_dir: &Path) -> Vec<Finding> {
    let user = rustix::process::geteuid().as_raw();
    let mut findings = Vec::new();
    for path in [database, run_dir, out_dir] {
        let Ok(found) = fs::metadata(path) else { continue };
        let (mode, shown) = (found.mode() & 0o777, path.display());
        if found.uid() != user {
            let message = format!("{shown} belongs to user {}, and this is user {user}", found.uid());
            findings.push(Finding::problem("owner", message, "run queuectl as the user whose queue it is"));
        }
        if mode & 0o022 != 0 {
            let message =
                format!("{shown} can be changed by others (mode {mode:o}): they can run commands as you");
            findings.push(Finding::problem("modes", message, &format!("chmod go-rwx {shown}")));
        } else if mode & 0o044 != 0 {
            let message = format!("{shown} can be read by others (mode {mode:o})");
            findings.push(Finding::warning("modes", message, &format!("chmod go-rwx {shown}")));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("modes", "the files are yours alone".to_owned()));
    }
    findings
}

fn log(overgrown: Option<u64>) -> Finding {
    match overgrown {
        None => Finding::ok("log", "the write-ahead log is short".to_owned()),
        Some(bytes) => Finding::warning(
            "log",
            format!(
                "the write-ahead log has {} MiB: another process keeps an old state open",
                bytes / (1024 * 1024)
            ),
            "end that process (a SQL shell, a copy?); a worker then empties the log within seconds",
        ),
    }
}

fn free_space(database: &Path) -> Finding {
    let Ok(free) = queuectl_exec::machine::free_bytes(database) else {
        let message = "the file system does not tell how much is free".to_owned();
        return Finding::warning("space", message, "look at it with `df`");
    };
    let message = format!("{} MiB are free where the database lies", free / (1024 * 1024));
    let hint = "`queuectl prune --older-than 7d`, or retain-completed, make room";
    match free {
        _ if free < DISK_FREE_PROBLEM_BYTES => Finding::problem("space", message, hint),
        _ if free < DISK_FREE_WARNING_BYTES => Finding::warning("space", message, hint),
        _ => Finding::ok("space", message),
    }
}

/// Lock files of processes that are gone.
fn left(run_dir: &Path) -> Vec<String> {
    let entries = rundir::list(run_dir).unwrap_or_default().into_iter();
    let dead = entries.filter(|entry| !rundir::is_alive(run_dir, entry.kind, &entry.id).unwrap_or(true));
    dead.map(|entry| rundir::lock_name(entry.kind, &entry.id)).collect()
}

fn any_left(run_dir: &Path) -> bool {
    !left(run_dir).is_empty()
}

fn processes(run_dir: &Path, workers: &[WorkerRow], version: &str) -> Vec<Finding> {
    let slots: u32 = workers.iter().map(|worker| worker.slots).sum();
    let mut findings = vec![Finding::ok("workers", format!("{slots} slots in {} processes", workers.len()))];
    let left = left(run_dir);
    if !left.is_empty() {
        let message = format!("processes that died have left {} in {}", left.join(", "), run_dir.display());
        findings.push(Finding::warning(
            "left",
            message,
            "any worker cleans up; `queuectl worker start --drain`",
        ));
    }
    findings.extend(keepers(run_dir));
    for worker in workers.iter().filter(|worker| worker.version != version) {
        let message = format!("worker {} is queuectl {}, this is {version}", worker.id, worker.version);
        findings.push(Finding::warning("worker_version", message, "restart it once its jobs allow"));
    }
    findings
}

fn keepers(run_dir: &Path) -> Vec<Finding> {
    let alive = rundir::list(run_dir).unwrap_or_default().into_iter().filter(|entry| {
        entry.kind == Kind::Keeper && rundir::is_alive(run_dir, Kind::Keeper, &entry.id).unwrap_or(false)
    });
    let (mut findings, mut groups) = (Vec::new(), Vec::new());
    for keeper in alive {
        let Ok(connection) = rundir::connect(run_dir, &keeper.id) else {
            let message = format!("keeper {} is alive and cannot be reached on its socket", keeper.id);
            let hint = "its jobs go on, but nobody can follow them; restart its worker when it suits";
            findings.push(Finding::warning("unreachable", message, hint));
            continue;
        };
        groups.push(has_groups(&connection, &keeper.id));
    }
    let message = match (groups.contains(&true), groups.contains(&false)) {
        (false, false) => return findings,
        (true, false) => "jobs run in control groups of their own",
        (false, true) => "jobs run without control groups of their own: none is delegated to the workers",
        (true, true) => "the jobs of some workers run in control groups of their own, those of others do not",
    };
    findings.push(Finding::ok("cgroups", message.to_owned()));
    findings
}

/// `quiet`: nobody runs anything whose output is not named yet.
fn outputs(seen: &Examination, out_dir: &Path, quiet: bool) -> Vec<Finding> {
    let named: HashSet<&str> = seen.outputs.iter().map(|kept| kept.file.as_str()).collect();
    let there: HashSet<String> = fs::read_dir(out_dir)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    let mut findings = Vec::new();
    let missing: Vec<&str> = named.iter().copied().filter(|name| !there.contains(*name)).take(10).collect();
    if !missing.is_empty() {
        let message = format!("output files are missing from {}: {}", out_dir.display(), missing.join(", "));
        findings.push(Finding::problem("outputs", message, "a backup may have them"));
    }
    let altered = |name: &str, len, sha256| !is_as_kept(&out_dir.join(name), len, sha256).unwrap_or(false);
    let damaged = seen.outputs.iter().filter(|kept| there.contains(&kept.file));
    let damaged: Vec<String> = damaged
        .filter(|kept| altered(&kept.file, kept.len, &kept.sha256))
        .map(|kept| format!("{} ({})", kept.job, kept.file))
        .collect();
    if !damaged.is_empty() {
        let more = if damaged.len() > 10 { ", ..." } else { "" };
        let message = format!(
            "{} output files in {} are not what was kept: those of {}{more}",
            damaged.len(),
            out_dir.display(),
            damaged[..damaged.len().min(10)].join(", ")
        );
        findings.push(Finding::problem(
            "damaged_outputs",
            message,
            "look at the disk; a backup may have them whole",
        ));
    }
    let mut stray: Vec<&String> = there.iter().filter(|name| !named.contains(name.as_str())).collect();
    if quiet && !stray.is_empty() {
        stray.sort();
        let message = format!(
            "{} output files in {} belong to no job, such as {}",
            stray.len(),
            out_dir.display(),
            stray[0]
        );
        findings.push(Finding::warning("stray_outputs", message, "they can be deleted"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("outputs", format!("{} output files, all there and whole", named.len())));
    }
    findings
}

fn clock(seen: &Examination, now: Timestamp) -> Finding {
    let last = seen.last_change.map(Timestamp::from_millis);
    let ahead = last.map(|last| last.since(now)).filter(|ahead| *ahead > CLOCK_SLACK);
    match ahead {
        None => Finding::ok("clock", format!("it is {now}")),
        Some(ahead) => Finding::warning(
            "clock",
            format!("it is {now}, and a job was changed {}s later than that", Duration::as_secs(&ahead)),
            "set the clock; delayed jobs wait until it has caught up",
        ),
    }
}
