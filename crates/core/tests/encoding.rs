//! How a spec is kept: whatever goes in comes out.

use std::collections::HashSet;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use queuectl_core::command::Command;
use queuectl_core::environment::Environment;
use queuectl_core::id::JobId;
use queuectl_core::job::{JobSpec, Leftovers};
use queuectl_core::queue::QueueName;
use queuectl_core::retry::{Backoff, ExitRules, RetryPolicy};
use queuectl_core::store::StoreError;
use queuectl_core::store::encoding::{
    SpecColumns, decode_environment, decode_spec, digest_spec, encode_environment, encode_spec,
};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(1..=255_u8, 0..20), any::<String>().prop_map(|text| text.replace('\0', "0").into_bytes())]
}

fn command() -> impl Strategy<Value = Option<Command>> {
    let argv = (vec(1..=255_u8, 1..9), vec(bytes(), 0..4)).prop_map(|(program, rest)| {
        let words = [vec![program], rest].concat();
        Command::argv(words).expect("words that a program can be handed")
    });
    let shell = "[ -~\\\\\"äß漢🦀\n\t]{0,30}x".prop_map(|line| Command::shell(line).expect("a line"));
    option::of(prop_oneof![argv, shell])
}

prop_compose! {
    fn environment()(variables in btree_map(vec(1..=255_u8, 1..9), bytes(), 0..5)) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in variables.into_iter().filter(|(name, _)| !name.contains(&b'=')) {
            environment.set(name, value).expect("a variable");
        }
        environment
    }
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()))
}

prop_compose! {
    fn retry()(
        backoff in prop_oneof![Just(Backoff::Exponential), Just(Backoff::Linear), Just(Backoff::Fixed)],
        base in prop_oneof![1.0..1e9_f64, Just(f64::MAX), 1.0..4.0_f64],
        max in millis(), jitter: bool,
    ) -> RetryPolicy {
        RetryPolicy { backoff, base, max, jitter }
    }
}

prop_compose! {
    fn spec()(
        (kind, command, payload) in ("[a-z]{1,9}", command(), option::of(any::<String>())),
        (queue, priority, max_retries, retry) in ("[a-z]{1,9}", any::<i32>(), any::<u32>(), retry()),
        (ok_codes, no_retry_on) in (vec(any::<i32>(), 0..3), vec(any::<i32>(), 0..3)),
        (timeout, kill_grace, crash_limit) in (option::of(millis()), millis(), any::<u32>()),
        (at_most_once, keep, output_max) in (any::<bool>(), any::<bool>(), any::<u64>()),
        tags in btree_map(any::<String>(), any::<String>(), 0..4),
        (dir, stdin, shell) in (option::of(bytes()), option::of(bytes()), vec(any::<String>(), 1..4)),
    ) -> JobSpec {
        JobSpec {
            kind, command, payload,
            queue: QueueName::new(queue).expect("a queue"),
            priority, max_retries, retry,
            exits: ExitRules { ok_codes, no_retry_on },
            timeout, kill_grace, crash_limit, at_most_once,
            leftovers: if keep { Leftovers::Keep } else { Leftovers::Kill },
            output_max, tags,
            environment: Environment::default(),
            dir, stdin, shell,
        }
    }
}

fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. })
}

fn columns(spec: &JobSpec) -> SpecColumns {
    SpecColumns { kind: spec.kind.clone(), queue: spec.queue.clone(), priority: spec.priority }
}

proptest! {
    #[test]
    fn a_spec_reads_back_as_it_was(spec in spec()) {
        let read = decode_spec(columns(&spec), &encode_spec(&spec)).expect("it reads back");
        prop_assert_eq!(read, spec);
    }

    #[test]
    fn an_environment_reads_back_as_it_was(environment in environment()) {
        let read = decode_environment(&encode_environment(&environment)).expect("it reads back");
        prop_assert_eq!(&read, &environment);
        prop_assert_eq!(read.digest(), environment.digest());
    }

    #[test]
    fn damage_is_an_error_not_a_panic(text in any::<String>()) {
        let spec = JobSpec::default();
        prop_assert!(decode_spec(columns(&spec), &text).map_or_else(|e| is_damage(&e), |_| true));
        prop_assert!(decode_environment(&text).map_or_else(|e| is_damage(&e), |_| true));
    }

    #[test]
    fn a_spec_cut_short_is_damage(spec in spec(), share in 0.0..1.0_f64) {
        let text = encode_spec(&spec);
        let mut at = (text.len() as f64 * share) as usize;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        prop_assert!(decode_spec(columns(&spec), &text[..at]).is_err_and(|e| is_damage(&e)));
    }
}

#[test]
fn fields_of_a_newer_queuectl_do_not_disturb() {
    let spec = JobSpec::default();
    let text = encode_spec(&spec).replacen('{', "{\"from_the_future\":[1,{}],", 1);
    assert_eq!(decode_spec(columns(&spec), &text).expect("it reads back"), spec);
}

#[test]
fn a_digest_tells_every_part_from_every_other() {
    let mut set = Environment::default();
    set.set(b"K".to_vec(), b"v".to_vec()).expect("valid");
    let (none, one, other) =
        (Environment::default(), JobId::from_store("a".to_owned()), JobId::from_store("b".to_owned()));
    let digests = [
        digest_spec(&one, "command", Some("ls"), "{}", &none),
        digest_spec(&other, "command", Some("ls"), "{}", &none),
        digest_spec(&one, "handler", Some("ls"), "{}", &none),
        digest_spec(&one, "command", Some("l"), "s{}", &none),
        digest_spec(&one, "command", None, "ls{}", &none),
        digest_spec(&one, "command", Some("ls"), "{ }", &none),
        digest_spec(&one, "command", Some("ls"), "{}", &set),
    ];
    assert_eq!(digests.iter().collect::<HashSet<_>>().len(), digests.len());
}

#[test]
fn bytes_that_are_no_digits_are_damage() {
    for hex in ["zz", "+f", "é", "f"] {
        let text = format!("[[\"K\",{{\"hex\":\"{hex}\"}}]]");
        assert!(matches!(decode_environment(&text), Err(StoreError::Damaged { .. })), "{hex}");
    }
}
