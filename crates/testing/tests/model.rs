//! Random histories on the memory store: its own checks hold at every step, and it answers the same twice.

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use queuectl_testing::MemoryFixture;
use queuectl_testing::model::{History, assert_agree, history};

fn play(history: &History) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(assert_agree(&MemoryFixture::default(), &MemoryFixture::default(), history));
}

proptest! {
    #![proptest_config(Config {
        // PROPTEST_CASES scales it.
        cases: Config::default().cases / 4,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        ..Config::default()
    })]

    #[test]
    fn the_memory_store_keeps_its_own_rules(history in history(40)) {
        play(&history);
    }
}
