//! The streams: data to standard output, all else to standard error; nothing that a job said controls the terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use queuectl::core::command::Command;

use crate::exit::Failure;

/// Prints data. If nobody reads it any more, the verb ends quietly.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints data of any bytes.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::closed_stdout()),
        Err(error) => Err(Failure::new(
            crate::exit::Exit::Unavailable,
            format!("cannot write to standard output: {error}"),
        )
        .hint("what was asked for may be done all the same: look with `queuectl list` before trying again")),
    }
}

/// Prints one line of data.
pub fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Words that commands in what is said to people need, so that they mean the store that this call named.
static STORE: OnceLock<String> = OnceLock::new();

/// From now on, commands that are said to people name this database.
pub fn name_store(path: &Path) {
    let argv = Command::Argv(vec![path.as_os_str().as_bytes().to_vec()]);
    let _ = STORE.set(format!("`queuectl --db {} ", argv.display()));
}

/// Says something to people. If nobody hears it, that is no error.
pub fn complain(text: &str) {
    let text = STORE.get().map_or(text.into(), |words| Cow::from(text.replace("`queuectl ", words)));
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes bytes of a job to standard error.
pub fn complain_bytes(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// True if standard output is a pipe that nobody reads any more, for those who have nothing to write to it now.
pub fn stdout_is_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().intersects(PollFlags::ERR)
}

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// The size of the terminal that standard output is; `None` if it is none.
pub fn size() -> Option<Size> {
    if !stdout_is_terminal() {
        return None;
    }
    // One that does not know its size says zero.
    let known = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let (columns, rows) = known.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
    Some(Size { columns: if columns == 0 { 80 } else { columns }, rows: if rows == 0 { 24 } else { rows } })
}

/// Text of a user as one line: control characters show as escapes.
pub fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The same, but lines stay lines.
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    lines.join("\n")
}

/// Asks a question on standard error; true if the answer on standard input begins with y.
pub fn confirm(question: &str) -> bool {
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && answer.trim_start().to_ascii_lowercase().starts_with('y')
}
