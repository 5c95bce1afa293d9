//! Every scenario works. Played once at a size that takes no time; nothing here judges a time.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_scenario_works_at_a_tiny_scale() {
    let bench = PathBuf::from(env!("CARGO_BIN_EXE_queuectl-bench"));
    let queuectl = product(&bench);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let document = dir.path().join("performance.md");
    let output = Command::new(&bench)
        .args(["all", "--scale", "tiny", "--pairs", "1", "--json"])
        .arg("--write")
        .arg(&document)
        .arg("--queuectl")
        .arg(&queuectl)
        // Peers are no part of the product's tests.
        .args(["--peers", "none"])
        .output()
        .expect("the benchmark starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = std::fs::read_to_string(&document).expect("the document is written");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        let scenario = value["report"]["scenario"].as_str().expect("its name");
        assert!(text.contains(&format!("\n## {scenario}\n")), "{scenario} is not in the document");
        let contenders = value["report"]["contenders"].as_array().expect("an array");
        assert!(!contenders.is_empty(), "nobody took part in {scenario}");
    }
    assert!(document.with_extension("").join("shell.svg").exists(), "nothing is plotted");
}

/// The binary that is measured, built if it is not: only a test of the whole workspace builds it by itself.
fn product(bench: &Path) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "-p", "queuectl-cli", "--target-dir"]);
    let profile_dir = bench.parent().expect("a profile's directory");
    build.arg(profile_dir.parent().expect("a target directory"));
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo starts").success(), "queuectl does not build");
    profile_dir.join("queuectl")
}
