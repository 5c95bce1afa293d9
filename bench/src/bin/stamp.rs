//! A job that says when it was started: `queuectl-bench-stamp FILE NAME` appends one line, the name and the nanoseconds
//! of the epoch.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "this program is a clock")]
fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: queuectl-bench-stamp FILE NAME".into());
    };
    let line = format!("{name} {}\n", now.as_nanos());
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}
