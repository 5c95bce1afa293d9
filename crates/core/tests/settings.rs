//! Settings: keys, their checks, and what they mean for a queue.

use std::time::Duration;

use proptest::prelude::*;
use queuectl_core::queue::QueueName;
use queuectl_core::settings::{KEYS, Kind, SettingError, Settings, find_key, key_names, parse_bytes};

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a queue")
}

fn with(values: &[(Option<&str>, &str, &str)]) -> Settings {
    let values = values.iter().map(|(scope, key, value)| {
        find_key(key).expect("a key").check(value).expect("a value");
        ((scope.map(queue), (*key).to_owned()), (*value).to_owned())
    });
    Settings { version: 1, values: values.collect() }
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().expect("a word").to_owned();
    words.fold(first, |text, word| format!("{text}{}{}", word[..1].to_uppercase(), &word[1..]))
}

#[test]
fn all_spellings_are_the_same_key() {
    for key in KEYS {
        for spelling in
            [key.name.to_owned(), key.name.replace('-', "_"), camel(key.name), format!(" {} ", key.name)]
        {
            assert_eq!(find_key(&spelling).map(|found| found.name), Ok(key.name), "{spelling}");
        }
    }
    let refused = find_key("max-retrys").expect_err("no such key").to_string();
    assert!(key_names().iter().all(|name| refused.contains(name)), "{refused}");
}

#[test]
fn defaults_pass_their_own_check_and_names_are_distinct() {
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
    }
    let mut names = key_names();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KEYS.len());
    for key in KEYS.iter().filter_map(|key| key.alias_of) {
        assert_eq!(find_key(key).map(|root| root.alias_of), Ok(None), "an alias means a key, not an alias");
    }
}

#[test]
fn siblings_share_a_meaning_both_ways() {
    for key in KEYS {
        for sibling in key.siblings() {
            assert_ne!(sibling.name, key.name);
            assert!(sibling.siblings().any(|back| back.name == key.name), "{} {}", key.name, sibling.name);
        }
    }
    let of_poll: Vec<&str> =
        find_key("poll-interval").expect("a key").siblings().map(|key| key.name).collect();
    assert_eq!(of_poll, ["poll-interval-ms", "worker-poll-interval"]);
}

#[test]
fn an_alias_has_the_meaning_of_its_key_in_its_own_unit() {
    let raw = |settings: &Settings, key| settings.raw(None, find_key(key).expect("a key"));
    let set = with(&[(None, "poll-interval-ms", "500")]);
    assert_eq!(raw(&set, "poll-interval-ms"), "500");
    assert_eq!(raw(&set, "poll-interval"), "500ms");
    assert_eq!(set.for_queue(&queue("x")).poll_interval, Duration::from_millis(500));
    let set = with(&[(None, "poll-interval", "2.5")]);
    assert_eq!(raw(&set, "poll-interval-ms"), "2500");
    assert_eq!(set.for_queue(&queue("x")).poll_interval, Duration::from_millis(2500));
    let set = with(&[(None, "worker-poll-interval", "3")]);
    assert_eq!(set.for_queue(&queue("x")).poll_interval, Duration::from_secs(3));
    let set = with(&[(None, "default-timeout", "5m")]);
    assert_eq!(set.for_queue(&queue("x")).job_timeout, Some(Duration::from_secs(300)));
    let set = with(&[(None, "stop-timeout-seconds", "30")]);
    assert_eq!(set.for_queue(&queue("x")).stop_timeout, Some(Duration::from_secs(30)));
}

#[test]
fn a_bare_number_of_milliseconds_is_never_read_as_seconds() {
    let key = find_key("poll-interval-ms").expect("a key");
    for value in ["1.5", "1e3", "0.5"] {
        assert!(key.check(value).is_err(), "{value}");
    }
    for value in ["0", "250", "2s", "1m"] {
        assert_eq!(key.check(value), Ok(()), "{value}");
    }
}

#[test]
fn a_queue_has_its_own_value_before_that_of_all() {
    let set =
        with(&[(None, "max-retries", "5"), (Some("x"), "max-retries", "7"), (Some("x"), "kill-grace", "1")]);
    let (own, other) = (set.for_queue(&queue("x")), set.for_queue(&queue("y")));
    assert_eq!((own.max_retries, other.max_retries), (7, 5));
    assert_eq!((own.kill_grace, other.kill_grace), (Duration::from_secs(1), Duration::from_secs(10)));
    // An alias set for the queue goes before the key itself set for all.
    let set = with(&[(None, "poll-interval", "9s"), (Some("x"), "poll-interval-ms", "20")]);
    assert_eq!(set.for_queue(&queue("x")).poll_interval, Duration::from_millis(20));
}

#[test]
fn nothing_set_means_the_defaults() {
    let set = Settings::default().for_queue(&queue("x"));
    assert_eq!((set.max_retries, set.backoff_base, set.backoff_jitter), (3, 2.0, false));
    assert_eq!((set.job_timeout, set.kill_grace), (None, Duration::from_secs(10)));
    assert_eq!((set.max_running, set.crash_limit, set.output_max), (0, 3, 16 << 20));
    assert_eq!((set.shell.join(" "), set.on_dead, set.pass_env.len()), ("/bin/sh -c".to_owned(), None, 0));
    assert_eq!(Settings::default().for_queue(&queue("x")).spec(queue("x")), {
        queuectl_core::job::JobSpec { queue: queue("x"), ..queuectl_core::job::JobSpec::default() }
    });
}

#[test]
fn a_bad_value_is_refused_with_what_is_expected() {
    let cases = [
        ("max-retries", "-1", "a whole number from 0 to 1000000"),
        ("max-retries", "1000001", "a whole number from 0 to 1000000"),
        ("max-retries", "3.0", "a whole number"),
        ("crash-limit", "0", "a whole number from 1"),
        ("backoff-base", "0.5", "a number of at least 1"),
        ("backoff-base", "inf", "a number of at least 1"),
        ("backoff-base", "NaN", "a number of at least 1"),
        ("backoff-max", "soon", "is not a duration"),
        ("job-timeout", "-5", "negative"),
        ("job-timeout", "x", "or `none`"),
        ("output-max", "1K", "a size from 64K"),
        ("output-max", "16X", "a size from 64K"),
        ("backoff-jitter", "maybe", "`on` or `off`"),
        ("shell", "  ", "a program"),
        ("on-dead", "a\0b", "without NUL"),
    ];
    for (name, value, expected) in cases {
        let error = find_key(name).expect("a key").check(value).expect_err(value);
        assert!(matches!(error, SettingError::BadValue { .. }));
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(expected), "{text}");
    }
}

#[test]
fn sizes_are_read_in_their_units() {
    let cases = [("65536", 65536), ("64K", 65536), ("64kb", 65536), ("16MiB", 16 << 20), ("2 G", 2 << 30)];
    for (text, bytes) in cases {
        assert_eq!(parse_bytes(text), Some(bytes), "{text}");
    }
    for text in
        ["", "K", "-1", "1.5M", "1T", "99999999999999999999", "18014398509481984K", "16BB", "16I", "16IB"]
    {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_value_panics_and_what_is_accepted_can_be_used(at in 0..KEYS.len(), value in any::<String>()) {
        check_and_use(at, &value)?;
    }

    #[test]
    fn numbers_and_durations_are_used_or_refused(at in 0..KEYS.len(), value in "[0-9]{0,12}(\\.[0-9])?(ms|s|m|h|d|K|M|G)?") {
        check_and_use(at, &value)?;
    }

    #[test]
    fn a_value_that_a_hand_wrote_past_the_check_counts_as_not_set(at in 0..KEYS.len(), value in any::<String>()) {
        let key = &KEYS[at];
        prop_assume!(key.check(&value).is_err());
        let values = [((None, key.name.to_owned()), value)].into();
        prop_assert_eq!(
            Settings { version: 1, values }.for_queue(&queue("x")),
            Settings::default().for_queue(&queue("x"))
        );
    }
}

/// What is accepted must not panic when it is read, also through its siblings.
fn check_and_use(at: usize, value: &str) -> Result<(), TestCaseError> {
    let key = &KEYS[at];
    if key.check(value).is_err() {
        return Ok(());
    }
    let settings = Settings { version: 1, values: [((None, key.name.to_owned()), value.to_owned())].into() };
    settings.for_queue(&queue("x"));
    for sibling in key.siblings() {
        let given = settings.given(None, sibling).expect("through its sibling");
        prop_assert_eq!(sibling.check(&given), Ok(()), "{} as {}", key.name, sibling.name);
    }
    if matches!(key.kind, Kind::Count { .. }) {
        prop_assert!(value.trim().parse::<u64>().is_ok());
    }
    Ok(())
}
