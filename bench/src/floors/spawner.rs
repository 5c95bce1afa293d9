//! The bare spawner: one thread, so many children at once, both their streams read into memory. No queue, no record.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::now;
use crate::stand::Fault;

pub const AT_ONCE: usize = 4;

/// A child, and what it has printed. A pipe is gone once it has ended.
struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    printed: Vec<u8>,
}

pub fn run(jobs: usize, command: &[String]) -> Result<Duration, Fault> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let null = File::open("/dev/null")?;
    let start = || -> Result<Running, Fault> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(null.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        Ok(Running { stdout: child.stdout.take(), stderr: child.stderr.take(), child, printed: Vec::new() })
    };
    let begin = now();
    let (mut started, mut running) = (0, Vec::with_capacity(AT_ONCE));
    let mut kept = Vec::with_capacity(jobs);
    while started < jobs || !running.is_empty() {
        while started < jobs && running.len() < AT_ONCE {
            running.push(start()?);
            started += 1;
        }
        wait_for_output(&running)?;
        for one in &mut running {
            one.read()?;
        }
        let (ended, left): (Vec<_>, Vec<_>) = running.into_iter().partition(Running::is_silent);
        running = left;
        for mut one in ended {
            if !one.child.wait()?.success() {
                return Err(format!("{program} failed").into());
            }
            kept.push(one.printed);
        }
    }
    Ok(begin.elapsed())
}

fn wait_for_output(running: &[Running]) -> Result<(), Fault> {
    let pipes = running.iter().flat_map(|one| {
        let stdout = one.stdout.as_ref().map(AsFd::as_fd);
        stdout.into_iter().chain(one.stderr.as_ref().map(AsFd::as_fd))
    });
    let mut polled: Vec<PollFd<'_>> = pipes.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
    poll(&mut polled, PollTimeout::NONE)?;
    Ok(())
}

impl Running {
    fn is_silent(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Reads each pipe that has something, or has ended.
    fn read(&mut self) -> Result<(), Fault> {
        if let Some(pipe) = &mut self.stdout
            && has_news(pipe)?
            && read_once(pipe, &mut self.printed)? == 0
        {
            self.stdout = None;
        }
        if let Some(pipe) = &mut self.stderr
            && has_news(pipe)?
            && read_once(pipe, &mut self.printed)? == 0
        {
            self.stderr = None;
        }
        Ok(())
    }
}

fn has_news(pipe: &impl AsFd) -> Result<bool, Fault> {
    let mut polled = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
}

fn read_once(pipe: &mut impl Read, printed: &mut Vec<u8>) -> Result<usize, Fault> {
    let mut buffer = [0; 4096];
    let len = pipe.read(&mut buffer)?;
    printed.extend_from_slice(&buffer[..len]);
    Ok(len)
}
