//! A job that behaves badly, in the way that its first argument names.
//!
//! Pids of processes that it leaves behind go to standard output, one a line. Nothing that it starts lives longer than
//! [`LIFE`], so that a failed test leaves no litter for ever.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(120);

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = || words.get(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(1);
    match words.first().map_or("", String::as_str) {
        // Lives on, printing nothing.
        "wait" => std::thread::sleep(LIFE),
        // Says so once TERM does nothing to it, and lives on.
        "ignore-term" => {
            return Err(shell("trap '' TERM; echo ready; exec \"$0\" wait").exec());
        }
        // Closes its pipes and lives on.
        "close-pipes" => return Err(shell("exec <&- >&- 2>&-; exec \"$0\" wait").exec()),
        // Leaves children in its group that hold its pipes, and ends.
        "leave" => {
            for _ in 0..number() {
                say_pid(&myself("wait").spawn()?)?;
            }
        }
        // Leaves a process in a session of its own that holds no pipe, and ends.
        "escape" => escape(&mut myself("escaped"))?,
        // The same, and its environment says nothing.
        "escape-unmarked" => escape(myself("escaped").env_clear())?,
        // Leaves such a process and lives on.
        "escape-and-wait" => {
            escape(&mut myself("escaped"))?;
            std::thread::sleep(LIFE);
        }
        // The process in between, which makes the one that is left an orphan.
        "escaped" => {
            rustix::process::setsid()?;
            let mut left = myself("wait");
            if std::env::args().len() == 2 {
                left.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            }
            say_pid(&left.spawn()?)?;
        }
        // Prints so many bytes and ends.
        "flood" => flood(number())?,
        // Starts children for ever, each of which does nothing.
        "breed" => loop {
            myself("wait").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        },
        other => {
            writeln!(io::stderr(), "rude-child does not know how to `{other}`")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn myself(how: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("rude-child").arg(how);
    command
}

/// A shell script, with this program as its `$0`.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap_or_default());
    command
}

fn escape(command: &mut Command) -> io::Result<()> {
    command.spawn()?.wait().map(drop)
}

fn say_pid(child: &Child) -> io::Result<()> {
    writeln!(io::stdout(), "{}", child.id())
}

fn flood(bytes: u64) -> io::Result<()> {
    let block: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let mut out = io::stdout().lock();
    let mut left = bytes;
    while left > 0 {
        let len = left.min(block.len() as u64);
        out.write_all(&block[..len as usize])?;
        left -= len;
    }
    out.flush()
}
