//! Links the command with what it needs of the C library inside, still at a random address (static PIE).
//!
//! A command that enqueues one job and ends lives for two milliseconds, and a quarter of them were the dynamic linker: three
//! libraries found, mapped, relocated. Cargo has the flag `crt-static` for this, but for all or for nothing, and a procedural macro
//! cannot be linked so. Where the static parts are not installed, and where nobody has tried, the command is linked as ever.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What must be there, and by which name it is asked for: of GCC's library that is the name of the shared one.
const PARTS: [(&str, &str); 4] =
    [("rcrt1.o", "rcrt1.o"), ("libc.a", "libc.a"), ("libm.a", "libm.a"), ("libgcc_eh.a", "libgcc_s.a")];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let tried = ["TARGET", "HOST"].iter().all(|name| told(name) == Some("x86_64-unknown-linux-gnu".into()));
    let Some(parts) = tried.then(parts).flatten() else {
        return;
    };
    let dir = PathBuf::from(told("OUT_DIR").expect("Cargo sets it")).join("static");
    gather(&parts, &dir).expect("the build's directory can be written");
    // Looked at before the directories of the system, where it would find the shared ones.
    println!("cargo:rustc-link-arg-bins=-L{}", dir.display());
    println!("cargo:rustc-link-arg-bins=-static-pie");
    // The C library asks for the compiler's, which asks for the C library: a linker that looks at each once has looked too early.
    println!("cargo:rustc-link-arg-bins=-Wl,--start-group,-lgcc,-lgcc_eh,-lc,--end-group");
}

/// What Cargo tells a build script.
#[expect(clippy::disallowed_methods, reason = "there is no other way to be told")]
fn told(variable: &str) -> Option<OsString> {
    std::env::var_os(variable)
}

/// Where the compiler that will link has them; `None` unless it has all.
fn parts() -> Option<Vec<PathBuf>> {
    let linker = told("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let find = |part: &str| {
        let answer = Command::new(&linker).arg(format!("-print-file-name={part}")).output().ok()?;
        let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
        // It says the bare name of what it has not found.
        (path.is_absolute() && path.exists()).then_some(path)
    };
    PARTS.iter().map(|(part, _)| find(part)).collect()
}

fn gather(parts: &[PathBuf], dir: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir)?;
    for (path, (_, name)) in parts.iter().zip(PARTS) {
        symlink(path, dir.join(name))?;
    }
    Ok(())
}
