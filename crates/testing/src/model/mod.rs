//! Random histories of verbs, lived through by two stores that must agree after every step.
//!
//! [`history`] draws them; [`assert_agree`] plays one on both and compares every answer and then everything that can be
//! read. What may differ is taken out first ([`view`]): incarnations and claim numbers by the order in which they were
//! given, `seq` by rank, and the ready flag of a job that is due, which only says whether someone has promoted it yet.

mod history;
mod play;
mod view;

pub use history::{End, History, Step, history};

use crate::conformance::Fixture;

/// Plays a history on two fresh stores under clocks that show the same time.
pub async fn assert_agree(one: &dyn Fixture, other: &dyn Fixture, history: &History) {
    let mut claims = play::Claims::default();
    for (at, step) in history.0.iter().enumerate() {
        let answer = play::play(one, other, &mut claims, step).await;
        assert_eq!(answer.0, answer.1, "step {at} is answered differently: {step:?}");
        let (left, right) = (view::read(one, 0, &claims).await, view::read(other, 1, &claims).await);
        assert_eq!(left, right, "after step {at}: {step:?}");
    }
}
