//! The variables that travel with a job.

use proptest::prelude::*;
use queuectl_core::environment::{Environment, EnvironmentError};
use queuectl_core::limits::ENVIRONMENT_BYTES_MAX;

proptest! {
    #[test]
    fn the_order_of_setting_does_not_matter(pairs in prop::collection::btree_map("[A-Z]{1,4}", "[a-z]{0,4}", 0..6)) {
        let (mut forth, mut back) = (Environment::default(), Environment::default());
        for (name, value) in &pairs {
            forth.set(name.as_bytes(), value.as_bytes()).expect("a variable");
        }
        for (name, value) in pairs.iter().rev() {
            back.set(name.as_bytes(), "overwritten").expect("a variable");
            back.set(name.as_bytes(), value.as_bytes()).expect("a variable");
        }
        prop_assert_eq!(forth.digest(), back.digest());
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn digests_tell_where_a_name_ends(name in "[A-Z]{1,4}", value in "[A-Z]{1,4}") {
        let (mut one, mut other) = (Environment::default(), Environment::default());
        one.set(name.as_bytes(), value.as_bytes()).expect("a variable");
        let (head, tail) = value.split_at(1);
        other.set(format!("{name}{head}"), tail.as_bytes()).expect("a variable");
        prop_assert_ne!(one.digest(), other.digest());
    }
}

#[test]
fn what_cannot_be_a_variable_is_refused_by_name() {
    let set = |name: &str, value: &str| Environment::default().set(name.as_bytes(), value.as_bytes());
    for bad in ["", "A=B", "=", "A\0"] {
        assert_eq!(set(bad, "x"), Err(EnvironmentError::Name(bad.to_owned())));
    }
    assert_eq!(set("A", "x\0"), Err(EnvironmentError::Nul("A".to_owned())));
    assert_eq!(set("A", "="), Ok(()));
    let long = "x".repeat(ENVIRONMENT_BYTES_MAX);
    assert_eq!(set("A", &long), Err(EnvironmentError::TooLong(ENVIRONMENT_BYTES_MAX + 1)));
}

#[test]
fn a_changed_copy_has_a_digest_of_its_own() {
    let mut one = Environment::default();
    one.set(*b"A", *b"1").expect("a variable");
    let digest = one.digest();
    let mut other = one.clone();
    assert_eq!((other.digest(), &other), (digest, &one));
    other.set(*b"A", *b"2").expect("a variable");
    assert!(other.digest() != digest && other != one && one.digest() == digest);
}
