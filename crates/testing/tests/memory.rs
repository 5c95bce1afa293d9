//! The memory store passes the suite that it specifies.

use queuectl_testing::MemoryFixture;

queuectl_testing::conformance!(std::future::ready(MemoryFixture::default()));

/// A case that is not in the list would never run.
#[test]
fn every_case_is_expanded() {
    let list = include_str!("../src/conformance/mod.rs");
    let listed: Vec<&str> = list.lines().map(str::trim).collect();
    let files = [
        include_str!("../src/conformance/attempts.rs"),
        include_str!("../src/conformance/claims.rs"),
        include_str!("../src/conformance/exchange.rs"),
        include_str!("../src/conformance/jobs.rs"),
        include_str!("../src/conformance/listing.rs"),
        include_str!("../src/conformance/queues.rs"),
        include_str!("../src/conformance/settings.rs"),
        include_str!("../src/conformance/wakeups.rs"),
        include_str!("../src/conformance/workers.rs"),
    ];
    let cases = files.iter().flat_map(|file| file.lines()).filter_map(|line| {
        let name = line.strip_prefix("pub async fn ")?;
        name.split('(').next()
    });
    let missing: Vec<&str> = cases.filter(|case| !listed.contains(case)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
