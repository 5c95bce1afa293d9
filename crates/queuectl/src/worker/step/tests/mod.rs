//! Single steps: what the machine says when it is told one thing, by scripted replies.

mod claiming;
mod stopping;
mod trouble;

use queuectl_core::claim::ClaimToken;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, ExchangeReply, ExchangeRequest, Settled, StoreError, Take};
use queuectl_exec::protocol::{End, Request};

use super::{Identity, Machine};
use crate::worker::events::{Action, Ended, Event, Report};
use crate::worker::simulation::claims::{claim, record};
use crate::worker::start::Surroundings;

/// A machine with a keeper, and its first exchange answered with nothing.
struct Rig {
    machine: Machine,
    now: u64,
}

/// What the machine said.
#[derive(Debug, Default)]
struct Said {
    exchange: Option<ExchangeRequest>,
    /// The exchange asks for all claims of its owner.
    recall: bool,
    orders: Vec<Request>,
    reports: Vec<Report>,
    exit: bool,
}

impl Rig {
    fn new(slots: usize) -> Rig {
        Rig::drained_or_not(slots, false)
    }

    fn drained_or_not(slots: usize, drain: bool) -> Rig {
        let identity =
            Identity { worker: "worker1".to_owned(), slots, take: Take::default(), drain, here: false };
        let mut machine = Machine::new(identity, Surroundings::default(), Settings::default());
        assert_eq!(machine.wake_at(), u64::MAX, "without a keeper there is nothing to wake for");
        machine.step(Event::KeeperReady { owner: "keeper1".to_owned() }, 1_000, 0);
        let mut rig = Rig { machine, now: 1_000 };
        assert!(rig.reply(ExchangeReply::default()).exchange.is_none());
        rig
    }

    fn step(&mut self, event: Event) -> Said {
        let mut said = Said::default();
        for action in self.machine.step(event, self.now, 0) {
            match action {
                Action::Exchange { request, recall } => {
                    said.recall = recall;
                    assert!(said.exchange.replace(*request).is_none(), "one exchange at a time");
                }
                Action::Keeper(order) => said.orders.push(order),
                Action::Report(report) => said.reports.push(report),
                Action::Exit => said.exit = true,
            }
        }
        said
    }

    fn at(&mut self, later: u64, event: Event) -> Said {
        self.now += later;
        self.step(event)
    }

    fn reply(&mut self, reply: ExchangeReply) -> Said {
        self.step(Event::Exchanged(Ok(reply)))
    }

    fn claims(&mut self, claims: &[&Claim]) -> Said {
        let claims = claims.iter().map(|claim| (*claim).clone()).collect();
        self.reply(ExchangeReply { claims, ..ExchangeReply::default() })
    }

    fn settled(&mut self, settled: Settled) -> Said {
        self.reply(ExchangeReply { settled: vec![settled], ..ExchangeReply::default() })
    }

    /// Someone rings, and these jobs are claimed.
    fn run(&mut self, claims: &[&Claim]) -> Said {
        self.step(Event::Rang).exchange.expect("it looks");
        self.claims(claims)
    }

    fn ended(&mut self, claim: &Claim, end: End) -> Said {
        let record = record(claim, end, 1, self.now);
        self.step(Event::Ended(vec![Ended { record, stderr_tail: String::new() }]))
    }

    fn fail_store(&mut self) -> Said {
        let error = StoreError::Unavailable { what: "the disk is away".to_owned(), source: None };
        self.step(Event::Exchanged(Err(error)))
    }

    /// Runs so many short jobs to their ends, as many as teach it to claim ahead.
    fn learn(&mut self, runs: usize) {
        for n in 0..runs as u64 {
            let one = claim(10_000 + n, |_| {});
            self.run(&[&one]);
            assert_eq!(self.ended(&one, success()).exchange.expect("it settles").settles.len(), 1);
            self.settled(Settled::Done);
        }
    }
}

fn plain(number: u64) -> Claim {
    claim(number, |_| {})
}

fn success() -> End {
    End::Exited { code: 0 }
}

fn started(said: &Said) -> Vec<ClaimToken> {
    let starts = said.orders.iter().filter_map(|order| match order {
        Request::Start(start) => Some(ClaimToken::from(start.claim)),
        _ => None,
    });
    starts.collect()
}
