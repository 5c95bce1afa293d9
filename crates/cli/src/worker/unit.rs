//! `worker unit`: a systemd unit, so that workers start at boot.
//!
//! The unit matches what is to become of running jobs. With `--on-crash adopt` a stop has two stages, as at a terminal.
//! The first TERM goes to the worker alone (`KillMode=process`), for its keeper is in the same control group and must
//! outlive it: the running jobs are finished. When `TimeoutStopSec` is over, a second TERM (`WatchdogSignal`) ends them
//! and gives them back. KILL comes only after that, and what runs then goes on until the next worker adopts it. A worker
//! that hangs gets the same TERM and KILL from the watchdog. With `--on-crash kill` the jobs never outlive the worker:
//! every signal goes to all.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use queuectl::OnCrash;
use queuectl::core::limits::SLOTS_MAX;

use super::this_program;
use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::place::{Place, home, variable};
use crate::terminal::{complain, print, print_line};

/// Where units of the system lie.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
const UNIT: &str = "queuectl.service";

/// Running jobs outlive the worker.
const STOP_DRAINS: &str = "# A stop is told to the worker alone: its keeper owns the running jobs and must outlive it.\n\
    KillMode=process\n\
    # For so long running jobs may finish; a second TERM then ends them and gives them back, uncharged.\n\
    TimeoutStopSec=15min\nTimeoutStopFailureMode=abort\nWatchdogSignal=SIGTERM\nTimeoutAbortSec=1min\n";
/// Running jobs end with the worker.
const STOP_ENDS: &str = "# A stop is told to all: running jobs end by TERM, then KILL, and are given back, uncharged. One that answers\n\
    # TERM with an exit code has ended with that.\n\
    KillMode=control-group\nTimeoutStopSec=90s\nWatchdogSignal=SIGKILL\n";

/// Print a systemd unit that runs a worker from boot on, or install it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl worker unit --user --count 4\n  queuectl worker unit --user --install\n  \
    sudo queuectl --db /var/lib/queuectl/queue.db worker unit --install"
)]
pub struct Arguments {
    /// For this user's own systemd, not the system's
    #[arg(long)]
    user: bool,
    /// Jobs at once
    #[arg(long, short, default_value_t = 1)]
    count: usize,
    /// Only jobs of this queue (repeatable)
    #[arg(long, short)]
    queue: Vec<String>,
    /// If the worker dies, its jobs run on until it is started again (adopt), or end with it (kill); the unit matches
    #[arg(long, value_name = "POLICY", default_value = "adopt", value_parser = ["adopt", "kill"])]
    on_crash: String,
    /// Put it in place, and say what is left to do
    #[arg(long)]
    install: bool,
}

pub fn run(place: &Place, arguments: &Arguments) -> Outcome {
    if arguments.count == 0 || arguments.count > SLOTS_MAX {
        return Err(Failure::usage(format!(
            "--count is {}; it is a number from 1 to {SLOTS_MAX}",
            arguments.count
        ))
        .hint("--count 4 runs four jobs at once"));
    }
    for name in &arguments.queue {
        queue_name(name.clone())?;
    }
    let unit = unit(&this_program()?, &place.path, arguments);
    if !arguments.install {
        print(&unit)?;
        return Ok(Exit::Done);
    }
    let dir = if arguments.user { user_units() } else { PathBuf::from(SYSTEM_UNITS) };
    let path = dir.join(UNIT);
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Unavailable, format!("cannot write {}: {error}", path.display()))
            .hint("--user installs it for you alone; without --install it is only printed")
    };
    match std::fs::read_to_string(&path) {
        Ok(there) if there == unit => {}
        Ok(_) => {
            return Err(Failure::new(
                Exit::Refused,
                format!("{} is there already, and differs", path.display()),
            )
            .hint("look at it, and remove it if it may go"));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Err(_) => {
            std::fs::create_dir_all(&dir).map_err(failed)?;
            std::fs::write(&path, &unit).map_err(failed)?;
            // Everybody may read a unit, whatever the umask of our own files.
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).map_err(failed)?;
        }
    }
    print_line(&format!("Installed {}", path.display()))?;
    let user = if arguments.user { "--user " } else { "" };
    complain(&format!("Now: systemctl {user}daemon-reload && systemctl {user}enable --now queuectl"));
    if arguments.user {
        complain("To run while you are not logged in: loginctl enable-linger");
    }
    Ok(Exit::Done)
}

fn user_units() -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::ffi::OsString::from_vec(home())).join(".config");
    config.unwrap_or_else(home).join("systemd/user")
}

fn unit(program: &Path, database: &Path, arguments: &Arguments) -> String {
    let mut command = vec![
        quoted(&program.to_string_lossy()),
        "--db".to_owned(),
        quoted(&database.to_string_lossy()),
        "worker start --count".to_owned(),
        arguments.count.to_string(),
    ];
    for queue in &arguments.queue {
        command.extend(["--queue".to_owned(), quoted(queue)]);
    }
    let kills = OnCrash::parse(&arguments.on_crash) == Some(OnCrash::Kill);
    if kills {
        command.push("--on-crash kill".to_owned());
    }
    let policy = if kills { STOP_ENDS } else { STOP_DRAINS };
    let run_as = if arguments.user { String::new() } else { format!("User={}\n", owner(database)) };
    let target = if arguments.user { "default.target" } else { "multi-user.target" };
    format!(
        "[Unit]\nDescription=queuectl worker\nDocumentation=man:queuectl(1)\n\n\
         [Service]\nType=notify\nNotifyAccess=main\n{run_as}ExecStart={}\n\
         # The settings are read again; nothing is ended.\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         {policy}\
         # A worker whose loop hangs is started again.\n\
         WatchdogSec=2min\n\
         # What is below belongs to the worker.\n\
         Delegate=yes\n\
         # A job that needs too much memory fails by itself.\n\
         OOMPolicy=continue\nRestart=on-failure\nRestartSec=1s\n\n\
         [Install]\nWantedBy={target}\n",
        command.join(" ")
    )
}

/// The user whose queue it is, by name where there is one. The system would run it as root, and so every command that
/// this user enqueues.
fn owner(database: &Path) -> String {
    let id = std::fs::metadata(database)
        .map_or_else(|_| rustix::process::geteuid().as_raw(), |found| found.uid())
        .to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, user) = (fields.next()?, fields.next()?, fields.next()?);
        (user == id).then(|| name.to_owned())
    });
    name.unwrap_or(id)
}

/// A word as systemd reads it: `%` and `$` stand for themselves.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '%' | '$' => text.extend([c, c]),
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text + "\""
}
