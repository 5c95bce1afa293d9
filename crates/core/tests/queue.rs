//! Queue names.

use proptest::prelude::*;
use queuectl_core::limits::QUEUE_NAME_CHARS_MAX;
use queuectl_core::queue::{DEFAULT_QUEUE, HOOKS_QUEUE, QueueName};

proptest! {
    #[test]
    fn a_plain_name_is_a_queue(name in "[a-zA-Z0-9äß漢][a-zA-Z0-9äß漢_.:/-]{0,127}") {
        let queue = QueueName::new(name.as_str());
        prop_assert_eq!(queue.as_ref().map(QueueName::as_str), Ok(name.as_str()));
    }

    #[test]
    fn no_queue_has_a_blank_a_comma_or_a_quote(name in any::<String>()) {
        if QueueName::new(name.as_str()).is_ok() {
            prop_assert!(!name.contains(|c: char| c.is_whitespace() || c.is_control() || ",'\"\\%*".contains(c)));
            prop_assert!(!name.starts_with(['-', '_', '.', ':', '/']));
        }
    }
}

#[test]
fn what_is_no_queue_is_refused_by_name() {
    let long = "x".repeat(QUEUE_NAME_CHARS_MAX + 1);
    for bad in ["", "-a", ".", "/a", "a b", "a,b", "a\n", "🦀", long.as_str()] {
        let error = QueueName::new(bad).expect_err(bad).to_string();
        assert!(error.starts_with(&format!("`{bad}` is not a queue name")), "{error}");
    }
    assert!(QueueName::new("漢".repeat(QUEUE_NAME_CHARS_MAX)).is_ok(), "characters count, not bytes");
}

#[test]
fn the_named_queues_are_queues() {
    assert_eq!(QueueName::new(DEFAULT_QUEUE), Ok(QueueName::default()));
    assert_eq!(QueueName::new(HOOKS_QUEUE), Ok(QueueName::hooks()));
}
