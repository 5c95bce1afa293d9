//! The floor of one durable step: a page appended to a file, and `fdatasync`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::clock::now;
use crate::stand::Fault;

const PAGE: [u8; 4096] = [b'x'; 4096];

pub fn run(file: &Path, times: usize) -> Result<Duration, Fault> {
    let mut file = File::create(file)?;
    let begin = now();
    for _ in 0..times {
        file.write_all(&PAGE)?;
        file.sync_data()?;
    }
    Ok(begin.elapsed())
}
