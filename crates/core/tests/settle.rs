//! What an outcome does to its job.

use std::time::Duration;

use proptest::prelude::*;
use queuectl_core::job::JobSpec;
use queuectl_core::limits::LAST_ERROR_CHARS_MAX;
use queuectl_core::outcome::{Interruption, Outcome};
use queuectl_core::retry::ExitRules;
use queuectl_core::settle::{Patch, Tally, decide};
use queuectl_core::state::{Event, State};

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0..=255).prop_map(|code| Outcome::Exited { code }),
        (1..=64).prop_map(|signal| Outcome::Signaled { signal }),
        Just(Outcome::TimedOut),
        any::<String>().prop_map(|message| Outcome::CouldNotStart { message }),
        Just(Outcome::Interrupted(Interruption::Crash)),
        Just(Outcome::Interrupted(Interruption::Shutdown)),
        Just(Outcome::Interrupted(Interruption::Stop)),
        Just(Outcome::Cancelled),
    ]
}

prop_compose! {
    fn spec()(
        max_retries in 0..5_u32, crash_limit in 0..4_u32, at_most_once: bool,
        ok_codes in prop::collection::vec(0..=255, 0..3), no_retry_on in prop::collection::vec(0..=255, 0..3),
    ) -> JobSpec {
        let exits = ExitRules { ok_codes, no_retry_on };
        let timeout = Some(Duration::from_secs(9));
        JobSpec { max_retries, crash_limit, at_most_once, exits, timeout, ..JobSpec::default() }
    }
}

prop_compose! {
    fn tally()(attempts in 0..6_u32, interruptions in 0..6_u32) -> Tally {
        Tally { attempts, interruptions }
    }
}

fn ended(spec: &JobSpec, attempts: u32, outcome: &Outcome) -> Patch {
    decide(spec, Tally { attempts, interruptions: 0 }, outcome, "", 0)
}

fn exited(code: i32) -> Outcome {
    Outcome::Exited { code }
}

fn crashed() -> Outcome {
    Outcome::Interrupted(Interruption::Crash)
}

proptest! {
    #[test]
    fn every_decision_is_sound(
        spec in spec(), tally in tally(), outcome in outcome(), tail in any::<String>(), random: u64,
    ) {
        let patch = decide(&spec, tally, &outcome, &tail, random);
        let to = patch.to();
        prop_assert_ne!(to, State::Processing);
        prop_assert_eq!(patch.delay.is_some(), patch.event == Event::Backoff, "exactly a backoff waits");
        prop_assert_eq!(patch.retrying(), patch.event == Event::Backoff);
        let ran_by_itself = !matches!(outcome, Outcome::Interrupted(_) | Outcome::Cancelled);
        prop_assert_eq!(patch.charged, ran_by_itself, "exactly what ended by itself is charged");
        prop_assert_eq!(patch.interruption, outcome == crashed(), "exactly a crash counts towards its limit");
        prop_assert_eq!(patch.last_error.is_none(), to == State::Completed, "exactly a success has no error");
        prop_assert_eq!(patch.exit_code, outcome.exit_code());
        if spec.at_most_once {
            prop_assert_ne!(to, State::Pending, "at most once");
        }
    }

    #[test]
    fn an_error_text_is_bounded_at_characters(spec in spec(), tail in "[a漢🦀 ]{0,2000}") {
        let patch = ended(&spec, 0, &exited(9)).last_error;
        prop_assume!(patch.is_some());
        let outcome = Outcome::CouldNotStart { message: tail.clone() };
        for patch in [decide(&spec, Tally { attempts: 0, interruptions: 0 }, &exited(9), &tail, 0), ended(&spec, 0, &outcome)] {
            let text = patch.last_error.expect("a failure has one");
            prop_assert!(text.chars().count() <= LAST_ERROR_CHARS_MAX);
        }
    }

    #[test]
    fn a_success_is_a_success_at_any_time(spec in spec(), tally in tally(), code in 0..=255_i32) {
        let patch = decide(&spec, tally, &exited(code), "noise", 0);
        let ok = code == 0 || spec.exits.ok_codes.contains(&code);
        prop_assert_eq!(patch.event == Event::Complete, ok);
    }

    #[test]
    fn a_cancelled_job_never_comes_back_and_an_end_stands(
        spec in spec(), tally in tally(), outcome in outcome(),
    ) {
        let patch = decide(&spec, tally, &outcome, "", 0);
        let landed = patch.clone().landing(true);
        prop_assert_eq!(patch.clone().landing(false), patch.clone());
        if patch.to() == State::Pending {
            prop_assert_eq!((landed.to(), landed.delay), (State::Cancelled, None));
            prop_assert_eq!((landed.charged, landed.interruption), (patch.charged, patch.interruption));
            prop_assert_eq!((landed.last_error, landed.exit_code), (patch.last_error, patch.exit_code));
        } else {
            prop_assert_eq!(landed, patch);
        }
    }

    #[test]
    fn a_failing_job_is_executed_as_often_as_max_retries_says(max_retries in 0..20_u32) {
        let spec = JobSpec { max_retries, ..JobSpec::default() };
        let buried = (0..100).position(|before| ended(&spec, before, &exited(1)).event == Event::Bury);
        prop_assert_eq!(buried, Some(max_retries.max(1) as usize - 1), "0 and 1 both mean once");
    }
}

#[test]
fn a_failure_waits_for_the_backoff_of_its_number() {
    let spec = JobSpec { max_retries: 9, ..JobSpec::default() };
    for (attempts, seconds) in [(0, 2), (1, 4), (2, 8)] {
        assert_eq!(ended(&spec, attempts, &exited(1)).delay, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn a_code_of_no_retry_on_is_final_but_success_goes_first() {
    let exits = ExitRules { ok_codes: vec![3], no_retry_on: vec![0, 3, 4] };
    let spec = JobSpec { max_retries: 9, exits, ..JobSpec::default() };
    for (code, event) in [(0, Event::Complete), (3, Event::Complete), (4, Event::Bury), (5, Event::Backoff)] {
        assert_eq!(ended(&spec, 0, &exited(code)).event, event, "{code}");
    }
}

#[test]
fn the_crash_limit_counts_crashes_only() {
    let spec = JobSpec { crash_limit: 2, ..JobSpec::default() };
    let after = |interruptions, cause| {
        decide(&spec, Tally { attempts: 0, interruptions }, &Outcome::Interrupted(cause), "", 0)
    };
    assert_eq!(after(0, Interruption::Crash).event, Event::Interrupt);
    let last = after(1, Interruption::Crash);
    assert_eq!(last.event, Event::Bury);
    assert!(last.last_error.is_some_and(|text| text.contains("2 times, the crash limit")));
    for cause in [Interruption::Shutdown, Interruption::Stop] {
        let patch = after(99, cause);
        assert_eq!((patch.event, patch.interruption, patch.charged), (Event::Interrupt, false, false));
    }
}

#[test]
fn an_at_most_once_job_dies_of_any_unclean_end() {
    let spec = JobSpec { at_most_once: true, max_retries: 9, ..JobSpec::default() };
    let ends = [
        exited(1),
        Outcome::TimedOut,
        Outcome::Signaled { signal: 9 },
        crashed(),
        Outcome::Interrupted(Interruption::Shutdown),
        Outcome::Interrupted(Interruption::Stop),
    ];
    for how in ends {
        assert_eq!(ended(&spec, 0, &how).to(), State::Dead, "{how:?}");
    }
    assert_eq!(ended(&spec, 0, &exited(0)).to(), State::Completed);
    assert_eq!(ended(&spec, 0, &Outcome::Cancelled).to(), State::Cancelled);
}

#[test]
fn the_error_says_what_happened_and_what_was_printed_last() {
    let spec = JobSpec { timeout: Some(Duration::from_secs(90)), ..JobSpec::default() };
    let text = |outcome, tail| {
        decide(&spec, Tally { attempts: 0, interruptions: 0 }, &outcome, tail, 0).last_error.expect("one")
    };
    assert_eq!(text(exited(2), " no such file\n"), "exit code 2: no such file");
    assert_eq!(text(Outcome::TimedOut, ""), "timed out after 1m30s");
    assert_eq!(
        text(Outcome::Signaled { signal: 9 }, ""),
        "killed by signal 9 (KILL), by somebody or by the kernel for want of memory"
    );
}

#[test]
fn a_release_charges_nothing_and_a_cancel_catches_it() {
    let release = Patch::release();
    assert_eq!((release.to(), release.charged, release.interruption), (State::Pending, false, false));
    assert_eq!(release.landing(true).to(), State::Cancelled);
}

#[test]
fn an_impossible_event_is_left_for_the_store_to_refuse() {
    let patch = Patch { event: Event::Revive, ..Patch::release() };
    assert_eq!(patch.clone().landing(true), patch);
}

#[test]
fn outcomes_read_back_from_their_parts() {
    let outcomes = [
        exited(3),
        Outcome::Signaled { signal: 15 },
        Outcome::TimedOut,
        Outcome::CouldNotStart { message: "why".to_owned() },
        crashed(),
        Outcome::Interrupted(Interruption::Shutdown),
        Outcome::Interrupted(Interruption::Stop),
        Outcome::Cancelled,
    ];
    for outcome in outcomes {
        let message = outcome.message().map(str::to_owned);
        assert_eq!(Outcome::from_parts(outcome.name(), outcome.number(), message), Some(outcome));
    }
    assert_eq!(Outcome::from_parts("exited", None, None), None);
    assert_eq!(Outcome::from_parts("unheard-of", Some(1), None), None);
}
