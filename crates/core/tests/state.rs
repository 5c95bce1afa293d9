//! The state machine: the table, and nothing but the table.

use std::collections::HashSet;

use proptest::prelude::*;
use queuectl_core::state::{Event, Shown, State, TRANSITIONS, diagram, transition};
use queuectl_core::time::Timestamp;

const EVENTS: [Event; 10] = [
    Event::Claim,
    Event::Release,
    Event::Complete,
    Event::Backoff,
    Event::Bury,
    Event::Interrupt,
    Event::Cancel,
    Event::Revive,
    Event::Hasten,
    Event::Unblock,
];

/// What each event may do, written down a second time.
fn allowed(from: State, event: Event) -> Option<State> {
    use {Event as E, State as S};
    match (from, event) {
        (S::Pending, E::Claim) => Some(S::Processing),
        (S::Processing, E::Complete) => Some(S::Completed),
        (S::Processing, E::Bury) => Some(S::Dead),
        (S::Processing, E::Release | E::Backoff | E::Interrupt)
        | (S::Pending, E::Hasten)
        | (S::Blocked, E::Unblock)
        | (S::Completed | S::Dead | S::Cancelled, E::Revive) => Some(S::Pending),
        (S::Pending | S::Processing | S::Blocked, E::Cancel) => Some(S::Cancelled),
        _ => None,
    }
}

#[test]
fn every_pair_of_state_and_event_is_decided_by_the_table_alone() {
    for from in State::ALL {
        for event in EVENTS {
            let result = transition(from, event);
            assert_eq!(result.ok(), allowed(from, event), "{from} {event}");
            let rows = TRANSITIONS.iter().filter(|(state, what, _)| (*state, *what) == (from, event)).count();
            assert_eq!(rows, usize::from(result.is_ok()), "{from} {event} has one row, or none");
            if let Err(refused) = result {
                assert_eq!(refused.to_string(), format!("a job that is {from} cannot {event}"));
            }
        }
    }
}

#[test]
fn a_terminal_state_is_left_only_by_revival() {
    for (from, event, _) in TRANSITIONS {
        assert_eq!(from.is_terminal(), *event == Event::Revive, "{from} {event}");
    }
}

#[test]
fn processing_begins_only_with_a_claim() {
    for (_, event, to) in TRANSITIONS {
        assert_eq!(*to == State::Processing, *event == Event::Claim);
    }
}

#[test]
fn every_event_is_of_use_and_the_diagram_shows_each_row() {
    let used: HashSet<Event> = TRANSITIONS.iter().map(|(_, event, _)| *event).collect();
    assert_eq!(used.len(), EVENTS.len());
    assert_eq!(diagram().lines().count(), TRANSITIONS.len() + 2);
}

#[test]
fn what_is_not_allowed_is_named() {
    let refused = transition(State::Dead, Event::Backoff).expect_err("it is not allowed");
    assert_eq!(refused.to_string(), "a job that is dead cannot back off");
}

#[test]
fn states_read_back_by_their_names() {
    for state in State::ALL {
        assert_eq!(State::parse(&state.to_string()), Some(state));
    }
    for shown in Shown::ALL {
        assert_eq!(Shown::parse(&shown.to_string()), Some(shown));
    }
    assert_eq!((State::parse("failed"), Shown::parse("Pending")), (None, None));
}

proptest! {
    #[test]
    fn only_a_waiting_retry_shows_as_failed(retrying: bool, due in -10..10_i64, which in 0..6_usize) {
        let state = State::ALL[which];
        let shown = state.shown(retrying, Timestamp::from_millis(due), Timestamp::from_millis(0));
        prop_assert_eq!(shown.stored(), state);
        let failed = state == State::Pending && retrying && due > 0;
        prop_assert_eq!(shown == Shown::Failed, failed);
    }

    #[test]
    fn no_sequence_of_events_leaves_the_machine(events in prop::collection::vec(0..EVENTS.len(), 0..100)) {
        let mut state = State::Pending;
        for event in events.into_iter().map(|at| EVENTS[at]) {
            if let Ok(to) = transition(state, event) {
                prop_assert!(!state.is_terminal() || event == Event::Revive);
                state = to;
            }
            prop_assert_ne!(state, State::Blocked, "nothing blocks a job yet");
        }
    }
}
