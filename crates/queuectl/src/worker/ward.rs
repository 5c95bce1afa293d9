//! The mind of whoever looks after an adopted keeper: what it still runs, what has ended and is not settled, what it
//! never began. Pure, as the step machine is; `foster.rs` does the IO.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use queuectl_core::claim::ClaimToken;
use queuectl_core::id::JobId;
use queuectl_core::limits::SETTLES_MAX;
use queuectl_core::outcome::Interruption;
use queuectl_core::settings::Settings;
use queuectl_core::store::{Claim, ExchangeReply, ExchangeRequest, Settle, Settled};
use queuectl_exec::protocol::{ClaimKey, End, ExitRecord, Request, StopReason};

use super::recovery::exchange_request;
use super::settling::{Facts, settle_for, settle_interrupted};

/// What a keeper says that has just been adopted.
#[derive(Debug, Default)]
pub struct Told {
    pub running: Vec<ClaimKey>,
    /// Possibly started, and nobody knows how they ended.
    pub lost: Vec<ClaimKey>,
    /// Not known to be settled.
    pub ended: Vec<ExitRecord>,
}

/// An outcome that is not settled yet, and when it was made.
#[derive(Debug)]
pub struct Pending {
    pub job: JobId,
    pub attempt: u32,
    pub settle: Settle,
    since: u64,
    /// The store does not take it. It is offered again, and nobody waits for that.
    refused: bool,
}

impl Pending {
    fn new(claim: &Claim, settle: Settle, now: u64) -> Pending {
        Pending { job: claim.job.id.clone(), attempt: claim.attempt, settle, since: now, refused: false }
    }

    /// The settle, with its times as far back as it has waited.
    fn aged(&self, now: u64) -> Settle {
        let (mut settle, waited) = (self.settle.clone(), Duration::from_millis(now - self.since));
        settle.attempt.ended_ago += waited;
        settle.attempt.started_ago = settle.attempt.started_ago.map(|ago| ago + waited);
        settle
    }
}

/// What was offered to the store, until it has answered.
#[derive(Debug)]
pub struct Offered {
    settles: Vec<Pending>,
    releases: Vec<ClaimToken>,
}

/// What an answer of the store comes to.
#[derive(Debug)]
pub struct Answer {
    /// For the keeper.
    pub orders: Vec<Request>,
    /// What became of each outcome that was offered; those that were refused are offered again.
    pub settled: Vec<(JobId, u32, Settle, Settled)>,
}

/// All that is known of one adopted keeper.
#[derive(Debug)]
pub struct Ward {
    owner: String,
    settings: Settings,
    /// What runs.
    claims: BTreeMap<ClaimToken, Claim>,
    /// What has ended and is not settled.
    pending: Vec<Pending>,
    /// Claims of which nothing was started.
    releases: Vec<ClaimToken>,
}

/// A keeper as it was found.
#[derive(Debug)]
pub struct Found {
    pub ward: Ward,
    /// For the keeper.
    pub orders: Vec<Request>,
    /// To be handed to [`Ward::end`], each with its claim.
    pub ended: Vec<(Claim, ExitRecord)>,
}

impl Ward {
    /// Compares what a keeper says with the claims that the store knows of it.
    pub fn find(owner: &str, settings: Settings, held: Vec<Claim>, told: Told, now: u64) -> Found {
        let mut ward = Ward {
            owner: owner.to_owned(),
            settings,
            claims: BTreeMap::new(),
            pending: Vec::new(),
            releases: Vec::new(),
        };
        let (running, lost): (BTreeSet<ClaimKey>, BTreeSet<ClaimKey>) =
            (told.running.into_iter().collect(), told.lost.into_iter().collect());
        let mut records: BTreeMap<ClaimKey, ExitRecord> =
            told.ended.into_iter().map(|record| (record.claim, record)).collect();
        let known: BTreeSet<ClaimKey> = held.iter().map(|claim| claim.token.into()).collect();
        let mut ended = Vec::new();
        for claim in held {
            let key = ClaimKey::from(claim.token);
            if running.contains(&key) {
                ward.claims.insert(claim.token, claim);
            } else if let Some(record) = records.remove(&key) {
                ended.push((claim, record));
            } else if lost.contains(&key) {
                let settle = settle_interrupted(&claim, Interruption::Crash, &ward.settings);
                ward.pending.push(Pending::new(&claim, settle, now));
            } else {
                ward.releases.push(claim.token);
            }
        }
        // Claims that the store does not know any more: nobody is to record what comes of them.
        let strangers = running.iter().filter(|key| !known.contains(key));
        let reason = StopReason::WorkerStopping;
        let mut orders: Vec<Request> =
            strangers.map(|&claim| Request::Stop { claim, reason, grace_ms: 0 }).collect();
        // Settled by a worker that died before it could say so.
        let settled = records.into_keys().chain(lost).filter(|key| !known.contains(key));
        let claims: Vec<ClaimKey> = settled.collect();
        if !claims.is_empty() {
            orders.push(Request::Settled { claims });
        }
        Found { ward, orders, ended }
    }

    /// How many attempts run.
    pub fn running(&self) -> usize {
        self.claims.len()
    }

    /// How many run, or have ended and are still to be settled: until then a job that is to run again is not back, and
    /// whoever drains must not go.
    pub fn unfinished(&self) -> usize {
        let pending = self.pending.iter().filter(|one| !one.refused).count();
        self.claims.len() + pending + self.releases.len()
    }

    /// Something waits to be offered to the store.
    pub fn is_unsettled(&self) -> bool {
        !self.pending.is_empty() || !self.releases.is_empty()
    }

    pub fn is_over(&self) -> bool {
        self.claims.is_empty() && !self.is_unsettled()
    }

    /// The claim of an attempt that has ended, if it is one that runs here.
    pub fn take(&mut self, key: ClaimKey) -> Option<Claim> {
        self.claims.remove(&ClaimToken::from(key))
    }

    /// An attempt has ended, and what it printed is durable.
    pub fn end(&mut self, claim: &Claim, facts: &Facts<'_>) {
        if matches!(facts.record.end, End::CouldNotStart { ours: true, .. }) {
            self.releases.push(claim.token);
            return;
        }
        let settle = settle_for(claim, facts, &self.settings);
        self.pending.push(Pending::new(claim, settle, facts.now));
    }

    /// The next exchange: it offers what has ended, and asks who is to be cancelled.
    pub fn offer(&mut self, now: u64) -> (ExchangeRequest, Offered) {
        let settles: Vec<Pending> = self.pending.drain(..self.pending.len().min(SETTLES_MAX)).collect();
        let releases = std::mem::take(&mut self.releases);
        let aged = settles.iter().map(|one| one.aged(now)).collect();
        let request = exchange_request(&self.owner, aged, releases.clone(), self.settings.version);
        (request, Offered { settles, releases })
    }

    /// The store did not answer, and may not have done it: all is offered again.
    pub fn keep(&mut self, offered: Offered) {
        self.pending.splice(0..0, offered.settles);
        self.releases = offered.releases;
    }

    /// The store has answered.
    pub fn hear(&mut self, offered: Offered, reply: ExchangeReply) -> Answer {
        if let Some(settings) = reply.settings {
            self.settings = settings;
        }
        let mut durable: Vec<ClaimKey> = offered.releases.into_iter().map(ClaimKey::from).collect();
        let mut settled = Vec::new();
        for (one, result) in offered.settles.into_iter().zip(reply.settled) {
            settled.push((one.job.clone(), one.attempt, one.settle.clone(), result.clone()));
            match result {
                Settled::Done | Settled::Lost => durable.push(one.settle.claim.into()),
                Settled::Refused(_) => self.pending.push(Pending { refused: true, ..one }),
            }
        }
        let mut orders = Vec::new();
        if !durable.is_empty() {
            orders.push(Request::Settled { claims: durable });
        }
        orders.extend(reply.cancels.iter().filter_map(|token| self.stop_one(*token, StopReason::Cancelled)));
        Answer { orders, settled }
    }

    /// Ends all that runs.
    pub fn stop_all(&self, reason: StopReason) -> Vec<Request> {
        self.claims.keys().filter_map(|token| self.stop_one(*token, reason)).collect()
    }

    fn stop_one(&self, token: ClaimToken, reason: StopReason) -> Option<Request> {
        let grace_ms = self.claims.get(&token)?.job.spec.kill_grace.as_millis() as u64;
        Some(Request::Stop { claim: token.into(), reason, grace_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::simulation::claims::{claim, record};

    #[test]
    fn what_has_ended_is_unfinished_until_it_is_settled_or_refused() {
        let claims = [claim(1, |_| {}), claim(2, |_| {}), claim(3, |_| {})];
        let running = vec![claims[0].token.into(), claims[1].token.into()];
        let told = Told { running, ..Told::default() };
        let Found { mut ward, .. } = Ward::find("k", Settings::default(), claims.to_vec(), told, 0);
        assert_eq!(
            (ward.running(), ward.unfinished()),
            (2, 3),
            "one was never begun and is to be given back"
        );
        for claim in &claims[..2] {
            let record = record(claim, End::Exited { code: 1 }, 1, 10);
            assert!(ward.take(record.claim).is_some());
            ward.end(claim, &Facts { record: &record, stderr_tail: "", now: 10, random: 0 });
        }
        assert_eq!((ward.running(), ward.unfinished()), (0, 3), "nothing is settled");
        let (_, offered) = ward.offer(10);
        ward.keep(offered);
        assert_eq!(ward.unfinished(), 3, "nor is it by a store that fails");
        let (_, offered) = ward.offer(10);
        let settled = vec![Settled::Done, Settled::Refused("no".to_owned())];
        ward.hear(offered, ExchangeReply { settled, ..ExchangeReply::default() });
        assert_eq!(ward.unfinished(), 0, "what is refused is waited for by nobody");
        assert!(ward.is_unsettled(), "but offered again");
    }
}
