//! Signs of life for whoever manages the worker's process, given by the loop that does the work: a loop that hangs gives
//! none.

use std::time::Duration;

use queuectl_core::limits::EXCHANGE_OVERDUE;
use queuectl_core::store::StopMode;

/// What a worker tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It works, or has nothing to do.
    Alive,
    /// It takes no more jobs, whoever has told it so.
    Stopping(StopMode),
}

/// Hears the signs, and says how often it wants to.
pub struct Signs {
    tell: Box<dyn FnMut(Sign) + Send>,
    /// Between two signs of life, in milliseconds; `None`: there are none.
    every: Option<u64>,
    next: u64,
    stopping: Option<StopMode>,
}

impl Default for Signs {
    fn default() -> Signs {
        Signs::new(None, |_| {})
    }
}

impl Signs {
    /// A sign of life comes about so often, as long as the loop turns.
    pub fn new(every: Option<Duration>, tell: impl FnMut(Sign) + Send + 'static) -> Signs {
        let every = every.map(|every| every.as_millis().max(1) as u64);
        Signs { tell: Box::new(tell), every, next: 0, stopping: None }
    }

    /// The loop has turned. `exchange_since`: when the exchange that is on its way was sent. One that does not come back
    /// is no life.
    pub(super) fn turned(&mut self, now: u64, stop: Option<StopMode>, exchange_since: Option<u64>) {
        if let Some(mode) = stop
            && self.stopping != Some(mode)
        {
            self.stopping = Some(mode);
            (self.tell)(Sign::Stopping(mode));
        }
        let overdue = exchange_since.is_some_and(|since| now - since >= EXCHANGE_OVERDUE.as_millis() as u64);
        if let Some(every) = self.every
            && now >= self.next
            && !overdue
        {
            self.next = now + every;
            (self.tell)(Sign::Alive);
        }
    }

    /// The loop may rest so long, in milliseconds.
    pub(super) fn rest_max(&self, now: u64) -> u64 {
        match self.every {
            // At least a moment: after an overdue exchange the next sign is in the past.
            Some(every) => self.next.saturating_sub(now).clamp(every.min(100), every),
            None => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn heard(every: Option<Duration>) -> (Signs, Arc<Mutex<Vec<Sign>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        (Signs::new(every, move |sign| sink.lock().expect("whole").push(sign)), heard)
    }

    #[test]
    fn a_turning_loop_gives_a_sign_of_life_in_every_interval_and_not_more() {
        let (mut signs, heard) = heard(Some(Duration::from_secs(1)));
        let mut now = 5_000;
        for _ in 0..30 {
            signs.turned(now, None, None);
            assert!(signs.rest_max(now) <= 1_000);
            now += 100;
        }
        assert_eq!(*heard.lock().expect("whole"), [Sign::Alive; 3]);
    }

    #[test]
    fn an_exchange_that_does_not_come_back_is_no_life() {
        let (mut signs, heard) = heard(Some(Duration::from_secs(1)));
        let overdue = EXCHANGE_OVERDUE.as_millis() as u64;
        signs.turned(overdue, None, Some(0));
        assert_eq!(*heard.lock().expect("whole"), []);
        assert_eq!(signs.rest_max(overdue), 100);
        signs.turned(overdue, None, Some(1));
        assert_eq!(*heard.lock().expect("whole"), [Sign::Alive]);
    }

    #[test]
    fn a_stop_is_told_once_for_each_way_to_stop_and_nobody_who_does_not_ask_hears_of_life() {
        let (mut signs, heard) = heard(None);
        for mode in [StopMode::Drain, StopMode::Drain, StopMode::Now, StopMode::Now] {
            signs.turned(1, Some(mode), None);
        }
        let told = [StopMode::Drain, StopMode::Now].map(Sign::Stopping);
        assert_eq!(*heard.lock().expect("whole"), told);
        assert_eq!(signs.rest_max(1), u64::MAX);
    }
}
