//! `worker start`: runs a worker in the foreground, or starts one in the background.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use queuectl::core::limits::{SECOND_SIGNAL_AFTER, SLOTS_MAX};
use queuectl::core::store::{StopMode, WorkerRow};
use queuectl::{Client, OnCrash, Sign, Signs, Worker};
use queuectl_exec::holder::is_held_by;
use queuectl_exec::is_ignored;
use queuectl_exec::rundir::Kind;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{options, this_program};
use crate::exit::{Exit, Failure, Outcome};
use crate::list::queue_name;
use crate::migrate::note_in_the_way;
use crate::note::unless_known;
use crate::place::{Place, variable};
use crate::terminal::{complain, print_line};

/// How long a worker in the background has to register.
const REGISTER_MAX: Duration = Duration::from_secs(20);

/// Run jobs, in the foreground unless --detach
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  queuectl worker start --count 4\n  queuectl worker start --queue mail --detach\n  \
    queuectl worker start --drain"
)]
pub struct Arguments {
    /// Jobs at once
    #[arg(long, short, default_value_t = 1)]
    count: usize,
    /// Only jobs of this queue (repeatable)
    #[arg(long, short)]
    queue: Vec<String>,
    /// Exit once nothing is left to run
    #[arg(long)]
    drain: bool,
    /// If this worker is killed, its jobs run on until another takes them over (adopt), or are killed with it
    #[arg(long, value_name = "POLICY", default_value = "adopt", value_parser = ["adopt", "kill"])]
    on_crash: String,
    /// Run in the background, return once it is registered
    #[arg(long, short, visible_aliases = ["detached", "daemon", "background"])]
    detach: bool,
    /// Run in the foreground: the default
    #[arg(long, conflicts_with = "detach")]
    foreground: bool,
    /// Begin a session of its own
    #[arg(long, hide = true)]
    session: bool,
}

impl Arguments {
    /// In the foreground.
    pub fn works_here(&self) -> bool {
        !self.detach
    }
}

pub async fn run(place: &Place, arguments: Arguments, umask: u32) -> Outcome {
    if arguments.count == 0 || arguments.count > SLOTS_MAX {
        return Err(Failure::usage(format!(
            "--count is {}; it is a number from 1 to {SLOTS_MAX}",
            arguments.count
        )));
    }
    let mut options = options(umask)?;
    options.slots = arguments.count;
    options.queues = arguments.queue.iter().cloned().map(queue_name).collect::<Result<_, _>>()?;
    options.drain = arguments.drain;
    options.on_crash = OnCrash::parse(&arguments.on_crash).unwrap_or_default();
    let (client, in_the_way) = place.open_newest().await?;
    note_in_the_way(&in_the_way);
    unless_known(&client, &options.queues).await?;
    if arguments.detach {
        if let Some(job) = variable("QUEUECTL_JOB_ID") {
            let job = job.to_string_lossy().into_owned();
            complain(&format!(
                "Note: this is inside job {job}, and what outlives a job is killed: the worker ends with it, \
                 unless the job was enqueued with --leftovers keep"
            ));
        }
        return detach(place, &client, &arguments, umask).await;
    }
    if arguments.session {
        // Fails only if it leads a session already.
        let _ = rustix::process::setsid();
    }
    log_to_stderr();
    let stop = stop_on_signals()?;
    let queues = if options.queues.is_empty() { "all queues".to_owned() } else { arguments.queue.join(", ") };
    let worker = Worker::register(client, options).await?;
    complain(&format!(
        "Worker {} started: {} {}, {queues}, pid {}. Ctrl-C finishes the running jobs and stops.",
        worker.id(),
        arguments.count,
        if arguments.count == 1 { "slot" } else { "slots" },
        std::process::id()
    ));
    tell_manager(&[NotifyState::Ready, NotifyState::Status("running jobs")]);
    // Twice as often as the manager wants it, from the loop that does the work.
    let every = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let report = worker.watched(Signs::new(every, tell_sign)).run(stop).await?;
    complain(&format!(
        "Worker stopped after {} {}.",
        report.settled,
        if report.settled == 1 { "run" } else { "runs" }
    ));
    Ok(Exit::Done)
}

/// The first TERM or INT drains; a second, a second or more later, stops at once. HUP leaves at once, and what runs goes
/// on; a service's HUP means that it is to read its settings again, which a worker does with every look at the store.
/// INT or HUP that is ignored at the start (by `nohup`, or by a shell for what it runs in the background) stays so.
fn stop_on_signals() -> Result<watch::Receiver<Option<StopMode>>, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Internal, format!("cannot hear signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = unless_ignored(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = unless_ignored(SignalKind::hangup()).map_err(failed)?;
    let is_service = is_service();
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut first: Option<u64> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                () = next(&mut interrupt) => {}
                () = next(&mut hangup) => {
                    if is_service {
                        complain("The settings are read with every look at the store; nothing is ended.");
                    } else {
                        complain("Leaving: the running jobs run on, and the next worker takes them over.");
                        let _ = sender.send(Some(StopMode::HandOver));
                    }
                    continue;
                }
            }
            let now = queuectl_exec::now_boot_ms();
            match first {
                None => {
                    complain("Stopping: the running jobs are finished first. Again, to end them now.");
                    first = Some(now);
                    let _ = sender.send(Some(StopMode::Drain));
                }
                Some(then) if now - then >= SECOND_SIGNAL_AFTER.as_millis() as u64 => {
                    complain("Stopping now: the running jobs are ended and given back.");
                    let _ = sender.send(Some(StopMode::Now));
                }
                Some(_) => {}
            }
        }
    });
    Ok(receiver)
}

fn unless_ignored(kind: SignalKind) -> std::io::Result<Option<Signal>> {
    if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether a service manager started this. What is started by hand may have a service's variables, too, from a terminal
/// that is one; then it has that terminal.
fn is_service() -> bool {
    let has_terminal = || std::fs::File::open("/dev/tty").is_ok();
    variable("NOTIFY_SOCKET").is_some() || variable("INVOCATION_ID").is_some() && !has_terminal()
}

fn tell_sign(sign: Sign) {
    let status = match sign {
        Sign::Alive => return tell_manager(&[NotifyState::Watchdog]),
        Sign::Stopping(StopMode::Drain) => "finishing the running jobs",
        Sign::Stopping(StopMode::Now) => "ending the running jobs",
        Sign::Stopping(StopMode::HandOver) => "leaving the running jobs to the next worker",
    };
    tell_manager(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells whoever manages this service, if anybody does.
fn tell_manager(states: &[NotifyState]) {
    let _ = sd_notify::notify(states);
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUEUECTL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(crate::color::on_stderr())
        .with_writer(std::io::stderr)
        .finish();
    // Fails only if one is set already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Starts the same worker in a session of its own and waits until it is registered.
async fn detach(place: &Place, client: &Client, arguments: &Arguments, umask: u32) -> Outcome {
    let run_dir = client.place().run_dir;
    let failed =
        |what: String, error: std::io::Error| Failure::new(Exit::Unavailable, format!("{what}: {error}"));
    queuectl_exec::rundir::create_run_dir(&run_dir)
        .map_err(|error| failed(format!("cannot use {}", run_dir.display()), error))?;
    let log: PathBuf = run_dir.join(format!("worker-{}.log", client.next_id()));
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| failed(format!("cannot create {}", log.display()), error))?;
    let mut command = Command::new(this_program()?);
    command.arg("--db").arg(&place.path).args(["worker", "start", "--session"]);
    command.arg("--count").arg(arguments.count.to_string());
    for queue in &arguments.queue {
        command.arg("--queue").arg(queue);
    }
    command.args(["--on-crash", &arguments.on_crash]);
    if arguments.drain {
        command.arg("--drain");
    }
    // It must hand the jobs the umask that this call was started with.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    let stderr = file.try_clone().map_err(|error| failed("cannot share the log".to_owned(), error))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(stderr)
        .spawn()
        .map_err(|error| failed("cannot start the worker".to_owned(), error))?;
    let mut listener = client.listen().await?;
    let until = queuectl_exec::now_boot_ms() + REGISTER_MAX.as_millis() as u64;
    loop {
        // Its pid may also be that of a worker in another container.
        let is_ours = |worker: &&WorkerRow| {
            worker.pid == child.id() && is_held_by(&run_dir, Kind::Worker, &worker.id, child.id())
        };
        if let Some(worker) = client.live_workers().await?.iter().find(is_ours) {
            print_line(&format!(
                "Worker {} runs in the background: pid {}, log {}",
                worker.id,
                worker.pid,
                log.display()
            ))?;
            return Ok(Exit::Done);
        }
        let ended = child.try_wait().map_err(|error| failed("cannot watch the worker".to_owned(), error))?;
        match ended {
            // Drained before anyone could see it.
            Some(status) if status.success() => {
                print_line(&format!("The worker has run and ended: log {}", log.display()))?;
                return Ok(Exit::Done);
            }
            Some(status) => {
                return Err(Failure::new(Exit::Unavailable, format!("the worker ended at once ({status})"))
                    .hint(format!("its log is {}", log.display())));
            }
            None if queuectl_exec::now_boot_ms() >= until => {
                return Err(Failure::new(Exit::TimedOut, "the worker did not register in time")
                    .hint(format!("its log is {}", log.display())));
            }
            None => listener.wait(Duration::from_millis(50)).await,
        };
    }
}
