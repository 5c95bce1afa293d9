//! Random histories: the SQLite store answers as the memory store, which is the port's specification.

mod fixture;

use fixture::sqlite;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use queuectl_sqlite::Access;
use queuectl_testing::MemoryFixture;
use queuectl_testing::model::{History, assert_agree, history};

fn play(history: &History) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        assert_agree(&MemoryFixture::default(), &sqlite(Access::CreateOrMigrate, |_| ()).await, history)
            .await;
    });
}

proptest! {
    #![proptest_config(Config {
        // PROPTEST_CASES scales it.
        cases: Config::default().cases / 8,
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        ..Config::default()
    })]

    #[test]
    fn sqlite_agrees_with_the_specification(history in history(40)) {
        play(&history);
    }
}
