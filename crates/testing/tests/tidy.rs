//! The house rules that a machine can check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use queuectl_core::settings::KEYS;
use queuectl_core::state::diagram;

/// Aimed at: 300. Never past:
const LINES_MAX: usize = 800;
const FORBIDDEN_NAMES: [&str; 5] = ["util", "helper", "manager", "common", "misc"];

/// Which of our crates each may depend on; tests may use `queuectl-testing` besides.
const DIRECTION: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("points", &[]),
    ("sqlite", &["queuectl-core", "queuectl-points"]),
    ("exec", &["queuectl-core", "queuectl-points"]),
    ("testing", &["queuectl-core", "queuectl-exec"]),
    ("queuectl", &["queuectl-core", "queuectl-exec", "queuectl-points", "queuectl-sqlite"]),
    ("cli", &["queuectl", "queuectl-core", "queuectl-exec"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every hand-written Rust file, with its path from the root.
fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.insert(name, read(&path));
            }
        }
    }
    let mut found = BTreeMap::new();
    for folder in ["crates", "faults", "fuzz"] {
        walk(&root().join(folder), &root(), &mut found);
    }
    found
}

/// The part of a file before its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn dependencies_point_one_way() {
    for (crate_name, allowed) in DIRECTION {
        let manifest = read(&root().join("crates").join(crate_name).join("Cargo.toml"));
        let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        // What a feature of the proof alone brings in is looked at below.
        let product = section.lines().filter(|line| !line.contains("optional = true"));
        let names = product.filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names.filter(|name| name.starts_with("queuectl")) {
            assert!(allowed.contains(&name), "crates/{crate_name} must not depend on {name}");
        }
    }
    let crates = fs::read_dir(root().join("crates")).expect("readable").count();
    assert_eq!(crates, DIRECTION.len(), "a new crate needs its line in DIRECTION");
    for (crate_name, _) in DIRECTION {
        let manifest = read(&root().join("crates").join(crate_name).join("Cargo.toml"));
        assert!(
            !manifest.contains("queuectl-faults"),
            "crates/{crate_name}: the proof is no part of the product"
        );
    }
}

#[test]
fn the_simulation_is_no_part_of_the_product() {
    let folders = fs::read_dir(root().join("crates")).expect("readable").flatten();
    for path in folders.map(|entry| entry.path()).chain([root().join("bench"), root()]) {
        let manifest = read(&path.join("Cargo.toml"));
        let features = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next());
        assert!(!features.unwrap_or_default().contains("default"), "{}", path.display());
        let asks = manifest.lines().filter(|line| !line.starts_with('#') && line.contains("simulation"));
        let asks: Vec<&str> = asks.collect();
        let defines = ["simulation = [\"dep:queuectl-testing\"]"];
        let may: &[&str] = if path.ends_with("queuectl") { &defines } else { &[] };
        assert_eq!(asks, may, "{}: only the proof turns it on", path.display());
    }
}

#[test]
fn drivers_are_named_in_one_file() {
    for (name, text) in sources() {
        let driver = name.starts_with("crates/sqlite/") || name.starts_with("faults/");
        let may = driver || name == "crates/queuectl/src/open.rs";
        assert!(may || !product(&text).contains("queuectl_sqlite") || name.ends_with("tidy.rs"), "{name}");
    }
}

#[test]
fn files_are_short_and_well_named() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines; split it");
        let stem = Path::new(&name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bad = FORBIDDEN_NAMES.iter().find(|bad| stem.starts_with(*bad));
        assert!(bad.is_none(), "{name}: name what the file is about");
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "{name} has no module documentation");
    }
}

#[test]
fn the_product_has_no_shortcuts() {
    for (name, text) in sources() {
        if name.contains("/tests/") || name.contains("tests.rs") || name.starts_with("crates/testing/") {
            continue;
        }
        let text = product(&text);
        for bad in [".unwrap()", "todo!(", "unimplemented!(", "#[allow(", "#![allow("] {
            assert!(!text.contains(bad), "{name} has `{bad}`");
        }
        let may = name.starts_with("crates/exec/src/unix/") || name.starts_with("faults/src/vfs/");
        assert!(may || !text.contains("unsafe "), "{name} is unsafe");
    }
}

/// Keepers and workers count time that no jump of the date touches; the store alone knows the date.
#[test]
fn nothing_that_runs_jobs_asks_for_the_date() {
    let runs_jobs =
        |name: &str| name.starts_with("crates/exec/src") || name.starts_with("crates/queuectl/src/worker");
    for (name, text) in sources().iter().filter(|(name, _)| runs_jobs(name)) {
        for word in ["Realtime", "CLOCK_REALTIME", "SystemTime"] {
            assert!(!product(text).contains(word), "{name} asks for the date: {word}");
        }
    }
}

#[test]
fn every_test_file_is_a_target() {
    for entry in fs::read_dir(root().join("crates")).expect("readable").flatten() {
        let manifest = read(&entry.path().join("Cargo.toml"));
        assert!(!manifest.contains("autotests = false"), "{}", entry.path().display());
        let Ok(tests) = fs::read_dir(entry.path().join("tests")) else { continue };
        for test in tests.flatten().filter(|test| test.path().is_dir()) {
            let folder = test.file_name().to_string_lossy().into_owned();
            let declared = test.path().join("main.rs").exists()
                || fs::read_dir(entry.path().join("tests"))
                    .expect("readable")
                    .flatten()
                    .filter(|file| file.path().is_file())
                    .any(|file| {
                        fs::read_to_string(file.path())
                            .is_ok_and(|text| text.contains(&format!("mod {folder};")))
                    });
            let data = ["snapshots"].contains(&folder.as_str());
            assert!(declared || data, "nothing declares {}", test.path().display());
        }
    }
}

#[test]
fn the_documents_are_current() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let printed =
        architecture.split("<!-- states -->\n").nth(1).and_then(|rest| rest.split("<!-- /states -->").next());
    assert_eq!(
        printed,
        Some(diagram().as_str()),
        "ARCHITECTURE.md must hold the table of core::state::diagram()"
    );
    let readme = read(&root().join("README.md"));
    for key in KEYS {
        assert!(
            readme.contains(&format!("| `{}` |", key.name)),
            "README.md does not name the key {}",
            key.name
        );
    }
    for name in sources().keys().filter(|name| name.contains("/src/")) {
        let parts: Vec<&str> = name.split('/').collect();
        // crates/NAME/src/FILE or crates/NAME/src/FOLDER/...; faults/src/ likewise.
        let parts = if parts[0] == "crates" { &parts[1..] } else { &parts[..] };
        let room = if parts.len() == 3 { parts[2].to_owned() } else { format!("{}/", parts[2]) };
        let known = ["lib.rs", "main.rs", "bin/"].contains(&room.as_str())
            || parts[0] == "testing"
            || architecture.contains(&room)
            || parts[0] == "cli" && architecture.contains(room.trim_end_matches(".rs"));
        assert!(known, "ARCHITECTURE.md's code map does not know {name}");
    }
}
