//! The streams: data to standard output, all else to standard error; nothing that a job said controls the terminal.

use std::io::{self, IsTerminal, Write};

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
        )),
    }
}

/// Prints one line of data.
pub fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Says something to people. If nobody hears it, that is no error.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes bytes of a job to standard error.
pub fn complain_bytes(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
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
