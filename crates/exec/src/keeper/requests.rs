//! What comes from the worker and from followers.

use super::follow::{Followed, pump};
use super::peer::{Follow, Peer, Received};
use super::poll::{Interest, Token};
use super::{Keeper, Worker};
use crate::clock::now_boot_ms;
use crate::protocol::{ClaimKey, End, Event, PROTOCOL_VERSION, Request, agreed};
use queuectl_core::limits::{
    ENDED_FOLLOWABLE_MAX, FOLLOWS_PER_CONNECTION_MAX, KEEPER_BACKLOG_BYTES_MAX, KEEPER_FOLLOWERS_MAX,
    KEEPER_TURN_MAX,
};
use queuectl_points::point;
use std::io;

/// A connection is of no more use.
struct Hopeless;

impl Keeper {
    /// Takes in followers. Too many are turned away.
    pub(super) fn accept(&mut self) {
        for _ in 0..KEEPER_FOLLOWERS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // No descriptors, most likely. The listener stays ready, so that it must be left out for a while.
                    self.log("cannot accept a connection", &error);
                    if self.poll.remove(&self.listener).is_ok() {
                        self.listen_again_at = Some(now_boot_ms() + KEEPER_TURN_MAX.as_millis() as u64);
                    }
                    return;
                }
            };
            if self.peers.len() > KEEPER_FOLLOWERS_MAX {
                continue;
            }
            let serial = self.take_serial();
            if let Ok(peer) = Peer::new(stream.into(), Token::Peer(serial), &self.poll) {
                self.peers.insert(serial, peer);
            }
        }
    }

    pub(super) fn listen_again(&mut self, now: u64) {
        if self.listen_again_at.is_some_and(|at| at <= now) {
            self.listen_again_at = None;
            if let Err(error) = self.poll.add(&self.listener, Token::Listener, Interest::Read) {
                self.log("cannot listen", &error);
            }
        }
    }

    /// Reads a connection and does what it asks.
    pub(super) fn hear(&mut self, serial: u64) {
        let Some(peer) = self.peers.get_mut(&serial) else { return };
        if peer.choked {
            return;
        }
        match peer.receive(&mut self.buffer) {
            Received::Nothing => return,
            Received::Closed => return self.hang_up(serial),
            Received::Bytes => {}
        }
        loop {
            let Some(peer) = self.peers.get_mut(&serial) else { return };
            let done = match peer.decoder.pop::<Request>() {
                Ok(Some(request)) => self.obey(serial, request),
                Ok(None) => return,
                Err(_) => Err(Hopeless),
            };
            if done.is_err() {
                return self.hang_up(serial);
            }
        }
    }

    fn obey(&mut self, serial: u64, request: Request) -> Result<(), Hopeless> {
        point!("keeper.order.heard");
        let peer = self.peers.get_mut(&serial).ok_or(Hopeless)?;
        if let Request::Hello { version } = request {
            let keeper = self.options.id.clone();
            peer.send(&Event::Hello { version: PROTOCOL_VERSION, keeper, pid: std::process::id() });
            peer.speaks = agreed(version);
            #[cfg(queuectl_next)]
            if peer.speaks >= Some(2) {
                peer.send(&Event::Mood { word: "fine".to_owned() });
            }
            return if peer.speaks.is_some() { Ok(()) } else { Err(Hopeless) };
        }
        if peer.speaks.is_none() {
            return Err(Hopeless);
        }
        match request {
            Request::Follow { claim, stdout_from, stderr_from } => {
                if peer.follows.len() >= FOLLOWS_PER_CONNECTION_MAX {
                    return Err(Hopeless);
                }
                peer.follows.push(Follow { claim, stdout_next: stdout_from, stderr_next: stderr_from });
            }
            // Only the worker gives orders.
            Request::Adopt { on_crash } => return self.be_adopted(serial, on_crash).map_err(|()| Hopeless),
            _ if serial != self.control => return Err(Hopeless),
            Request::Start(start) => self.start(start),
            Request::Stop { claim, reason, grace_ms } => {
                self.know_launches();
                if self.stop_waiting(claim, reason) {
                } else if let Some(&attempt) = self.by_claim.get(&claim) {
                    self.end(attempt, &End::Stopped { reason }, grace_ms);
                }
            }
            Request::Settled { claims } => self.settle(&claims),
            Request::Leave => self.worker = Worker::Leaving,
            Request::HandOver => self.be_orphaned(),
            Request::Hello { .. } => {}
        }
        Ok(())
    }

    /// Ends a connection.
    fn hang_up(&mut self, serial: u64) {
        self.write_spool();
        if let Some(mut peer) = self.peers.remove(&serial) {
            // A last word, such as which version would have been right.
            let _ = peer.flush(&self.poll);
            peer.close(&self.poll);
        }
        if serial == self.control && self.worker == Worker::Here {
            self.lose_worker();
        }
    }

    /// The store has these outcomes. Their output can be followed for a little while longer.
    fn settle(&mut self, claims: &[ClaimKey]) {
        if let Err(error) = self.journal.settle(claims) {
            // Whoever reads the spool finds more than there is to do; the store refuses it.
            self.log("cannot shorten the spool", &error);
        }
        self.settled.extend(claims.iter().filter(|claim| self.ended.contains_key(claim)));
        while self.settled.len() > ENDED_FOLLOWABLE_MAX {
            let followed = |claim| {
                self.peers.values().any(|peer| peer.follows.iter().any(|follow| follow.claim == claim))
            };
            let Some(at) = self.settled.iter().position(|&claim| !followed(claim)) else { return };
            if let Some(claim) = self.settled.remove(at) {
                self.ended.remove(&claim);
            }
        }
    }

    pub(super) fn feed_followers(&mut self) {
        let Keeper { peers, by_claim, attempts, ended, .. } = self;
        for peer in peers.values_mut().filter(|peer| !peer.follows.is_empty()) {
            peer.hungry = pump(peer, |claim| {
                if let Some(output) = ended.get(&claim) {
                    return Followed::Ended(output);
                }
                let running = by_claim.get(&claim).and_then(|serial| attempts.get(serial));
                running.map_or(Followed::Unknown, |attempt| Followed::Running(&attempt.output))
            });
        }
    }

    /// Writes what waits, and holds back a connection (and with the worker's, all output) that has too much waiting.
    pub(super) fn flush(&mut self) {
        self.write_spool();
        let mut broken = Vec::new();
        for (&serial, peer) in &mut self.peers {
            peer.choked = peer.backlog() > KEEPER_BACKLOG_BYTES_MAX;
            if peer.flush(&self.poll).is_err() {
                broken.push(serial);
            }
            // With bytes left over, the kernel says when there is room.
            self.busy |= peer.hungry && peer.backlog() == 0;
        }
        for serial in broken {
            self.hang_up(serial);
        }
        let backlog = self.peers.get(&self.control).map_or(0, Peer::backlog);
        if !self.paused && backlog > KEEPER_BACKLOG_BYTES_MAX {
            self.pause_pipes();
        } else if self.paused && backlog < KEEPER_BACKLOG_BYTES_MAX / 2 {
            self.resume_pipes();
        }
    }

    /// What is told to anybody is in the spool by then.
    pub(super) fn write_spool(&mut self) {
        if let Err(error) = self.journal.flush() {
            self.log("cannot write the spool", &error);
        }
    }

    /// Tells the worker, if it is still there.
    pub(super) fn tell(&mut self, event: &Event) {
        if let Some(control) = self.peers.get_mut(&self.control) {
            control.send(event);
        }
    }
}
