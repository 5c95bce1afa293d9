//! A keeper and nothing else, for tests that cannot use the product's binary. Called as `launch` calls it.

use queuectl_exec::protocol::OnCrash;
use queuectl_exec::{KeeperOptions, run};
use std::collections::HashMap;
use std::io;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let mut options: HashMap<&str, &str> =
        words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let mut take = |name| {
        options.remove(name).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no {name}")))
    };
    run(KeeperOptions {
        run_dir: take("--run-dir")?.into(),
        out_dir: take("--out-dir")?.into(),
        id: take("--id")?.to_owned(),
        umask: u32::from_str_radix(take("--umask")?, 8).map_err(io::Error::other)?,
        on_crash: OnCrash::parse(take("--on-crash")?).unwrap_or_default(),
        guard: take("--guard").ok().map(Into::into),
    })
}
